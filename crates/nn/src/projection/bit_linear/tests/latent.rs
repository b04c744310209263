//! Tests of latent weights: who sees them, and what stays without them.

use half::bf16;

use super::*;
use crate::module::ValuesMut;

#[test]
fn the_shadow_comes_from_the_ternary_weights_and_goes_again() {
    let (mut layer, parameters) = layer::<bf16>(BitLinearOptions::default());
    let (x, dy) = (numbers(8, SHAPE[1]), numbers(9, SHAPE[0]));
    let [y, dx, _] = run(&layer, &parameters, &x, &dy);
    let with_shadow = layer.allocated();
    layer.drop_shadow();
    assert!(layer.shadow().is_none() && layer.allocated().latent == 0);
    assert!(layer.allocated().total() < with_shadow.total());
    let [frozen_y, frozen_dx, gradients] = run(&layer, &parameters, &x, &dy);
    assert_eq!((frozen_y, frozen_dx), (y.clone(), dx));
    assert!(gradients[..SHAPE[0] * SHAPE[1]].iter().all(|&g| g == 0.0));
    let before = layer.weight().clone();
    layer.decide_codes(Update::hard(1, 1)).unwrap();
    assert_eq!(*layer.weight(), before);

    layer.init_shadow_from_ternary().unwrap();
    let shadow: Vec<f32> = layer.shadow().unwrap().iter().map(|w| w.to_f32()).collect();
    let rounded: Vec<f32> =
        before.to_f32().into_iter().map(|w| bf16::from_f32(w).to_f32()).collect();
    assert_eq!(shadow, rounded);
    assert_eq!(run(&layer, &parameters, &x, &dy)[0], y);
    layer.decide_codes(Update::hard(1, 2)).unwrap();
    assert_eq!(layer.weight().to_trits(), before.to_trits());
}

#[test]
fn an_optimiser_sees_the_latent_weights_and_the_bias() {
    let (mut layer, parameters) = layer::<bf16>(BitLinearOptions::default());
    let mut seen = Vec::new();
    Module::<f32>::visit_mut(&mut layer, &mut |id, values| {
        assert_eq!(matches!(values, ValuesMut::Bf16(_)), parameters.name(id) == "layer.weight");
        seen.push((parameters.name(id).to_owned(), values.len()));
    });
    assert_eq!(seen, [("layer.weight".to_owned(), 120), ("layer.bias".to_owned(), 5)]);
}

#[test]
fn a_frozen_weight_has_no_identity_and_other_scales_make_no_shadow() {
    let (mut layer, parameters) = layer::<f32>(BitLinearOptions::default());
    let identities = |layer: &BitLinear<f32>| {
        let mut identities = Vec::new();
        Module::<f32>::visit(layer, &mut |tensor| identities.push(tensor.id));
        identities
    };
    let ids: Vec<_> = parameters.ids().map(Some).collect();
    assert_eq!(identities(&layer), ids);
    layer.drop_shadow();
    assert_eq!(identities(&layer), [None, ids[1]]);

    let quantizer: Arc<dyn Quantizer> = Arc::new(Absmean::new(Granularity::Row));
    let options = BitLinearOptions { quantizer, ..Default::default() };
    let weight = layer.weight().clone();
    let mut other =
        BitLinear::<f32>::from_ternary("other", weight, options, &mut Parameters::new()).unwrap();
    let error = other.init_shadow_from_ternary().unwrap_err().to_string();
    assert!(error.contains("per Row") && error.contains("per Tensor"), "{error}");
    assert!(other.shadow().is_none() && other.levels().is_empty());
}
