//! A decoder that was kept in the middle of its training and restored goes on with the same bits.

use std::collections::BTreeMap;

use models::{Decoder, DecoderConfig, Initial, Mixture, Shadow, WeightKind};
use nn::ternary_core::Granularity;
use nn::{
    BitLinearOptions, Draw, Gradients, LearnedLevels, LearnedRule, Module, Numbers, NumbersMut,
    Rounding, ScaleSync, Tape, Update, restore, visit_state,
};

use crate::shapes::{FULL_BATCH, hybrid, mixture, small};

const TOTAL: u32 = 6;

/// Experts, per-layer embeddings, and a head of its own.
fn mixed() -> DecoderConfig {
    let mut mixture = Mixture { balance: 0.01, z: 0.001, ..mixture(16, 16) };
    mixture.dense_layers = vec![0];
    DecoderConfig { per_layer: 8, mixture: Some(mixture), tied_head: false, ..small() }
}

fn ternary(shadow: Shadow, sync: ScaleSync, options: BitLinearOptions) -> WeightKind {
    WeightKind::Ternary { options, shadow, embedding: true, head: true, sync }
}

fn learned() -> BitLinearOptions {
    let rule = LearnedRule::Ttq { threshold: 0.05, is_threshold_learned: true };
    let learned = Some(LearnedLevels { rule, granularity: Granularity::Tensor });
    BitLinearOptions { learned, ..BitLinearOptions::default() }
}

fn update(step: u32) -> Update {
    let lambda = (step as f32 / 4.0).min(1.0);
    Update { seed: 5, step, total: TOTAL, lambda, is_noisy: step < TOTAL, levels: None }
}

/// A step of gradient descent; the bits of its loss.
fn step(model: &mut Decoder<f32>, step: u32) -> u64 {
    let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(model.parameters()));
    let loss = model.loss_and_gradients(FULL_BATCH, &mut tape, &mut gradients).unwrap();
    model.finish_gradients(&mut gradients).unwrap();
    model.visit_mut(&mut |id, mut values| {
        let (gradient, noise) = (gradients.get(id), Draw::Rounding.noise(5, id, step));
        values.update(Rounding::Stochastic(&noise), |start, run| {
            run.iter_mut().zip(&gradient[start..]).for_each(|(w, g)| *w -= 0.2 * g);
        });
    });
    model.requantize(update(step)).unwrap();
    loss.mean.to_bits()
}

type Kept = BTreeMap<String, Vec<u8>>;

fn keep(model: &Decoder<f32>) -> Kept {
    let mut kept = Kept::new();
    visit_state(model, &mut |name, numbers| {
        let bytes = match numbers {
            Numbers::F32(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::F64(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::Bf16(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::U8(x) => x.to_vec(),
        };
        assert!(kept.insert(name.to_owned(), bytes).is_none(), "{name} is there twice");
    });
    kept
}

fn give_back(mut kept: Kept, model: &mut Decoder<f32>, update: Update) {
    fn fill<const N: usize, T>(room: &mut [T], bytes: &[u8], number: impl Fn([u8; N]) -> T) {
        assert_eq!(room.len() * N, bytes.len());
        room.iter_mut().zip(bytes.as_chunks().0).for_each(|(x, &bytes)| *x = number(bytes));
    }
    let parameters = model.parameters().clone();
    restore(model, &parameters, update, &mut |name, room| -> nn::Result<()> {
        let bytes = kept.remove(name).unwrap_or_else(|| panic!("no array {name}"));
        match room {
            NumbersMut::F32(room) => fill(room, &bytes, f32::from_le_bytes),
            NumbersMut::F64(room) => fill(room, &bytes, f64::from_le_bytes),
            NumbersMut::Bf16(room) => fill(room, &bytes, half::bf16::from_le_bytes),
            NumbersMut::U8(room) => room.copy_from_slice(&bytes),
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(kept.into_keys().collect::<Vec<_>>(), Vec::<String>::new(), "not asked for");
}

#[test]
fn decoders_of_every_shape_and_kind_go_on_with_the_same_bits() {
    let plain_options = BitLinearOptions::default;
    let average = || BitLinearOptions { scale_average: 0.9, ..plain_options() };
    let noise = || BitLinearOptions { boundary_noise: 0.5, ..average() };
    let kinds = [
        WeightKind::Dense,
        ternary(Shadow::F32, ScaleSync::PerMatrix, average()),
        ternary(Shadow::Bf16, ScaleSync::PerExpert, noise()),
        ternary(Shadow::F32, ScaleSync::PerBlock, average()),
        ternary(Shadow::Bf16, ScaleSync::PerBlock, learned()),
        ternary(Shadow::F32, ScaleSync::PerMatrix, learned()),
        ternary(Shadow::None, ScaleSync::PerMatrix, plain_options()),
    ];
    let hybrid = |is_fused| hybrid([4, 4], is_fused, small());
    for shape in [small(), mixed(), hybrid(false), hybrid(true)] {
        for kind in &kinds {
            let build = |seed| {
                let mut source = Initial { seed, kind: kind.clone() };
                Decoder::<f32>::build(shape.clone(), &mut source).unwrap()
            };
            let mut model = build(1);
            model.requantize(update(0)).unwrap();
            (1..=3).for_each(|at| {
                step(&mut model, at);
            });
            let mut restored = build(2);
            give_back(keep(&model), &mut restored, update(3));
            for at in 4..=TOTAL {
                let losses = [&mut model, &mut restored].map(|model| step(model, at));
                assert_eq!(losses[0], losses[1], "{kind:?}, {shape:?}, step {at}");
                assert_eq!(keep(&model), keep(&restored), "{kind:?}, {shape:?}, step {at}");
            }
        }
    }
}
