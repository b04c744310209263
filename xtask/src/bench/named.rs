//! Things that have the same name on the command line and in reports.

use clap::ValueEnum;

/// The name on the command line.
pub(crate) fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Displays types of the command line by their names.
macro_rules! display_by_name {
    ($($type:ty),*) => {$(
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&$crate::bench::named::name(self))
            }
        }
    )*};
}
pub(crate) use display_by_name;
