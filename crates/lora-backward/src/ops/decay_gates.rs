//! How much of its state a gated delta rule keeps, and how much it writes.

use nn::ternary_core::{Real, mutant};
use nn::{Result, check_size};

const OP: &str = "decay_gates";

/// What is learned of the gates, a number for each head.
#[derive(Debug, Clone, Copy)]
pub struct DecayParameters<'a, T> {
    /// ln A.
    pub a_log: &'a [T],
    /// What is added to a.
    pub dt_bias: &'a [T],
}

/// The gradients of [`DecayParameters`], to add to.
#[derive(Debug)]
pub struct DecayParameterGradients<'a, T> {
    /// Of ln A.
    pub a_log: &'a mut [T],
    /// Of what is added to a.
    pub dt_bias: &'a mut [T],
}

/// For rows of a number for each head, with softplus(x) = ln(1 + eˣ) and σ(x) = 1 / (1 + e⁻ˣ):
///
/// ```text
/// g = −A · softplus(a + dt_bias)          β = σ(b)
/// ```
///
/// g, the logarithm of the decay, is written to `decay`, and β to `write`.
///
/// # Errors
/// [`Error::Shape`](nn::Error::Shape) where the sizes do not fit.
pub fn decay_gates<T: Real>(
    parameters: DecayParameters<'_, T>,
    [a, b]: [&[T]; 2],
    [decay, write]: [&mut [T]; 2],
) -> Result<()> {
    let sizes = [("b", b.len()), ("decays", decay.len()), ("writes", write.len())];
    let heads = check(parameters, a.len(), &sizes)?;
    for (head, (&a_log, &bias)) in parameters.a_log.iter().zip(parameters.dt_bias).enumerate() {
        let scale = -a_log.exp();
        for at in (head..a.len()).step_by(heads) {
            decay[at] = scale * softplus(a[at] + bias);
            write[at] = sigmoid(b[at]);
        }
    }
    Ok(())
}

/// Adds the gradients of [`decay_gates`]:
///
/// ```text
/// da += −dg · A · σ(a + dt_bias)          db += dβ · β · (1 − β)
/// d dt_bias += Σ da                       d ln A += Σ dg · g
/// ```
///
/// Those of the parameters only where they are wanted.
///
/// # Errors
/// As [`decay_gates`].
pub fn decay_gates_backward<T: Real>(
    parameters: DecayParameters<'_, T>,
    [a, b]: [&[T]; 2],
    [d_decay, d_write]: [&[T]; 2],
    [da, db]: [&mut [T]; 2],
    mut d_parameters: Option<DecayParameterGradients<'_, T>>,
) -> Result<()> {
    let sizes = [
        ("b", b.len()),
        ("gradients of decays", d_decay.len()),
        ("gradients of writes", d_write.len()),
        ("gradients of a", da.len()),
        ("gradients of b", db.len()),
    ];
    let heads = check(parameters, a.len(), &sizes)?;
    if let Some(DecayParameterGradients { a_log, dt_bias }) = &d_parameters {
        check_size(OP, "gradients of ln A", heads, a_log.len())?;
        check_size(OP, "gradients of biases", heads, dt_bias.len())?;
    }
    for (head, (&a_log, &bias)) in parameters.a_log.iter().zip(parameters.dt_bias).enumerate() {
        let scale = -a_log.exp();
        let (mut d_log, mut d_bias) = (T::ZERO, T::ZERO);
        for at in (head..a.len()).step_by(heads) {
            let x = a[at] + bias;
            let slope = mutant!("decay_gates/slope of the softplus", sigmoid(x), T::ONE);
            let d = d_decay[at] * scale * slope;
            da[at] = mutant!("decay_gates/overwritten", da[at] + d, d);
            // 1 − σ(b) would cancel where b is large.
            let rest = mutant!("decay_gates/slope of the sigmoid", sigmoid(-b[at]), T::ONE);
            db[at] += d_write[at] * sigmoid(b[at]) * rest;
            d_bias += d;
            d_log += d_decay[at] * scale * softplus(x);
        }
        if let Some(DecayParameterGradients { a_log, dt_bias }) = &mut d_parameters {
            a_log[head] += mutant!("decay_gates/gradient of A lost", d_log, T::ZERO);
            dt_bias[head] += d_bias;
        }
    }
    Ok(())
}

