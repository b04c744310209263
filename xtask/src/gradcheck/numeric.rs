//! Derivatives from function values alone: Ridders' extrapolation of central differences.
//!
//! ```text
//! D(h) = (f(x + h) − f(x − h)) / 2h = f'(x) + c₂h² + c₄h⁴ + …
//! ```
//!
//! Halving h and combining two rows of the table removes one power of h² after the other. The answer
//! is the entry of the table that agrees best with its neighbours, and how well it agrees is the
//! estimate of its error (Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", 1982).

/// Steps that are tried: h, h/2, … Further ones would only add the rounding of f / h.
const STEPS: usize = 7;

/// A derivative and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// The derivative.
    pub(crate) value: f64,
    /// The extrapolation's own estimate of the error of `value`.
    pub(crate) error: f64,
}

/// The derivative of `f` at 0 from the central differences that `difference` takes:
/// `difference(h)` is f(h) − f(−h), and the first h is `step`.
///
/// # Errors
///
/// The first error of `difference`.
pub(crate) fn derivative<E>(
    step: f64,
    mut difference: impl FnMut(f64) -> Result<f64, E>,
) -> Result<Estimate, E> {
    let mut best = Estimate { value: f64::NAN, error: f64::INFINITY };
    // Row `k` of the table: extrapolations of order 0, 1, … that end with step h / 2ᵏ.
    let mut row = [f64::NAN; STEPS];
    let mut h = step;
    for k in 0..STEPS {
        let mut current = [f64::NAN; STEPS];
        current[0] = difference(h)? / (2.0 * h);
        let mut power = 1.0;
        for order in 1..=k {
            power *= 4.0;
            current[order] = (power * current[order - 1] - row[order - 1]) / (power - 1.0);
            let error = (current[order] - current[order - 1])
                .abs()
                .max((current[order] - row[order - 1]).abs());
            if error < best.error {
                best = Estimate { value: current[order], error };
            }
        }
        row = current;
        h *= 0.5;
    }
    Ok(best)
}

/// Σ uᵢ·(aᵢ − bᵢ): the outputs are differenced elementwise first, so that what does not change
/// cancels exactly however large it is.
pub(crate) fn contracted_difference(upstream: &[Vec<f64>], a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let mut sum = 0.0;
    for ((upstream, a), b) in upstream.iter().zip(a).zip(b) {
        for ((u, a), b) in upstream.iter().zip(a).zip(b) {
            sum += u * (a - b);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn of(f: impl Fn(f64) -> f64, x: f64, step: f64) -> Estimate {
        let difference = |h: f64| Ok::<_, Infallible>(f(x + h) - f(x - h));
        derivative(step, difference).unwrap()
    }

    #[test]
    fn smooth_functions_are_differentiated_to_the_last_digits_and_the_estimate_knows_it() {
        for (f, x, exact) in [
            (f64::exp as fn(f64) -> f64, 0.7, 0.7_f64.exp()),
            (f64::sin, 1.2, 1.2_f64.cos()),
            (f64::ln, 0.8, 1.0 / 0.8),
            (|x| x.powi(5), -1.1, 5.0 * 1.1_f64.powi(4)),
            (|x| 1.0 / (1.0 + (-x).exp()), 0.3, 0.244_458_311_690_745_84),
        ] {
            let found = of(f, x, 1.0 / 16.0);
            assert!((found.value - exact).abs() < 1e-11 * exact.abs(), "{found:?} and {exact}");
            assert!(found.error < 1e-9 * exact.abs(), "{found:?}");
        }
    }

    #[test]
    fn a_kink_within_reach_shows_in_the_estimate_of_the_error() {
        let found = of(f64::abs, 0.02, 1.0 / 16.0);
        let off = (found.value - 1.0).abs();
        assert!(off < 1e-12 || found.error > 1e-3, "{found:?}");
        assert!(of(f64::abs, 0.0, 1.0 / 16.0).value.abs() < 1e-12);
        let step = |x: f64| if x > 1e-5 { 1.0 } else { 0.0 };
        assert!(of(step, 0.0, 1.0 / 16.0).error > 1.0);
    }

    #[test]
    fn a_value_that_is_not_a_number_gives_a_derivative_that_is_none() {
        let found = of(|x| if x > 0.0 { f64::NAN } else { x }, 0.0, 0.1);
        assert!(found.value.is_nan() && found.error.is_infinite(), "{found:?}");
    }

    #[test]
    fn an_error_of_the_function_is_passed_on() {
        assert_eq!(derivative(0.1, |_| Err::<f64, _>("refused")), Err("refused"));
    }

    #[test]
    fn a_large_output_that_does_not_change_adds_no_rounding() {
        let upstream = [vec![1.0, 1.0]];
        let at = |x: f64| [vec![1e16, x]];
        assert_eq!(contracted_difference(&upstream, &at(1.5), &at(0.25)), 1.25);
    }
}
