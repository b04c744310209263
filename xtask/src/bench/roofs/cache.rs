//! The size of the last-level cache, which says what counts as "from cache" and "from DRAM".

use std::fs;

/// Where the system does not say: 32 MiB, common among servers.
const UNKNOWN_BYTES: usize = 32 << 20;

/// Bytes of the last-level cache of the first processor.
pub(crate) fn last_level_bytes() -> usize {
    (0..8)
        .filter_map(|index| {
            let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
            parse_size(fs::read_to_string(path).ok()?.trim())
        })
        .max()
        .unwrap_or(UNKNOWN_BYTES)
}

/// A size as Linux writes it: `32768K`, `36M`.
fn parse_size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(parse_size("32768K"), Some(32 << 20));
        assert_eq!(parse_size("36M"), Some(36 << 20));
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("K"), None);
        assert_eq!(parse_size("32kB"), None);
    }
}
