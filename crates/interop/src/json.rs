//! [`Json`]: documents of which only a part is known, read by key.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::error::Problem;

/// A document. No object in it has a key twice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Flag(bool),
    /// A number without a sign, a point or an exponent.
    Count(u64),
    /// Any other number.
    Real(f64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads a document; `what` it is goes into the error.
    pub(crate) fn read(bytes: &[u8], what: &'static str) -> Result<Self, Problem> {
        serde_json::from_slice(bytes).map_err(|source| Problem::Json { what, source })
    }

    /// The object that the whole document is.
    pub(crate) fn object(&self, what: &'static str) -> Result<Object<'_>, Problem> {
        match self {
            Self::Object(entries) => Ok(Object { path: String::new(), entries }),
            other => Err(Problem::mismatch(what, "an object", other)),
        }
    }
}

/// In short, for messages.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Real(real) => write!(f, "{real}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(_) => f.write_str("a list"),
            Self::Object(_) => f.write_str("an object"),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
                Ok(Json::Flag(flag))
            }

            fn visit_u64<E>(self, count: u64) -> Result<Json, E> {
                Ok(Json::Count(count))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Real(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
                Ok(Json::Real(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if entries.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("key {key:?} is there twice")));
                    }
                    entries.insert(key, map.next_value()?);
                }
                Ok(Json::Object(entries))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// An object of a document. What it lacks and what is `null` in it is nothing.
#[derive(Debug, Clone)]
pub(crate) struct Object<'a> {
    /// The keys that lead to it, with points between and behind them.
    path: String,
    entries: &'a BTreeMap<String, Json>,
}

impl<'a> Object<'a> {
    /// The keys that lead to a value, for messages.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// All that it holds.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Json)> + use<'a> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Refuses a value.
    pub(crate) fn refuse(
        &self,
        key: &str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Problem {
        Problem::mismatch(self.path(key), expected, found)
    }

    /// Refuses that there is none.
    pub(crate) fn need<V>(&self, key: &str, value: Option<V>) -> Result<V, Problem> {
        value.ok_or_else(|| Problem::Missing { what: "key", name: self.path(key) })
    }

    /// Refuses a key that is there and says `null`, for what is something else than when it is missing.
    pub(crate) fn refuse_null(&self, key: &str, expected: &str) -> Result<(), Problem> {
        match self.entries.get(key) {
            Some(null @ Json::Null) => Err(self.refuse(key, expected, null)),
            _ => Ok(()),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Json> {
        self.entries.get(key).filter(|value| **value != Json::Null)
    }

    fn typed<V>(
        &self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&'a Json) -> Option<V>,
    ) -> Result<Option<V>, Problem> {
        let Some(value) = self.get(key) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| self.refuse(key, expected, value))
    }

    pub(crate) fn count(&self, key: &str) -> Result<Option<usize>, Problem> {
        self.typed(key, "a number of things", |value| match value {
            Json::Count(count) => usize::try_from(*count).ok(),
            _ => None,
        })
    }

    pub(crate) fn real(&self, key: &str) -> Result<Option<f64>, Problem> {
        self.typed(key, "a number", |value| match value {
            Json::Count(count) => Some(*count as f64),
            Json::Real(real) => Some(*real),
            _ => None,
        })
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Problem> {
        self.typed(key, "true or false", |value| match value {
            Json::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, Problem> {
        self.typed(key, "a text", |value| match value {
            Json::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn list(&self, key: &str) -> Result<Option<&'a [Json]>, Problem> {
        self.typed(key, "a list", |value| match value {
            Json::List(items) => Some(&items[..]),
            _ => None,
        })
    }

    pub(crate) fn object(&self, key: &str) -> Result<Option<Object<'a>>, Problem> {
        self.typed(key, "an object", |value| match value {
            Json::Object(entries) => Some(Object { path: format!("{}{key}.", self.path), entries }),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Json, Problem> {
        Json::read(text.as_bytes(), "configuration")
    }

    #[test]
    fn values_come_back_by_key_and_type_and_messages_name_the_whole_path() {
        let json = read(r#"{"a":{"n":3,"x":1e-6,"y":7,"t":"z","b":true,"l":[1],"o":null,"m":-1}}"#);
        let json = json.unwrap();
        let a = json.object("configuration").unwrap().object("a").unwrap().unwrap();
        assert_eq!(a.count("n").unwrap(), Some(3));
        assert_eq!((a.real("x").unwrap(), a.real("y").unwrap()), (Some(1e-6), Some(7.0)));
        assert_eq!((a.text("t").unwrap(), a.flag("b").unwrap()), (Some("z"), Some(true)));
        assert_eq!(a.list("l").unwrap(), Some(&[Json::Count(1)][..]));
        assert_eq!((a.count("o").unwrap(), a.count("none").unwrap()), (None, None));
        for (error, message) in [
            (a.count("m").unwrap_err(), "a.m: expected a number of things, found -1"),
            (a.count("x").unwrap_err(), "a.x: expected a number of things, found 0.000001"),
            (a.flag("t").unwrap_err(), "a.t: expected true or false, found \"z\""),
            (a.text("l").unwrap_err(), "a.l: expected a text, found a list"),
            (a.object("b").unwrap_err(), "a.b: expected an object, found true"),
            (a.need::<()>("o", None).unwrap_err(), "key \"a.o\" is missing"),
        ] {
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_also_where_nobody_looks() {
        let error = read(r#"{"unknown":[{"a":1,"a":1}]}"#).unwrap_err().to_string();
        assert!(error.starts_with("configuration: key \"a\" is there twice at line 1"), "{error}");
    }

    #[test]
    fn text_that_is_no_json_or_nested_without_end_is_refused() {
        let nested = "[".repeat(100_000);
        for text in ["", "{", "{} x", "{\"a\":NaN}", "{\"a\":1e999}", &nested] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with("configuration: "), "{error}");
        }
        let error = read("[]").unwrap().object("configuration").unwrap_err().to_string();
        assert_eq!(error, "configuration: expected an object, found a list");
    }
}
