//! What a setting can hold, and how it is read from TOML and written back.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;

use models::{Base, Shadow};
use nn::{Activations, Nonlinearity, ScaleSync};
use ste::Mode;
use ternary_core::{Granularity, Packing, Rule};
use toml::Value;

use super::preset::Preset;
use crate::adapters::{LayerList, Targets};
use crate::data::Long;
use crate::guards::{Metric, Span, StopCondition};
use crate::mining::Items;
use crate::optimiser::{Group, Method};
use crate::schedule::{Fall, Shape};

/// A type that a setting can have.
pub(super) trait SettingValue: Sized {
    /// Whether it is a list: words of a command line are then its elements, divided by semicolons, and a
    /// setting that is given again is given more of them.
    const IS_LIST: bool = false;

    /// What is expected, in words, as in `expected a whole number, found "abc"`.
    fn expected() -> String;

    /// The names that a help text lists because they stand in no other place of it.
    fn choices() -> Option<String> {
        None
    }

    /// Reads the value, if it is one of this type.
    fn from_toml(value: &Value) -> Option<Self>;

    /// Writes the value; nothing for one that is absent.
    fn to_toml(&self) -> Option<Value>;
}

/// The bounds of a setting in words, as in `from 1 to 64`.
pub(super) fn bounds_in_words<T: fmt::Display>(range: &impl RangeBounds<T>) -> String {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(low), Bound::Included(high)) => format!("from {low} to {high}"),
        (Bound::Included(low), Bound::Excluded(high)) => format!("from {low} to below {high}"),
        (Bound::Excluded(low), Bound::Included(high)) => format!("above {low} and up to {high}"),
        (Bound::Excluded(low), Bound::Excluded(high)) => format!("above {low} and below {high}"),
        (Bound::Included(low), Bound::Unbounded) => format!("of at least {low}"),
        (Bound::Excluded(low), Bound::Unbounded) => format!("above {low}"),
        (Bound::Unbounded, Bound::Included(high)) => format!("of at most {high}"),
        (Bound::Unbounded, Bound::Excluded(high)) => format!("below {high}"),
        (Bound::Unbounded, Bound::Unbounded) => "of any size".into(),
    }
}

macro_rules! whole_numbers {
    ($($integer:ident)*) => {$(
        impl SettingValue for $integer {
            fn expected() -> String {
                "a whole number".into()
            }

            fn from_toml(value: &Value) -> Option<Self> {
                value.as_integer()?.try_into().ok()
            }

            fn to_toml(&self) -> Option<Value> {
                i64::try_from(*self).ok().map(Value::Integer)
            }
        }
    )*};
}

whole_numbers!(u32 u64 usize);

impl SettingValue for f64 {
    fn expected() -> String {
        "a number".into()
    }

    fn from_toml(value: &Value) -> Option<Self> {
        let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as Self))?;
        number.is_finite().then_some(number)
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::Float(*self))
    }
}

impl SettingValue for bool {
    fn expected() -> String {
        "true or false".into()
    }

    fn from_toml(value: &Value) -> Option<Self> {
        value.as_bool()
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

impl SettingValue for PathBuf {
    fn expected() -> String {
        "a path".into()
    }

    fn from_toml(value: &Value) -> Option<Self> {
        value.as_str().filter(|path| !path.is_empty()).map(Self::from)
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.to_str()?.to_owned()))
    }
}

/// A setting that may be absent; once given, it is a value.
impl<T: SettingValue> SettingValue for Option<T> {
    fn expected() -> String {
        T::expected()
    }

    fn choices() -> Option<String> {
        T::choices()
    }

    fn from_toml(value: &Value) -> Option<Self> {
        T::from_toml(value).map(Some)
    }

    fn to_toml(&self) -> Option<Value> {
        self.as_ref()?.to_toml()
    }
}

/// In a file an array, on a command line its elements with semicolons between.
impl<T: SettingValue> SettingValue for Vec<T> {
    const IS_LIST: bool = true;

    fn expected() -> String {
        format!("a list, each {}", T::expected())
    }

    fn choices() -> Option<String> {
        T::choices()
    }

    fn from_toml(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::from_toml).collect()
    }

    fn to_toml(&self) -> Option<Value> {
        self.iter().map(T::to_toml).collect::<Option<_>>().map(Value::Array)
    }
}

/// Types that are read from a text and written as one, with the names that a help lists.
macro_rules! texts {
    ($($kind:ty => $choices:expr;)*) => {$(
        impl SettingValue for $kind {
            fn expected() -> String {
                <$kind>::EXPECTED.into()
            }

            fn choices() -> Option<String> {
                $choices
            }

            fn from_toml(value: &Value) -> Option<Self> {
                value.as_str()?.parse().ok()
            }

            fn to_toml(&self) -> Option<Value> {
                Some(Value::String(self.to_string()))
            }
        }
    )*};
}

