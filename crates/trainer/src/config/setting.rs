//! The macro that turns one list of settings into their structs and their descriptions.

use toml::Value;

use super::Configuration;

/// A setting as command lines, files and help texts see it.
#[derive(Debug)]
pub struct Setting {
    /// The table of the file it stands in; empty for the top, whose settings are all flags as well.
    pub section: &'static str,
    /// Its name within the section.
    pub name: &'static str,
    pub(super) help: &'static str,
    /// The flag of a setting that stands in a section; empty for none.
    pub(super) own_flag: &'static str,
    pub(super) is_list: bool,
    pub(super) expected: fn() -> String,
    pub(super) choices: fn() -> Option<String>,
    pub(super) read: fn(&Configuration) -> Option<Value>,
    pub(super) write: fn(&mut Configuration, &Value) -> bool,
}

impl Setting {
    /// The name by which files and `--set` call it: `steps`, `model.width`.
    pub fn key(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }

    /// What it does, in a line, with the names that it takes where they are those of a list in code.
    pub fn help(&self) -> String {
        let help = self.help.trim_ascii();
        let Some(choices) = (self.choices)() else { return help.to_owned() };
        let (what, default) = help.split_at(help.find(" [default").unwrap_or(help.len()));
        format!("{what}: {choices}{default}")
    }

    /// Which values it takes, in words.
    pub fn expected(&self) -> String {
        (self.expected)()
    }

    /// Whether it is also a flag of its own.
    pub fn is_flag(&self) -> bool {
        self.section.is_empty() || !self.own_flag.is_empty()
    }

    /// The flag it would be, without the dashes: `fogzo-from`.
    pub fn flag(&self) -> String {
        let name = if self.own_flag.is_empty() { self.name } else { self.own_flag };
        name.replace('_', "-")
    }

    /// Whether it holds several values: its flag may be repeated.
    pub fn is_list(&self) -> bool {
        self.is_list
    }

    /// Whether the configuration of a run keeps it. Where the run goes, and whether it replaces one, is for that run
    /// alone.
    pub fn is_kept(&self) -> bool {
        !matches!((self.section, self.name), ("", "out" | "force"))
    }

    /// Whether it is either on or off.
    pub fn is_switch(&self) -> bool {
        matches!(self.value(&Configuration::default()), Some(Value::Boolean(_)))
    }

    /// Its value as TOML; nothing where it is absent.
    pub fn value(&self, configuration: &Configuration) -> Option<Value> {
        (self.read)(configuration)
    }

    /// Changes the setting and says whether the value was one it takes.
    #[must_use]
    pub fn change(&self, configuration: &mut Configuration, value: &Value) -> bool {
        (self.write)(configuration, value)
    }
}

/// Defines every setting once. A section is `field: Struct "table" { settings }`, a setting
/// `name: type = default, in range, flag "name";` with its help as the doc comment; range and flag may be left out,
/// and settings of the top are flags by their own names. From that come the structs of
/// the sections with their defaults, [`Configuration`], and [`SETTINGS`](super::SETTINGS).
macro_rules! settings {
    ($(
        #[doc = $about:literal]
        $section:ident: $Section:ident $table:literal {
            $(
                $(#[doc = $help:literal])+
                $name:ident: $type:ty = $default:expr $(, in $range:expr)? $(, flag $flag:literal)?;
            )*
        }
    )*) => {
        $(
            #[doc = $about]
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section {
                $(
                    $(#[doc = $help])+
                    pub $name: $type,
                )*
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($name: $default),* }
                }
            }
        )*

        /// Everything that a training run is told.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Configuration {
            $(
                #[doc = $about]
                pub $section: $Section,
            )*
        }

        /// Every setting, in the order of files and help texts.
        pub static SETTINGS: &[Setting] = &[$($(
            Setting {
                section: $table,
                name: stringify!($name),
                help: concat!($($help),+),
                own_flag: concat!($($flag)?),
                is_list: <$type as SettingValue>::IS_LIST,
                expected: || {
                    let words = <$type as SettingValue>::expected();
                    $(let words = format!("{words} {}", bounds_in_words(&$range));)?
                    words
                },
                choices: <$type as SettingValue>::choices,
                read: |configuration| configuration.$section.$name.to_toml(),
                write: |configuration, value| {
                    let value = <$type as SettingValue>::from_toml(value);
                    $(let value = value.filter(|value| ($range).contains(value));)?
                    value.map(|value| configuration.$section.$name = value).is_some()
                },
            },
        )*)*];
    };
}

pub(super) use settings;
