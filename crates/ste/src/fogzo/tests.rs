use super::*;

const D: usize = 12;

fn spans() -> Vec<Span> {
    vec![
        Span { range: 0..5, step: 0.25 },
        Span { range: 5..7, step: 0.0 },
        Span { range: 7..11, step: 0.01 },
    ]
}

fn step(index: usize) -> f64 {
    let span = spans().into_iter().find(|span| span.range.contains(&index));
    span.map_or(0.0, |span| f64::from(span.step))
}

fn gradient() -> [f32; D] {
    std::array::from_fn(|i| (i as f32 * 1.7).sin())
}

/// ½·Σ aᵢ·(θᵢ + δᵢ)² + bᵀδ: its central differences are exact for any length.
fn quadratic(delta: &[f32]) -> f64 {
    let each = delta.iter().enumerate().map(|(i, &delta)| {
        let (theta, delta) = ((i as f64).cos(), f64::from(delta));
        0.5 * (1.0 + i as f64) * (theta + delta).powi(2) + (i as f64 - 3.0) * delta
    });
    each.sum()
}

fn true_gradient(i: usize) -> f64 {
    (1.0 + i as f64) * (i as f64).cos() + i as f64 - 3.0
}

fn estimate(fogzo: Fogzo, beta: f64, noise: Noise) -> ([f32; D], Slopes) {
    let mut found = gradient();
    let probe = |delta: &[f32]| Ok::<_, ()>(quadratic(delta));
    let slopes = fogzo.estimate(beta, &spans(), noise, &mut found, probe).unwrap();
    (found, slopes)
}

/// The formulas of [`Fogzo`], entry after entry in `f64`.
fn plain(fogzo: Fogzo, beta: f64, noise: Noise) -> [f64; D] {
    let g: [f64; D] = gradient().map(f64::from);
    let norm = (0..D).map(|i| (step(i) * g[i]).powi(2)).sum::<f64>().sqrt();
    let mut total = [0.0; D];
    for n in 0..fogzo.directions as usize {
        let s = f64::from(noise.sign(SIGNS + n as u64));
        let v: [f64; D] = std::array::from_fn(|i| {
            let u = 2.0 * 3.0_f64.sqrt() * f64::from(noise.centred((n * D + i) as u64));
            if step(i) == 0.0 {
                return 0.0;
            }
            beta.sqrt() * s * step(i) * g[i] / norm + (1.0 - beta).sqrt() * u
        });
        let slope: f64 = (0..D).map(|i| step(i) * v[i] * true_gradient(i)).sum();
        for i in (0..D).filter(|&i| step(i) > 0.0) {
            total[i] += slope * v[i] / step(i) / f64::from(fogzo.directions);
        }
    }
    for i in (0..D).filter(|&i| step(i) == 0.0) {
        total[i] = g[i];
    }
    total
}

#[test]
fn on_a_quadratic_fogzo_is_v_vt_times_the_gradient_by_the_plain_loop() {
    for (directions, beta, seed) in [(1, 0.7, 1), (1, 0.0, 2), (1, 1.0, 3), (3, 0.9, 4)] {
        let fogzo = Fogzo { directions, noise: 1.0 };
        let noise = Noise::new(seed, 5, 6);
        let (found, expected) = (estimate(fogzo, beta, noise).0, plain(fogzo, beta, noise));
        let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
            // Perturbations are rounded to `f32`.
            let error = (f64::from(found) - expected).abs();
            assert!(error <= 1e-5 * largest, "β = {beta}, entry {i}: {found} and {expected}");
        }
    }
}

#[test]
fn at_a_beta_of_one_the_line_is_the_estimators_and_the_length_is_measured() {
    let g = gradient();
    let norm = (0..D).map(|i| (step(i) * f64::from(g[i])).powi(2)).sum::<f64>().sqrt();
    let along = (0..D).map(|i| step(i).powi(2) * f64::from(g[i]) * true_gradient(i)).sum::<f64>();
    for seed in 0..4 {
        let (found, slopes) = estimate(Fogzo::default(), 1.0, Noise::new(seed, 0, 0));
        for i in (0..D).filter(|&i| step(i) > 0.0) {
            let expected = along / norm.powi(2) * f64::from(g[i]);
            assert!((f64::from(found[i]) - expected).abs() < 1e-5 * expected.abs().max(1.0));
        }
        // Whatever the sign s, both are told for the direction of ĝ.
        assert!((slopes.promised - norm).abs() < 1e-9, "{slopes:?}");
        assert!((slopes.measured - along / norm).abs() < 1e-6, "{slopes:?}");
    }
}

#[test]
fn what_is_not_perturbed_keeps_its_gradient_and_gets_no_perturbation() {
    let (before, mut found) = (gradient(), gradient());
    let mut probes = Vec::new();
    let probe = |delta: &[f32]| {
        probes.push(delta.to_vec());
        Ok::<_, ()>(1.0)
    };
    Fogzo { directions: 2, noise: 1.0 }
        .estimate(0.5, &spans(), Noise::new(1, 2, 3), &mut found, probe)
        .unwrap();
    assert_eq!(probes.len(), 4);
    for i in 0..D {
        let is_still = probes.iter().all(|delta| delta[i] == 0.0);
        assert_eq!(is_still, step(i) == 0.0, "{i}");
        assert_eq!(found[i], if is_still { before[i] } else { 0.0 }, "a flat loss has no slope");
        assert_eq!(probes[0][i], -probes[1][i]);
    }
    assert_ne!(probes[0], probes[2], "another direction");
}

#[test]
fn beta_falls_on_a_line_from_one_by_c_over_the_number_of_weights() {
    let fogzo = Fogzo { directions: 1, noise: 2.0 };
    assert_eq!([0.0, 0.5, 1.0, 7.0].map(|p| fogzo.beta(p, 8)), [1.0, 0.875, 0.75, 0.75]);
    assert_eq!(fogzo.beta(1.0, 1), 0.0);
    assert_eq!(fogzo.beta(1.0, 0), 0.0);
    assert_eq!(Fogzo::weights(&spans()), 9);
}

#[test]
fn noise_decides_everything_and_an_error_of_a_probe_leaves_the_gradient() {
    let found = |seed| estimate(Fogzo::default(), 0.5, Noise::new(seed, 0, 9)).0;
    assert_eq!(found(1), found(1));
    assert_ne!(found(1), found(2));
    let mut gradient = gradient();
    let before = gradient;
    let probe = |_: &[f32]| Err("no loss");
    let noise = Noise::new(0, 0, 0);
    let result = Fogzo::default().estimate(0.5, &spans(), noise, &mut gradient, probe);
    assert_eq!(result, Err("no loss"));
    assert_eq!(gradient, before);
}

#[test]
fn a_gradient_of_zeros_leaves_only_the_noise() {
    let mut gradient = [0.0_f32; D];
    let probe = |delta: &[f32]| Ok::<_, ()>(quadratic(delta));
    let slopes = Fogzo::default()
        .estimate(0.5, &spans(), Noise::new(3, 0, 0), &mut gradient, probe)
        .unwrap();
    assert!(gradient.iter().all(|g| g.is_finite()) && gradient[0] != 0.0);
    assert_eq!(slopes.promised, 0.0);
}
