//! Axes: from numbers to places, and the round numbers that are written beside them.

/// How numbers lie on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Scale {
    /// Equal steps.
    #[default]
    Linear,
    /// Equal factors.
    Logarithmic,
}

/// Numbers beyond it stand at the end of their axis.
const LARGEST: f64 = 1e300;

/// A range of numbers along a range of places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    scale: Scale,
    /// The numbers at both ends, logarithms where the scale is one.
    low: f64,
    high: f64,
    /// The places of both.
    from: f64,
    to: f64,
}

/// A number whose sums and differences are finite too.
fn within(number: f64) -> f64 {
    number.clamp(-LARGEST, LARGEST)
}

impl Axis {
    /// For the numbers from `low` to `high`, or around them where they are equal.
    pub(super) fn new(scale: Scale, low: f64, high: f64, from: f64, to: f64) -> Self {
        let of = |number: f64| match scale {
            Scale::Linear => number,
            Scale::Logarithmic => number.log10(),
        };
        let (mut low, mut high) = (within(of(low)), within(of(high)));
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            let around =
                if scale == Scale::Logarithmic { 0.5 } else { (high.abs() / 2.0).max(1e-6) };
            (low, high) = (low - around, high + around);
        }
        Self { scale, low, high, from, to }
    }

    /// The place of a number.
    pub(super) fn place(&self, number: f64) -> f64 {
        let number = if self.scale == Scale::Logarithmic { number.log10() } else { number };
        let number = within(number).clamp(self.low, self.high);
        self.from + (number - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// The numbers at the ends.
    pub(super) fn ends(&self) -> (f64, f64) {
        match self.scale {
            Scale::Linear => (self.low, self.high),
            Scale::Logarithmic => (10_f64.powf(self.low), 10_f64.powf(self.high)),
        }
    }

    /// About `about` round numbers on it.
    pub(super) fn ticks(&self, about: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => self.steps(about),
            Scale::Logarithmic => self.powers(about),
        }
    }

    /// Multiples of 1, 2 or 5 times a power of ten.
    fn steps(&self, about: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / about.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= rough * 0.999);
        let step = step.unwrap_or(10.0) * power;
        // An end that is round but for its last bit counts.
        let first = (self.low / step - 1e-9).ceil();
        let last = (self.high / step + 1e-9).floor();
        let count = (last - first).clamp(0.0, 100.0) as u32;
        (0..=count).map(|index| (first + f64::from(index)) * step).collect()
    }

    /// Powers of ten, all or each second and so on; where they are few, 2 and 5 times them too, or equal steps.
    fn powers(&self, about: usize) -> Vec<f64> {
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let every = ((last - first) as usize).div_ceil(about.max(1)).max(1);
        let factors: &[f64] = if self.high - self.low < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (first..=last).step_by(every);
        let all = powers.flat_map(|power| factors.iter().map(move |f| f * 10_f64.powi(power)));
        let ticks: Vec<f64> = all
            .filter(|tick| (self.low - 1e-9..=self.high + 1e-9).contains(&tick.log10()))
            .collect();
        if ticks.len() > 2 {
            return ticks;
        }
        let (low, high) = self.ends();
        Self { scale: Scale::Linear, low, high, ..*self }.steps(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        let linear = |low, high| Axis::new(Scale::Linear, low, high, 0.0, 1.0).ticks(5);
        assert_eq!(linear(0.0, 500.0), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!(linear(0.9, 5.6), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(linear(-0.002, 0.004).len(), 4);
        let powers = |low, high| Axis::new(Scale::Logarithmic, low, high, 0.0, 1.0).ticks(5);
        let near = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-9),
                "{found:?}"
            );
        };
        near(powers(0.3, 30.0), &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        near(powers(1e-4, 1e4), &[1e-4, 1e-2, 1.0, 1e2, 1e4]);
        near(powers(3.0, 4.0), &[3.0, 3.2, 3.4, 3.6, 3.8, 4.0]);
    }

    #[test]
    fn a_single_number_stands_in_the_middle() {
        for (scale, number) in
            [(Scale::Linear, 0.0), (Scale::Linear, -7.0), (Scale::Logarithmic, 3.0)]
        {
            let axis = Axis::new(scale, number, number, 10.0, 20.0);
            assert!((axis.place(number) - 15.0).abs() < 1e-9);
            assert!(!axis.ticks(4).is_empty());
        }
    }

    #[test]
    fn ends_have_the_places_of_the_ends() {
        let axis = Axis::new(Scale::Logarithmic, 0.01, 100.0, 200.0, 0.0);
        let places = [0.01, 1.0, 100.0].map(|number| axis.place(number));
        assert!(places.iter().zip([200.0, 100.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-9));
        assert!((axis.ends().1 - 100.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_too_large_for_their_differences_have_places_too() {
        for (low, high) in [(-1e308, 1e308), (f64::MIN, f64::MAX), (1e308, 1e308), (-f64::MAX, 0.0)]
        {
            let axis = Axis::new(Scale::Linear, low, high, 10.0, 20.0);
            for number in [low, 0.0, high].into_iter().chain(axis.ticks(5)) {
                assert!((10.0..=20.0).contains(&axis.place(number)), "{low} {high} {number}");
            }
        }
    }
}
