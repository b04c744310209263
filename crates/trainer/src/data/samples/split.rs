//! Which samples are held out.

/// Whether each sample is held out, by its hash: those of a share of all hashes. So a sample that is there twice is not
/// both learnt and held out, and one that others are added to stays where it was. At least one is held out and at least
/// one is not; none where all are the same.
pub(super) fn held_out(hashes: &[u64], share: f64) -> Option<Vec<bool>> {
    let (least, most) = (*hashes.iter().min()?, *hashes.iter().max()?);
    if least == most {
        return None;
    }
    // 2⁶⁴ and a share of it, as far as a float tells numbers apart.
    let limit = (share * (u64::MAX as f64)) as u64;
    let limit = limit.clamp(least.saturating_add(1), most);
    Some(hashes.iter().map(|&hash| hash < limit).collect())
}

#[cfg(test)]
mod tests {
    use ternary_core::noise::Noise;

    use super::*;

    fn hashes(count: u64) -> Vec<u64> {
        (0..count).map(|index| Noise::new(7, 0, 0).wide_bits(2 * index)).collect()
    }

    #[test]
    fn about_a_share_is_held_out_and_more_samples_change_no_other() {
        let few = held_out(&hashes(1000), 0.1).unwrap();
        let count = few.iter().filter(|&&is_out| is_out).count();
        // Four standard deviations: √(1000 · 0.1 · 0.9) = 9.5.
        assert!(count.abs_diff(100) < 38, "{count}");
        assert_eq!(held_out(&hashes(3000), 0.1).unwrap()[..1000], few);
    }

    #[test]
    fn samples_that_are_the_same_are_on_the_same_side() {
        let mut twice = hashes(50);
        twice.extend(hashes(50));
        let sides = held_out(&twice, 0.3).unwrap();
        assert_eq!(sides[..50], sides[50..]);
    }

    #[test]
    fn there_is_always_one_on_either_side() {
        assert_eq!(held_out(&[9, u64::MAX, 9], 1e-9).unwrap(), [true, false, true]);
        assert_eq!(held_out(&[9, 8], 0.999_999).unwrap(), [false, true]);
        assert_eq!(held_out(&[0, u64::MAX], 0.5).unwrap(), [true, false]);
        assert_eq!(held_out(&[5, 5], 0.5), None);
        assert_eq!(held_out(&[], 0.5), None);
    }
}
