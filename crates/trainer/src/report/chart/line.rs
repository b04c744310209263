//! Lines of fewer points that look the same, and lines without their noise.

/// Points of a line that a chart draws at most.
pub(super) const POINTS: usize = 1000;

/// At most `most` points that keep the look of a line: the least and the greatest of each run of points, in
/// their order, and the first and the last of all.
pub(super) fn thin(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let ([first, inner @ .., last], true) = (points, points.len() > most.max(4)) else {
        return points.to_vec();
    };
    let runs = (most.max(4) - 2) / 2;
    let mut thinned = vec![*first];
    for run in 0..runs {
        let run = &inner[inner.len() * run / runs..inner.len() * (run + 1) / runs];
        let indices = 0..run.len();
        let least = indices.clone().min_by(|&a, &b| run[a].1.total_cmp(&run[b].1));
        let greatest = indices.max_by(|&a, &b| run[a].1.total_cmp(&run[b].1));
        let (Some(least), Some(greatest)) = (least, greatest) else { continue };
        thinned.push(run[least.min(greatest)]);
        if least != greatest {
            thinned.push(run[least.max(greatest)]);
        }
    }
    thinned.push(*last);
    thinned
}

/// A running mean that forgets, the faster the nearer the start is, where losses fall most:
///
/// ```text
/// s_i = s_{i−1} + (y_i − s_{i−1}) / min(span, 1 + i/4),   i = 0, 1, …
/// ```
pub(crate) fn smooth(points: &[(f64, f64)], span: f64) -> Vec<(f64, f64)> {
    let mut mean = 0.0;
    let step = |(index, &(x, y)): (usize, &(f64, f64))| {
        mean += (y - mean) / span.max(1.0).min(1.0 + index as f64 / 4.0);
        (x, mean)
    };
    points.iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(count: u32) -> Vec<(f64, f64)> {
        let noise = ternary_core::noise::Noise::new(1, 2, 3);
        (0..count).map(|i| (i.into(), f64::from(noise.bits(i.into()) % 1000))).collect()
    }

    #[test]
    fn a_thinned_line_keeps_its_ends_its_extremes_and_its_order() {
        let mut points = noisy(123_457);
        points[60_001].1 = 1e9;
        points[60_002].1 = -1e9;
        let thinned = thin(&points, 1000);
        assert!((900..=1000).contains(&thinned.len()), "{}", thinned.len());
        assert_eq!((thinned[0], thinned[thinned.len() - 1]), (points[0], points[123_456]));
        assert!(thinned.contains(&points[60_001]) && thinned.contains(&points[60_002]));
        assert!(thinned.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn short_lines_stay_as_they_are() {
        for count in [0, 1, 2, 999, 1000] {
            assert_eq!(thin(&noisy(count), 1000), noisy(count));
        }
        assert!(thin(&noisy(1001), 1000).len() <= 1000);
    }

    #[test]
    fn a_smooth_line_of_equal_numbers_is_that_number_from_the_first() {
        let level: Vec<_> = (0..50).map(|i| (f64::from(i), 3.0)).collect();
        assert!(smooth(&level, 20.0).iter().all(|&(_, y)| (y - 3.0).abs() < 1e-12));
        assert_eq!(smooth(&noisy(9), 1.0), noisy(9));
        let smoothed = smooth(&noisy(1000), 100.0);
        assert!((smoothed[999].1 - 500.0).abs() < 100.0);
    }
}