texts! {
    Group => None;
    StopCondition => Some(Metric::ALL.map(Metric::name).join(", "));
    Span => None;
    Targets => None;
    LayerList => None;
}

fn rules() -> String {
    Rule::DEFAULTS.map(|rule| rule.to_string()).join(", ")
}

impl SettingValue for Rule {
    fn expected() -> String {
        let names = rules();
        format!("a quantiser: {names}, or twn0.7, fixed0.02 or ttq0.1 with any number")
    }

    fn choices() -> Option<String> {
        Some(rules())
    }

    fn from_toml(value: &Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

fn modes() -> String {
    Mode::ALL.map(Mode::name).join(", ")
}

impl SettingValue for Mode {
    fn expected() -> String {
        format!("a mode: {}", modes())
    }

    fn choices() -> Option<String> {
        Some(modes())
    }

    fn from_toml(value: &Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

impl SettingValue for ScaleSync {
    fn expected() -> String {
        format!("one of {}", Self::ALL.map(|sync| sync.to_string()).join(", "))
    }

    fn from_toml(value: &Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

impl SettingValue for Granularity {
    fn expected() -> String {
        "tensor, row, or the columns of a group, a whole number of at least 1".into()
    }

    fn from_toml(value: &Value) -> Option<Self> {
        match value {
            Value::String(name) if name == "tensor" => Some(Self::Tensor),
            Value::String(name) if name == "row" => Some(Self::Row),
            Value::Integer(columns) => Self::group(usize::try_from(*columns).ok()?).ok(),
            _ => None,
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(match self {
            Self::Tensor => Value::String("tensor".into()),
            Self::Row => Value::String("row".into()),
            Self::Group(columns) => Value::Integer(i64::try_from(columns.get()).ok()?),
        })
    }
}

/// Types with a name for each of a few values.
macro_rules! named {
    ($($kind:ty, $what:literal: $($name:literal => $value:path),*;)*) => {$(
        impl SettingValue for $kind {
            fn expected() -> String {
                format!("{}: {}", $what, [$($name),*].join(", "))
            }

            fn from_toml(value: &Value) -> Option<Self> {
                match value.as_str()? {
                    $($name => Some($value),)*
                    _ => None,
                }
            }

            fn to_toml(&self) -> Option<Value> {
                let name = match self {
                    $($value => $name,)*
                };
                Some(Value::String(name.into()))
            }
        }
    )*};
}

named! {
    Packing, "a packing": "two-bit" => Packing::TwoBit, "five-trits" => Packing::FiveTrits;
    Activations, "a kind of activations": "int8" => Activations::Int8, "real" => Activations::Real;
    Items, "what is kept as a whole": "tokens" => Items::Tokens, "examples" => Items::Examples;
    Long, "what is done with it": "cut" => Long::Cut, "refuse" => Long::Refuse;
    Fall, "a way to fall": "linear" => Fall::Linear, "root" => Fall::Root;
    Nonlinearity, "a function": "swiglu" => Nonlinearity::SwiGlu, "relu2" => Nonlinearity::ReluSquared,
        "gelu" => Nonlinearity::Gelu;
    Shadow, "a precision": "f32" => Shadow::F32, "bf16" => Shadow::Bf16, "none" => Shadow::None;
}

impl SettingValue for Preset {
    fn expected() -> String {
        format!("a preset: {}", Self::ALL.map(Self::name).join(", "))
    }

    fn from_toml(value: &Value) -> Option<Self> {
        let name = value.as_str()?;
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.name().into()))
    }
}

/// Types with a list of all values, each of which has a name, and a flag whose help lists them.
macro_rules! listed {
    ($($kind:ty, $what:literal;)*) => {$(
        impl SettingValue for $kind {
            fn expected() -> String {
                format!("{}: {}", $what, Self::ALL.map(Self::name).join(", "))
            }

            fn choices() -> Option<String> {
                Some(Self::ALL.map(Self::name).join(", "))
            }

            fn from_toml(value: &Value) -> Option<Self> {
                let name = value.as_str()?;
                Self::ALL.into_iter().find(|value| value.name() == name)
            }

            fn to_toml(&self) -> Option<Value> {
                Some(Value::String(self.name().into()))
            }
        }
    )*};
}

listed! {
    Base, "how a model is kept";
    Method, "an optimiser";
    Shape, "a schedule";
}
