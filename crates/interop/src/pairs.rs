//! [`Pairs`]: JSON objects whose names must be there once.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::error::Problem;

/// The pairs of a JSON object as they stand there, also those whose name is there twice.
#[derive(Debug)]
pub(crate) struct Pairs<V>(pub(crate) Vec<(String, V)>);

impl<V> Pairs<V> {
    /// The value of each name; `what` is named.
    pub(crate) fn unique(self, what: &'static str) -> Result<BTreeMap<String, V>, Problem> {
        let mut map = BTreeMap::new();
        for (name, value) in self.0 {
            if map.contains_key(&name) {
                return Err(Problem::Duplicate { what, name });
            }
            map.insert(name, value);
        }
        Ok(map)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Collect<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Collect(PhantomData))
    }
}
