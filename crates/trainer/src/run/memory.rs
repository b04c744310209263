//! How much memory the process has had.

/// The most memory that the process has had in the machine so far, in bytes; none where the system does not tell
/// it in a file.
pub(super) fn peak_memory() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?).map(|kibibytes| kibibytes << 10)
}

/// The number of the line `VmHWM:  12345 kB`.
fn kibibytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_high_water_mark_of_the_status_file() {
        assert_eq!(kibibytes("VmPeak:\t 9 kB\nVmHWM:\t  1234 kB\nVmRSS:\t7 kB\n"), Some(1234));
        for other in ["", "VmHWM: 12 MB", "VmHWM: many kB"] {
            assert_eq!(kibibytes(other), None, "{other}");
        }
    }
}
