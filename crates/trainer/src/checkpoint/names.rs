//! The names of the folders of checkpoints.

/// A checkpoint.
pub(super) fn final_name(step: u32) -> String {
    format!("step-{step:08}")
}

/// One that is being written.
pub(super) fn new_name(step: u32) -> String {
    format!(".{}.new", final_name(step))
}

/// One that is being removed.
pub(super) fn old_name(step: u32) -> String {
    format!(".{}.old", final_name(step))
}

/// The step of a checkpoint, if the name is that of one.
pub(super) fn step_of(name: &str) -> Option<u32> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (final_name(step) == name).then_some(step)
}

/// Whether a name is one that only a killed run leaves.
pub(super) fn is_left_over(name: &str) -> bool {
    let name = name.strip_prefix('.');
    let name = name.and_then(|name| name.strip_suffix(".new").or(name.strip_suffix(".old")));
    name.is_some_and(|name| step_of(name).is_some())
}

/// Whether a name is that of a checkpoint, whole or left over.
pub(crate) fn is_of_checkpoint(name: &str) -> bool {
    step_of(name).is_some() || is_left_over(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_step_and_no_others_are_ours() {
        for step in [0, 40, 99_999_999, 123_456_789, u32::MAX] {
            assert_eq!(step_of(&final_name(step)), Some(step));
            assert!(is_left_over(&new_name(step)) && is_left_over(&old_name(step)));
            assert!(!is_left_over(&final_name(step)));
        }
        for name in ["step-40", "step-+0000040", "step-000000040", "step-4294967296", "best", ""] {
            assert_eq!(step_of(name), None, "{name}");
        }
        for name in [".step-40.new", "step-00000040.new", ".step-00000040", ".best.old", "."] {
            assert!(!is_left_over(name), "{name}");
        }
    }
}
