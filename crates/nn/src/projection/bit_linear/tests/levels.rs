//! Tests of how levels and codes are decided.

use ternary_core::quantize::FixedThreshold;

use super::*;
use crate::module::ValuesMut;
use crate::projection::{LearnedLevels, LearnedRule};

#[test]
fn learned_levels_go_with_the_shadow_and_come_back_from_the_ternary_weights() {
    let rules = [
        LearnedRule::Seq,
        LearnedRule::Lsq,
        LearnedRule::Ttq { threshold: 0.3, is_threshold_learned: false },
        LearnedRule::Ttq { threshold: 0.3, is_threshold_learned: true },
    ];
    for (rule, granularity) in
        rules.into_iter().flat_map(|rule| [(rule, Granularity::Tensor), (rule, Granularity::Row)])
    {
        let learned = Some(LearnedLevels { rule, granularity });
        let (mut layer, parameters) =
            layer::<f32>(BitLinearOptions { learned, ..BitLinearOptions::default() });
        // Learned levels other than those of the start.
        Module::<f32>::visit_mut(&mut layer, &mut |id, values| {
            if let ValuesMut::F32(values) = values
                && parameters.name(id).contains("scale")
            {
                values.iter_mut().for_each(|value| *value *= 1.5);
            }
        });
        layer.decide_codes(Update::hard(0, 1)).unwrap();
        let (x, dy) = (numbers(1, 2 * SHAPE[1]), numbers(2, 2 * SHAPE[0]));
        let names = |layer: &BitLinear<f32>| {
            let mut names = Vec::new();
            Module::<f32>::visit(layer, &mut |tensor| names.push(tensor.name.to_owned()));
            names
        };
        let (before, weight, all) =
            (run(&layer, &parameters, &x, &dy), layer.base.clone(), names(&layer));
        layer.drop_shadow();
        assert_eq!(names(&layer), ["layer.weight", "layer.bias"]);
        let [y, dx, gradients] = run(&layer, &parameters, &x, &dy);
        assert_eq!((&y, &dx), (&before[0], &before[1]));
        assert!(gradients[..SHAPE[0] * SHAPE[1]].iter().all(|&g| g == 0.0));

        layer.init_shadow_from_ternary().unwrap();
        assert_eq!(names(&layer), all);
        layer.decide_codes(Update::hard(0, 2)).unwrap();
        assert_eq!(layer.base.to_trits(), weight.to_trits(), "{rule:?} {granularity:?}");
        assert_close(&layer.base.to_f32(), &weight.to_f32());
        assert_close(&run(&layer, &parameters, &x, &dy)[0], &before[0]);
    }
}

#[test]
fn the_running_average_of_the_scale_is_one() {
    let options = BitLinearOptions { scale_average: 0.75, ..Default::default() };
    let (mut layer, _) = layer::<f32>(options);
    let first = layer.weight().scales().positive()[0];
    let mut average = layer.levels()[0].positive;
    assert_eq!(first, average);
    for step in 1..=20 {
        layer.shadow_mut().unwrap().iter_mut().for_each(|w| *w = 2.0 * first * w.signum());
        layer.decide_codes(Update::hard(1, step)).unwrap();
        average = 0.75 * average + 0.25 * 2.0 * first;
        let found = layer.weight().scales().positive()[0];
        assert!((found - average).abs() < 1e-6 * average, "{found} and {average} at {step}");
        assert_eq!(found, layer.levels()[0].positive);
    }
    assert!((average - 2.0 * first).abs() < 0.01 * first);
}

#[test]
fn boundary_noise_has_no_bias_and_belongs_to_its_step() {
    const THRESHOLD: f32 = 0.25;
    let rule = FixedThreshold::new(Granularity::Tensor, THRESHOLD).unwrap();
    let options =
        BitLinearOptions { quantizer: Arc::new(rule), boundary_noise: 0.5, ..Default::default() };
    let mut parameters = Parameters::new();
    let mut layer =
        BitLinear::<f32>::random("l", [64, 64], 0.3, 1, options, &mut parameters).unwrap();
    // Weights on the border: noise decides, either way equally often. Others are out of its reach.
    let shadow = layer.shadow_mut().unwrap();
    let count = shadow.len() / 2;
    shadow[..count].fill(THRESHOLD);
    shadow[count..].iter_mut().for_each(|w| *w = w.signum() * 1.6 * THRESHOLD);
    let steps = 20;
    let mut ones = 0;
    for step in 1..=steps {
        layer.decide_codes(Update::hard(3, step)).unwrap();
        let trits = layer.weight().to_trits();
        ones += trits[..count].iter().filter(|&&t| t == 1).count();
        assert!(trits[count..].iter().all(|t| t.abs() == 1));
    }
    let draws = count as f64 * f64::from(steps);
    assert!((ones as f64 - 0.5 * draws).abs() < 4.0 * (0.25 * draws).sqrt(), "{ones} of {draws}");

    // Codes that are kept are decided without noise: on the border they are 0.
    layer.decide_codes(Update::hard(3, 30).without_noise()).unwrap();
    assert!(layer.weight().to_trits()[..count].iter().all(|&t| t == 0));

    let again = layer.clone();
    let decide = |mut layer: BitLinear<f32>, step| {
        layer.decide_codes(Update::hard(3, step)).unwrap();
        layer.weight().to_trits()
    };
    assert_eq!(decide(layer.clone(), 60), decide(again.clone(), 60));
    assert_ne!(decide(layer, 60), decide(again, 61));
}
