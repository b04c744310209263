//! A decoder that was kept in the middle of its training and restored goes on with the same bits.

use std::collections::BTreeMap;

use models::{Batch, Decoder, DecoderConfig, DeltaNets, Initial, Mixture, Shadow, WeightKind};
use nn::ternary_core::Granularity;
use nn::{
    BitLinearOptions, Draw, Gradients, LearnedLevels, LearnedRule, Module, Numbers, NumbersMut,
    Rounding, ScaleSync, Sequences, Tape, Update, restore, visit_state,
};

const BATCH: Batch<'_> = Batch {
    sequences: Sequences { count: 2, length: 5 },
    tokens: &[3, 1, 4, 1, 5, 9, 2, 6, 5, 3],
    targets: &[1, 4, 1, 5, 9, 2, 6, 5, 3, 5],
};
const TOTAL: u32 = 6;

fn plain() -> DecoderConfig {
    DecoderConfig {
        vocabulary: 11,
        width: 12,
        layers: 2,
        heads: 2,
        key_heads: 1,
        head_width: 6,
        rotary_width: 6,
        feed_forward: 16,
        ..DecoderConfig::tiny()
    }
}

/// Experts, per-layer embeddings, and a head of its own.
fn mixed() -> DecoderConfig {
    let mixture = Mixture {
        experts: 3,
        used: 2,
        width: 16,
        shared: Some(16),
        dense_layers: vec![0],
        balance: 0.01,
        z: 0.001,
    };
    DecoderConfig { per_layer: 8, mixture: Some(mixture), tied_head: false, ..plain() }
}

/// A delta net, and attention with all that it can have.
fn hybrid(is_fused: bool) -> DecoderConfig {
    let delta = DeltaNets {
        key_heads: 2,
        value_heads: 4,
        key_width: 4,
        value_width: 4,
        kernel: 3,
        is_fused,
        attention_layers: vec![1],
    };
    let (gated_attention, head_norms, shifted_norms) = (true, true, true);
    let delta = Some(delta);
    DecoderConfig { gated_attention, head_norms, shifted_norms, delta, ..plain() }
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
    let loss = model.loss_and_gradients(BATCH, &mut tape, &mut gradients).unwrap();
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
    for shape in [plain(), mixed(), hybrid(false), hybrid(true)] {
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