/// ln(1 + eˣ), without overflow and with the digits of eˣ where it is small.
fn softplus<T: Real>(x: T) -> T {
    x.max(T::ZERO) + (-x.abs()).exp().ln_1p()
}

/// 1 / (1 + e⁻ˣ).
fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

/// Checks the sizes; the number of heads.
fn check<T>(
    parameters: DecayParameters<'_, T>,
    numbers: usize,
    sizes: &[(&'static str, usize)],
) -> Result<usize> {
    let heads = parameters.a_log.len();
    check_size(OP, "biases", heads, parameters.dt_bias.len())?;
    check_size(OP, "a", numbers.checked_div(heads).unwrap_or(0) * heads, numbers)?;
    for &(what, found) in sizes {
        check_size(OP, what, numbers, found)?;
    }
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_LOG: [f64; 2] = [0.5, -1.0];
    const BIAS: [f64; 2] = [0.25, -0.75];

    fn parameters() -> DecayParameters<'static, f64> {
        DecayParameters { a_log: &A_LOG, dt_bias: &BIAS }
    }

    fn run(a: &[f64], b: &[f64]) -> [Vec<f64>; 2] {
        let mut out = [vec![7.0; a.len()], vec![7.0; a.len()]];
        let [decay, write] = &mut out;
        decay_gates(parameters(), [a, b], [decay, write]).unwrap();
        out
    }

    #[test]
    fn the_softplus_keeps_its_digits_everywhere() {
        for (x, expected) in [
            (0.0, std::f64::consts::LN_2),
            (800.0, 800.0),
            (-40.0, (-40.0_f64).exp()),
            (-700.0, (-700.0_f64).exp()),
            // ln(1 + e²⁵) = 25 + e⁻²⁵ − …, which a linear branch above 20 would lose.
            (25.0, 25.0 + (-25.0_f64).exp()),
        ] {
            let found = softplus(x);
            assert!((found - expected).abs() <= 1e-15 * expected, "softplus({x}) = {found}");
        }
    }

    #[test]
    fn decay_and_write_are_those_of_the_formula() {
        let [decay, write] = run(&[1.0, -2.0, 0.5, 3.0], &[0.0, 1.0, -1.0, 40.0]);
        let g = |a: f64, head: usize| -A_LOG[head].exp() * (1.0 + (a + BIAS[head]).exp()).ln();
        for (found, expected) in decay.iter().zip([g(1.0, 0), g(-2.0, 1), g(0.5, 0), g(3.0, 1)]) {
            assert!((found - expected).abs() < 1e-14);
        }
        assert_eq!(write[0], 0.5);
        assert!((write[1] + write[2] - 1.0).abs() < 1e-15 && write[3] <= 1.0);
    }

    #[test]
    fn far_out_there_is_still_a_gradient_of_what_is_written() {
        // β(1 − β) = e⁻⁴⁰ at b = 40, where β itself rounds to 1.
        let (mut da, mut db) = ([0.0; 2], [0.0; 2]);
        let d = [&[0.0; 2][..], &[1.0; 2]];
        decay_gates_backward(
            parameters(),
            [&[0.0; 2], &[40.0, -40.0]],
            d,
            [&mut da, &mut db],
            None,
        )
        .unwrap();
        for d in db {
            assert!((d / (-40.0_f64).exp() - 1.0).abs() < 1e-12, "{d}");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_named_and_no_rows_are_no_work() {
        let (mut decay, mut write) = ([0.0; 2], [0.0; 3]);
        let error = decay_gates(parameters(), [&[0.0; 2], &[0.0; 2]], [&mut decay, &mut write])
            .unwrap_err();
        assert_eq!(error.to_string(), "decay_gates: writes: expected 2, found 3");
        let error = decay_gates(parameters(), [&[0.0; 3], &[0.0; 3]], [&mut [], &mut []]);
        assert_eq!(error.unwrap_err().to_string(), "decay_gates: a: expected 2, found 3");
        assert_eq!(run(&[], &[]), [vec![], vec![]]);
        let none = DecayParameters::<f64> { a_log: &[], dt_bias: &[] };
        decay_gates(none, [&[], &[]], [&mut [], &mut []]).unwrap();
        assert!(decay_gates(none, [&[1.0], &[1.0]], [&mut [0.0], &mut [0.0]]).is_err());
    }
}
