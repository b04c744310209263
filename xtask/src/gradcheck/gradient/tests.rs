//! The check on a small op of its own: right, and wrong in each way it must notice.

use super::*;

/// y = a·(x + b)², with `a` and `b` of one entry each.
fn forward([x, a, b]: [&[f64]; 3]) -> Outcome<[Vec<f64>; 1]> {
    Ok([x.iter().map(|x| a[0] * (x + b[0]).powi(2)).collect()])
}

type Slices<'a> = [&'a [f64]; 3];

fn backward([x, a, b]: Slices, [u]: [&[f64]; 1], [dx, da, db]: [&mut [f64]; 3]) -> Outcome {
    for i in 0..x.len() {
        let slope = 2.0 * a[0] * (x[i] + b[0]) * u[i];
        dx[i] += slope;
        da[0] += (x[i] + b[0]).powi(2) * u[i];
        db[0] += slope;
    }
    Ok(())
}

fn arrays() -> [Array; 3] {
    ["x", "a", "b"]
        .map(|name| Array::random("parabola", name, if name == "x" { &[3, 5] } else { &[1] }))
}

/// The rows of the op with its gradients changed by `plant`, which sees what they held before.
fn rows_with(
    plant: impl Fn(&[Vec<f64>; 3], &mut [&mut [f64]; 3]) + Send + Sync + 'static,
) -> Vec<Row> {
    let wrong = move |arrays: Slices<'_>, u: [&[f64]; 1], mut gradients: [&mut [f64]; 3]| {
        let before = std::array::from_fn(|i| gradients[i].to_vec());
        let [dx, da, db] = &mut gradients;
        backward(arrays, u, [&mut **dx, &mut **da, &mut **db])?;
        plant(&before, &mut gradients);
        Ok(())
    };
    Gradient::new("parabola", &["parabola"], arrays(), forward, wrong).run().unwrap()
}

fn failed(rows: &[Row]) -> Vec<(&str, Kind)> {
    rows.iter().filter(|row| !row.passed).map(|row| (row.array.as_str(), row.kind)).collect()
}

#[test]
fn a_right_backward_passes_with_all_entries_compared() {
    let rows = rows_with(|_, _| ());
    assert_eq!(failed(&rows), []);
    let entries: Vec<usize> = rows.iter().map(|row| row.entries).collect();
    assert_eq!(entries, [15, 1, 1, 15, 1, 1, 1]);
    assert!(rows.iter().all(|row| row.worst < 0.1), "{rows:#?}");
}

#[test]
fn a_wrong_sign_a_wrong_factor_and_a_missing_term_are_found() {
    let everywhere = [("a", Kind::Gradient), ("⟨u, Jv⟩", Kind::Transpose)];
    assert_eq!(failed(&rows_with(|old, d| d[1][0] = 2.0 * old[1][0] - d[1][0])), everywhere);
    assert_eq!(failed(&rows_with(|old, d| d[1][0] += d[1][0] - old[1][0])), everywhere);
    let rows = rows_with(|old, d| d[0][7] = old[0][7]);
    assert_eq!(failed(&rows), [("x", Kind::Gradient), ("⟨u, Jv⟩", Kind::Transpose)]);
}

#[test]
fn a_gradient_that_overwrites_is_found() {
    let rows = rows_with(|old, d| {
        for (d, old) in d[0].iter_mut().zip(&old[0]) {
            *d -= old;
        }
    });
    assert_eq!(failed(&rows), [("x", Kind::Added)]);
}

#[test]
fn one_entry_that_is_off_by_little_or_is_no_number_is_found() {
    assert_eq!(failed(&rows_with(|_, d| d[0][4] += 1e-6))[0], ("x", Kind::Gradient));
    assert_eq!(failed(&rows_with(|_, d| d[2][0] = f64::NAN))[0], ("b", Kind::Gradient));
}

/// y = s·x with an s so small that both sides are tiny.
fn tiny(factor: f64) -> Vec<Row> {
    let scale = 1e-14;
    Gradient::new(
        "tiny",
        &[],
        [Array::random("tiny", "x", &[4])],
        move |[x]| Ok([x.iter().map(|x| scale * x).collect::<Vec<f64>>()]),
        move |_, [u], [dx]| {
            for (dx, u) in dx.iter_mut().zip(u) {
                *dx += factor * scale * u;
            }
            Ok(())
        },
    )
    .run()
    .unwrap()
}

#[test]
fn there_is_no_floor_below_which_wrong_values_pass() {
    assert_eq!(failed(&tiny(1.0)), []);
    assert_eq!(failed(&tiny(1.001))[0], ("x", Kind::Gradient));
    assert_eq!(failed(&tiny(0.0))[0], ("x", Kind::Gradient));
}

/// y = x₀ and an `unused` array whose analytic gradient is `gradient`, declared zero or not; `leak` is
/// how much of it the forward uses.
fn unused(declared: bool, gradient: f64, leak: f64) -> Vec<Row> {
    let unused = Array::random("unused", "unused", &[2]);
    let unused = if declared { unused.zero() } else { unused };
    Gradient::new(
        "unused",
        &[],
        [Array::random("unused", "x", &[1]), unused],
        move |[x, unused]| Ok([vec![x[0] + leak * unused[0]]]),
        move |_, [u], [dx, dunused]| {
            dx[0] += u[0];
            dunused[1] += gradient;
            Ok(())
        },
    )
    .run()
    .unwrap()
}

#[test]
fn a_zero_must_be_declared_be_exact_and_be_true() {
    assert_eq!(failed(&unused(true, 0.0, 0.0)), []);
    assert_eq!(failed(&unused(false, 0.0, 0.0)), [("unused", Kind::Gradient)]);
    assert_eq!(failed(&unused(true, 1e-200, 0.0))[0], ("unused", Kind::Zero));
    assert_eq!(failed(&unused(true, 0.0, 1e-6))[0], ("unused", Kind::Zero));
}

#[test]
fn a_selection_that_changes_within_a_step_is_an_error() {
    let clamped = |threshold: f64| {
        Gradient::new(
            "clamped",
            &[],
            [Array::new("x", &[2], vec![0.5, -0.25])],
            move |[x]| Ok([x.iter().map(|&x| if x > threshold { x } else { 0.0 }).collect()]),
            move |[x], [u], [dx]| {
                for i in 0..x.len() {
                    dx[i] += if x[i] > threshold { u[i] } else { 0.0 };
                }
                Ok(())
            },
        )
        .selecting(move |[x]| Ok(x.iter().map(|&x| i64::from(x > threshold)).collect()))
        .run()
    };
    assert_eq!(failed(&clamped(0.0).unwrap()), []);
    assert!(clamped(0.49).unwrap_err().to_string().contains("selection"));
}

#[test]
#[should_panic(expected = "symmetric")]
fn a_square_array_is_refused() {
    Array::random("square", "x", &[3, 3]);
}
