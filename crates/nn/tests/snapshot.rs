//! A model that was kept and restored goes on with the same bits.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use half::bf16;
use nn::ste::Mode;
use nn::ternary_core::noise::Noise;
use nn::ternary_core::quantize::{Absmean, Ttq, Twn};
use nn::ternary_core::{Granularity, Packing, Quantizer, Weights};
use nn::{
    Activations, BitLinear, BitLinearOptions, BitMoe, Compute, Dense, Draw, Error, FeedForward,
    FeedForwardProjections, GridLinear, Input, Layer, LearnedLevels, LearnedRule, MixtureOptions,
    Module, Nonlinearity, Numbers, NumbersMut, Parameters, Projection, RmsNorm, Rounding,
    Sequences, ShadowPrecision, SharedExpert, SharedLevels, Tape, TernaryLinear, Update, Values,
    restore, visit_state,
};

const SHAPE: [usize; 2] = [12, 8];
const TOTAL: u32 = 6;
const KEPT: u32 = 3;

/// The arrays of a state, each with its type and its bits.
type Kept = BTreeMap<String, (&'static str, Vec<u64>)>;

fn keep<T: Compute>(module: &dyn Module<T>) -> Kept {
    let mut kept = Kept::new();
    visit_state(module, &mut |name, numbers| {
        let array = match numbers {
            Numbers::F32(x) => ("f32", x.iter().map(|x| u64::from(x.to_bits())).collect()),
            Numbers::F64(x) => ("f64", x.iter().map(|x| x.to_bits()).collect()),
            Numbers::Bf16(x) => ("bf16", x.iter().map(|x| u64::from(x.to_bits())).collect()),
            Numbers::U8(x) => ("u8", x.iter().map(|&x| u64::from(x)).collect()),
        };
        assert!(kept.insert(name.to_owned(), array).is_none(), "{name} is there twice");
    });
    kept
}

fn give_back<T: Compute>(
    kept: &Kept,
    module: &mut dyn Module<T>,
    parameters: &Parameters,
    update: Update,
) -> nn::Result<()> {
    let mut left = kept.clone();
    restore(module, parameters, update, &mut |name, room| -> nn::Result<()> {
        let (kind, bits) = left.remove(name).unwrap_or_else(|| panic!("no array {name}"));
        let expected = match room {
            NumbersMut::F32(room) => {
                room.iter_mut().zip(&bits).for_each(|(x, &bits)| *x = f32::from_bits(bits as u32));
                ("f32", room.len())
            }
            NumbersMut::F64(room) => {
                room.iter_mut().zip(&bits).for_each(|(x, &bits)| *x = f64::from_bits(bits));
                ("f64", room.len())
            }
            NumbersMut::Bf16(room) => {
                room.iter_mut().zip(&bits).for_each(|(x, &bits)| *x = bf16::from_bits(bits as u16));
                ("bf16", room.len())
            }
            NumbersMut::U8(room) => {
                room.iter_mut().zip(&bits).for_each(|(x, &bits)| *x = bits as u8);
                ("u8", room.len())
            }
        };
        assert_eq!((kind, bits.len()), expected, "{name}");
        Ok(())
    })?;
    assert_eq!(left.keys().collect::<Vec<_>>(), Vec::<&String>::new(), "was not asked for");
    Ok(())
}

/// What inference sees of the ternary weights: codes, scales, and the biases.
fn ternary<T: Compute>(module: &dyn Module<T>) -> Vec<(Vec<i8>, Vec<u32>)> {
    let mut all = Vec::new();
    module.visit(&mut |tensor| {
        if let Values::Ternary { matrix, bias, .. } = tensor.values {
            let (scales, bias) = (matrix.scales(), bias.unwrap_or_default());
            let numbers = [scales.negative(), scales.positive(), bias].concat();
            all.push((matrix.to_trits(), numbers.into_iter().map(f32::to_bits).collect()));
        }
    });
    all
}

fn moment(step: u32, lambda: &dyn Fn(u32) -> f32) -> Update {
    let is_noisy = step < TOTAL;
    Update { seed: 5, step, total: TOTAL, lambda: lambda(step), is_noisy, levels: None }
}

/// Random changes of all weights, functions of the step, and new codes.
fn advance<T: Compute>(module: &mut dyn Module<T>, update: Update) {
    module.visit_mut(&mut |id, mut values| {
        if id.is_frozen() {
            return;
        }
        let noise = Noise::new(11, id.index() as u32, update.step);
        let rounding = Draw::Rounding.noise(5, id, update.step);
        values.update(Rounding::Stochastic(&rounding), |start, run| {
            for (offset, w) in run.iter_mut().enumerate() {
                *w += 0.3 * (noise.uniform((start + offset) as u64) - 0.5);
            }
        });
    });
    module.requantize(update).unwrap();
}

/// Keeps a model in the middle of its training, restores it into one of other random weights, and goes on with
/// both; `outputs` are the bits that a forward gives.
fn check<T: Compute, M: Module<T>>(
    name: impl Debug,
    make: impl Fn(u64) -> (M, Parameters),
    lambda: &dyn Fn(u32) -> f32,
    outputs: impl Fn(&M) -> Vec<u64>,
) {
    let all = |model: &M| (keep(model), ternary(model), outputs(model));
    let (mut model, parameters) = make(1);
    model.requantize(moment(0, lambda)).unwrap();
    for step in 1..=KEPT {
        advance(&mut model, moment(step, lambda));
    }
    let kept = keep(&model);
    let (mut restored, _) = make(2);
    // Nothing of what a fresh model was before may matter.
    advance(&mut restored, moment(1, &|_| 1.0));
    assert_ne!(all(&restored), all(&model), "{name:?}");
    give_back(&kept, &mut restored, &parameters, moment(KEPT, lambda)).unwrap();
    assert_eq!(all(&restored), all(&model), "{name:?}");
    for step in KEPT + 1..=TOTAL {
        let before = all(&model);
        for model in [&mut model, &mut restored] {
            advance(model, moment(step, lambda));
        }
        assert_eq!(all(&restored), all(&model), "{name:?}, step {step}");
        assert_ne!(all(&model), before, "{name:?}, step {step}");
    }
}

fn hard(_: u32) -> f32 {
    1.0
}

/// From latent weights to ternary ones while the model is kept.
fn ramp(step: u32) -> f32 {
    step as f32 / TOTAL as f32
}

fn rows(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.7).sin()).collect()
}

