//! How long a run may take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A time of at least a second: `90s`, `20m`, `2h`, or parts in falling order, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    seconds: u64,
}

/// Each unit with its seconds, the longest first.
const UNITS: [(char, u64); 3] = [('h', 3600), ('m', 60), ('s', 1)];

impl Span {
    /// What text is read as a time.
    pub const EXPECTED: &str = "a time such as 90s, 20m, 2h or 1h30m";

    /// As the standard library has it.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.seconds;
        for (unit, seconds) in UNITS {
            if left >= seconds {
                write!(f, "{}{unit}", left / seconds)?;
                left %= seconds;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (mut rest, mut units, mut seconds) = (text.trim(), &UNITS[..], 0_u64);
        while !rest.is_empty() {
            let end = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or(())?;
            let (number, tail) = rest.split_at(end);
            let mut letters = tail.chars();
            let unit = letters.next().ok_or(())?;
            let place = units.iter().position(|(letter, _)| *letter == unit).ok_or(())?;
            let number: u64 = number.parse().map_err(|_| ())?;
            let part = number.checked_mul(units[place].1).ok_or(())?;
            seconds = seconds.checked_add(part).ok_or(())?;
            (rest, units) = (letters.as_str(), &units[place + 1..]);
        }
        if seconds > 0 { Ok(Self { seconds }) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, seconds, written) in [
            ("90s", 90, "1m30s"),
            ("20m", 1200, "20m"),
            ("2h", 7200, "2h"),
            (" 1h30m ", 5400, "1h30m"),
            ("1h5s", 3605, "1h5s"),
            ("0h1s", 1, "1s"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.duration(), Duration::from_secs(seconds), "{text}");
            assert_eq!(span.to_string(), written);
            assert_eq!(written.parse(), Ok(span));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "90",
            "s",
            "0s",
            "1d",
            "1.5h",
            "-1s",
            "30m1h",
            "1s1s",
            "99999999999999999999s",
            "1 h",
        ] {
            assert_eq!(text.parse::<Span>(), Err(()), "{text}");
        }
        assert_eq!(format!("{}h", u64::MAX).parse::<Span>(), Err(()));
    }
}
