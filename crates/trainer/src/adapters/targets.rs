//! [`Targets`] and [`LayerList`]: where adapters are, as settings spell it.

use std::fmt;
use std::str::FromStr;

use interop::adapters::Modules;

/// Projections of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Targets {
    /// All of them but the output head, routers and shared experts.
    #[default]
    AllLinear,
    /// Those whose name ends in one of these.
    Endings(Vec<String>),
    /// Those whose whole name matches a regular expression.
    Expression(String),
}

impl Targets {
    const ALL: &str = "all-linear";

    /// What text is read as targets.
    pub const EXPECTED: &str = "all-linear, ends of names such as q_proj,v_proj, or an expression such as '.*\\.mlp\\.(up|down)_proj'";

    /// The same as adapters of any origin have it.
    pub fn modules(&self) -> Modules {
        match self {
            Self::AllLinear => Modules::AllLinear,
            Self::Endings(endings) => Modules::Endings(endings.clone()),
            Self::Expression(text) => Modules::Expression(text.clone()),
        }
    }
}

/// Names are of letters, digits, `_` and `.`, with commas between; anything else is an expression. A name alone means
/// the same as the expression of it would, or more.
impl FromStr for Targets {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let is_name = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | ',' | ' ')
        };
        match text {
            "" => Err(()),
            Self::ALL => Ok(Self::AllLinear),
            names if names.chars().all(is_name) => {
                let names: Vec<&str> = names.split(',').map(str::trim).collect();
                if names.iter().any(|name| name.is_empty() || name.contains(' ')) {
                    return Err(());
                }
                Ok(Self::Endings(names.into_iter().map(str::to_owned).collect()))
            }
            expression => Ok(Self::Expression(expression.to_owned())),
        }
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllLinear => f.write_str(Self::ALL),
            Self::Endings(endings) => f.write_str(&endings.join(",")),
            Self::Expression(text) => f.write_str(text),
        }
    }
}

/// Layers of a model by their numbers, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerList(Vec<[usize; 2]>);

/// Layers that a list can name: no model has more.
const MOST: usize = 1 << 16;

impl LayerList {
    /// What text is read as layers.
    pub const EXPECTED: &str = "numbers of layers and ranges of them, such as 0-3,7";

    /// Every layer of it.
    pub fn numbers(&self) -> Vec<usize> {
        self.0.iter().flat_map(|&[first, last]| first..=last).collect()
    }
}

impl FromStr for LayerList {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let number = |text: &str| text.trim().parse::<usize>().map_err(|_| ());
            let range = [number(first)?, number(last)?];
            if range[0] <= range[1] && range[1] < MOST { Ok(range) } else { Err(()) }
        };
        let ranges: Vec<[usize; 2]> = text.split(',').map(range).collect::<Result<_, _>>()?;
        // A list of lists could name more layers than there is memory for.
        let all: usize = ranges.iter().map(|[first, last]| last - first + 1).sum();
        if all <= MOST { Ok(Self(ranges)) } else { Err(()) }
    }
}

impl fmt::Display for LayerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, [first, last]) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_all_names_or_an_expression_and_are_written_as_they_are_read() {
        let endings = |names: &[&str]| {
            Targets::Endings(names.iter().map(|name| (*name).to_owned()).collect())
        };
        for (text, expected, written) in [
            ("all-linear", Targets::AllLinear, "all-linear"),
            ("q_proj", endings(&["q_proj"]), "q_proj"),
            (" q_proj, mlp.up_proj ", endings(&["q_proj", "mlp.up_proj"]), "q_proj,mlp.up_proj"),
            (r".*\.q_proj", Targets::Expression(r".*\.q_proj".into()), r".*\.q_proj"),
            ("(a|b){1,2}", Targets::Expression("(a|b){1,2}".into()), "(a|b){1,2}"),
        ] {
            let found: Targets = text.parse().unwrap();
            assert_eq!((found.to_string().as_str(), &found), (written, &expected), "{text}");
            assert_eq!(written.parse(), Ok(expected), "{text}");
        }
        for text in ["", " ", "q_proj,", ",", "q proj"] {
            assert_eq!(text.parse::<Targets>(), Err(()), "{text:?}");
        }
    }

    #[test]
    fn layers_are_numbers_and_ranges() {
        for (text, expected, written) in
            [("7", vec![7], "7"), ("0-3, 7", vec![0, 1, 2, 3, 7], "0-3,7"), ("4-4", vec![4], "4")]
        {
            let list: LayerList = text.parse().unwrap();
            assert_eq!((list.numbers(), list.to_string().as_str()), (expected, written));
        }
        let many = ["0-65535"; 3].join(",");
        for text in ["", "a", "3-1", "1-", "-1", "1,,2", "0-65536", "99999999999999999999", &many] {
            assert_eq!(text.parse::<LayerList>(), Err(()), "{text}");
        }
    }
}