fn project(layer: &impl Projection<f32>) -> Vec<u64> {
    let mut input = Input::new("layer", rows(3 * SHAPE[1]), SHAPE[1]).unwrap();
    let mut y = vec![0.0; 3 * SHAPE[0]];
    layer.forward(&mut input, &mut y, &mut Tape::inference()).unwrap();
    y.into_iter().map(|y| u64::from(y.to_bits())).collect()
}

fn through(layer: &impl Layer<f32>) -> Vec<u64> {
    let x = rows(6 * layer.width());
    let sequences = Sequences { count: 2, length: 3 };
    let y = layer.forward(x, sequences.into(), &mut Tape::inference()).unwrap();
    y.into_iter().map(|y| u64::from(y.to_bits())).collect()
}

fn fitted(quantizer: impl Quantizer + 'static) -> BitLinearOptions {
    BitLinearOptions { quantizer: Arc::new(quantizer), ..BitLinearOptions::default() }
}

fn learned(rule: LearnedRule, granularity: Granularity) -> BitLinearOptions {
    let learned = Some(LearnedLevels { rule, granularity });
    BitLinearOptions { learned, ..BitLinearOptions::default() }
}

const TTQ: LearnedRule = LearnedRule::Ttq { threshold: 0.05, is_threshold_learned: true };

/// Every way in which a layer with latent weights carries something from one update to the next.
fn options() -> Vec<(&'static str, BitLinearOptions)> {
    let absmean = || fitted(Absmean::new(Granularity::Tensor));
    let group = Granularity::group(4).unwrap();
    let fixed = LearnedRule::Ttq { threshold: 0.05, is_threshold_learned: false };
    let mode = |mode: Mode| BitLinearOptions { estimator: mode.estimator(), ..absmean() };
    vec![
        ("absmean", absmean()),
        ("average", BitLinearOptions { scale_average: 0.9, ..absmean() }),
        ("average of groups", BitLinearOptions { scale_average: 0.7, ..fitted(Twn::new(group)) }),
        ("noise", BitLinearOptions { boundary_noise: 0.8, ..absmean() }),
        (
            "noise and average of rows, five trits",
            BitLinearOptions {
                boundary_noise: 0.5,
                scale_average: 0.5,
                packing: Packing::FiveTrits,
                activations: Activations::Real,
                ..fitted(Absmean::new(Granularity::Row))
            },
        ),
        ("dead bias", BitLinearOptions { dead_bias: 0.3, ..absmean() }),
        ("lsq", learned(LearnedRule::Lsq, group)),
        ("seq", learned(LearnedRule::Seq, Granularity::Row)),
        ("ttq", learned(TTQ, Granularity::Tensor)),
        ("ttq with a threshold that stays", learned(fixed, Granularity::Row)),
        ("tempered", mode("tempered".parse().unwrap())),
        ("hestia", mode("hestia".parse().unwrap())),
        ("staged", mode("staged".parse().unwrap())),
    ]
}

