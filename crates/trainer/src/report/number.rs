//! Numbers for people.

/// Three to four digits that count: `0.00125`, `12.3`, `1.2e-7`.
pub(super) fn plain(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e6).contains(&size) {
        shorten(&format!("{number:.2e}"))
    } else {
        let before = size.log10().floor() as i32 + 1;
        let digits = (4 - before.max(1)).max(0) + (1 - before).clamp(0, 4);
        trim(&format!("{number:.*}", digits as usize))
    }
}

/// With a letter for thousands: `9.9k`, `1.23M`.
pub(super) fn count(number: f64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "G", "T"])
}

/// Bytes, in powers of 1024: `3.1 MiB`.
pub(super) fn bytes(number: f64) -> String {
    scaled(number, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

/// A share as a percentage: `31.3%`, `0.125%`.
pub(super) fn percent(share: f64) -> String {
    format!("{}%", plain(100.0 * share))
}

/// The same with one digit behind the point, for columns.
pub(super) fn tenths(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

/// A time: `8.3 s`, `2 min 5 s`, `3 h 12 min`.
pub(super) fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..100 => format!("{seconds:.1} s"),
        100..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// Exactly, in groups of three digits: `1 234 567`, with thin spaces that do not break.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let (mut number, mut unit) = (number, 0);
    while number.abs() >= step && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let digits =
        if unit == 0 || number.abs() >= 100.0 { 0 } else { 1 + usize::from(number.abs() < 10.0) };
    format!("{}{}", trim(&format!("{number:.digits$}")), units[unit])
}

/// Without zeros at the end of a fraction.
fn trim(number: &str) -> String {
    let trimmed = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    };
    trimmed.to_owned()
}

/// The same before an exponent.
fn shorten(number: &str) -> String {
    let Some((mantissa, exponent)) = number.split_once('e') else { return number.to_owned() };
    format!("{}e{exponent}", trim(mantissa))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count_and_no_more() {
        for (number, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.5, "-0.5"),
            (1.234_56, "1.235"),
            (12.345, "12.35"),
            (123.456, "123.5"),
            (12_345.6, "12346"),
            (0.006, "0.006"),
            (0.001_234_5, "0.001234"),
            (6e-5, "6e-5"),
            (1.25e9, "1.25e9"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(plain(number), expected);
        }
        assert_eq!([percent(0.3127), percent(0.000_012_5)], ["31.27%", "0.00125%"]);
        assert_eq!([tenths(0.32), tenths(-0.0006)], ["32.0%", "-0.1%"]);
    }

    #[test]
    fn counts_bytes_and_times_come_with_their_unit() {
        assert_eq!([0.0, 999.0, 9876.0, 1.25e6].map(count), ["0", "999", "9.88k", "1.25M"]);
        assert_eq!([512.0, 1536.0, 3e9].map(bytes), ["512 B", "1.5 KiB", "2.79 GiB"]);
        assert_eq!([8.31, 125.0, 11_520.0].map(seconds), ["8.3 s", "2 min 5 s", "3 h 12 min"]);
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!([grouped(0), grouped(999)], ["0", "999"]);
    }
}