fn bit_linear<P: ShadowPrecision>(
    options: &BitLinearOptions,
) -> impl Fn(u64) -> (BitLinear<P>, Parameters) + '_ {
    move |seed| {
        let mut parameters = Parameters::new();
        let layer = BitLinear::random("layer", SHAPE, 0.3, seed, options.clone(), &mut parameters);
        (layer.unwrap().with_bias(&mut parameters).unwrap(), parameters)
    }
}

#[test]
fn ternary_layers_with_latent_weights_go_on() {
    for (name, options) in options() {
        for lambda in [&hard as &dyn Fn(u32) -> f32, &ramp] {
            check::<f32, _>(name, bit_linear::<f32>(&options), lambda, project);
            check::<f32, _>((name, "bf16"), bit_linear::<bf16>(&options), lambda, project);
        }
    }
}

#[test]
fn ternary_weights_without_latent_ones_go_on() {
    let asymmetric = || {
        let latent = rows(SHAPE[0] * SHAPE[1]);
        let weights = Weights::F32(&latent);
        fitted(Ttq::initialised(Granularity::Row, SHAPE[0], SHAPE[1], weights, 0.2).unwrap())
    };
    let five = BitLinearOptions { packing: Packing::FiveTrits, ..BitLinearOptions::default() };
    for options in [BitLinearOptions::default(), five, asymmetric()] {
        let make = |seed| {
            let mut parameters = Parameters::new();
            let layer = GridLinear::random("layer", SHAPE, 0.3, seed, &options, &mut parameters);
            (layer.unwrap(), parameters)
        };
        check::<f32, _>(&options.packing, make, &hard, project);
    }
}

#[test]
fn real_layers_go_on() {
    let dense = |seed| {
        let mut parameters = Parameters::new();
        let layer = Dense::<f32>::random("layer", SHAPE, 0.3, seed, &mut parameters).unwrap();
        (layer.with_bias(&mut parameters).unwrap(), parameters)
    };
    check::<f32, _>("dense", dense, &hard, project);
    let wide = |seed| {
        let mut parameters = Parameters::new();
        let layer = Dense::<f64>::random("layer", SHAPE, 0.3, seed, &mut parameters).unwrap();
        (layer, parameters)
    };
    check::<f64, _>("dense f64", wide, &hard, |layer: &Dense<f64>| {
        layer.weight().iter().map(|w| w.to_bits()).collect()
    });
    let norm = |seed: u64| {
        let mut parameters = Parameters::new();
        let gain = vec![seed as f32; 4];
        (RmsNorm::new("norm", gain, 1e-5, &mut parameters).unwrap().shifted(), parameters)
    };
    check::<f32, _>("norm", norm, &hard, through);
}

/// A net whose members share their levels, in `f32` and in `bf16`.
fn net(
    name: &str,
    options: &BitLinearOptions,
    seed: u64,
    parameters: &mut Parameters,
) -> FeedForward<f32> {
    let levels = SharedLevels::declare(name, options, parameters).unwrap();
    let options = BitLinearOptions { is_shared: true, ..options.clone() };
    let name_of = |part: &str| format!("{name}.{part}");
    let mut wide = |part, shape| -> Box<dyn Projection<f32>> {
        let options = options.clone();
        let name = name_of(part);
        Box::new(BitLinear::<f32>::random(&name, shape, 0.3, seed, options, parameters).unwrap())
    };
    let (gate, up) = (wide("gate", [12, 8]), wide("up", [12, 8]));
    let down = BitLinear::<bf16>::random(&name_of("down"), [8, 12], 0.3, seed, options, parameters);
    let down = Box::new(down.unwrap());
    let projections = FeedForwardProjections { gate: Some(gate), up, down };
    let net = FeedForward::new(name, Nonlinearity::SwiGlu, projections, None).unwrap();
    net.share_levels(levels).unwrap()
}

#[test]
fn groups_that_share_their_levels_go_on() {
    let tensor = Granularity::Tensor;
    let average = BitLinearOptions { scale_average: 0.9, ..fitted(Twn::new(tensor)) };
    let noise = BitLinearOptions { boundary_noise: 0.8, ..average.clone() };
    for options in [average, noise, learned(LearnedRule::Lsq, tensor), learned(TTQ, tensor)] {
        let make = |seed| {
            let mut parameters = Parameters::new();
            (net("net", &options, seed, &mut parameters), parameters)
        };
        check::<f32, _>(&options, make, &hard, through);
        check::<f32, _>(&options, make, &ramp, through);
    }
}

#[test]
fn mixtures_go_on() {
    let options = BitLinearOptions { scale_average: 0.9, ..BitLinearOptions::default() };
    let make = |seed| {
        let parameters = &mut Parameters::new();
        let router = Box::new(Dense::random("router", [3, 8], 0.3, seed, parameters).unwrap());
        let experts = (0..3).map(|e| net(&format!("experts.{e}"), &options, seed + e, parameters));
        let experts = experts.collect();
        let expert = net("shared", &options, seed, parameters);
        let gate = Box::new(Dense::random("gate", [1, 8], 0.3, seed, parameters).unwrap());
        let shared = Some(SharedExpert { expert, gate });
        let routing = MixtureOptions { used: 2, balance: 0.01, z: 0.001 };
        let mixture = BitMoe::new("mixture", router, experts, shared, routing).unwrap();
        (mixture, std::mem::take(parameters))
    };
    check::<f32, _>("mixture", make, &hard, through);
}

#[test]
fn what_is_frozen_is_no_part_of_the_state() {
    let mut parameters = Parameters::new();
    parameters.freeze();
    let dense = Dense::<f32>::random("dense", SHAPE, 0.3, 1, &mut parameters).unwrap();
    let grid = GridLinear::random("grid", SHAPE, 0.3, 1, &Default::default(), &mut parameters);
    let grid = grid.unwrap();
    assert!(keep::<f32>(&dense).is_empty() && keep::<f32>(&grid).is_empty());
    assert!(keep::<f32>(&TernaryLinear::new("frozen", grid.weight().clone())).is_empty());
    let options = BitLinearOptions::default();
    let mut dropped = bit_linear::<f32>(&options)(1).0;
    dropped.drop_shadow();
    assert_eq!(keep::<f32>(&dropped).into_keys().collect::<Vec<_>>(), ["layer.bias"]);
}

#[test]
fn a_state_that_cannot_be_read_or_be_of_a_model_is_an_error() {
    let options = BitLinearOptions::default();
    let (mut layer, parameters) = bit_linear::<f32>(&options)(1);
    let mut asked = 0;
    let result = restore::<f32, Error>(&mut layer, &parameters, moment(1, &hard), &mut |_, _| {
        asked += 1;
        Err(Error::Parameter { name: "x".into(), problem: "is not there" })
    });
    assert_eq!(
        (result.unwrap_err().to_string().as_str(), asked),
        (r#"parameter "x" is not there"#, 1)
    );
    let mut kept = keep::<f32>(&layer);
    kept.get_mut("layer.weight").unwrap().1[3] = u64::from(f32::NAN.to_bits());
    let error = give_back::<f32>(&kept, &mut layer, &parameters, moment(1, &hard)).unwrap_err();
    assert!(error.to_string().contains("layer: "), "{error}");

    let mut parameters = Parameters::new();
    let grid = GridLinear::random("layer", SHAPE, 0.3, 1, &options, &mut parameters);
    let mut grid = grid.unwrap();
    let kept = keep::<f32>(&grid);
    for (array, bits) in [("layer.weight", 0xff), ("layer.weight.scales", 0xff80_0000)] {
        let mut kept = kept.clone();
        kept.get_mut(array).unwrap().1[0] = bits;
        let error = give_back::<f32>(&kept, &mut grid, &parameters, moment(1, &hard)).unwrap_err();
        assert!(error.to_string().starts_with("layer.weight: "), "{error}");
    }
}
