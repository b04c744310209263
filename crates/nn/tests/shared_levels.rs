//! Levels that the matrices of a feed-forward net or of a block share.

use half::bf16;
use nn::ternary_core::quantize::{Absmean, Twn};
use nn::ternary_core::{Granularity, Levels, Quantizer, Weights};
use nn::{
    BitLinear, BitLinearOptions, Block, Context, Dense, Embedding, Error, FeedForward,
    FeedForwardProjections, Gradients, Layer, LearnedLevels, LearnedRule, Module, Nonlinearity,
    Parameters, PerLayerEmbedding, Projection, RmsNorm, ScaleSync, Sequences, SharedLevels, Tape,
    Update, Values,
};
use std::sync::Arc;

const WIDTH: usize = 8;
const INNER: usize = 12;
const TABLE: usize = 4;
const TOKENS: [u32; 6] = [0, 2, 1, 1, 0, 2];
const SEQUENCES: Sequences = Sequences { count: 2, length: 3 };

type Make<'a> =
    dyn FnMut(&str, [usize; 2], &mut Parameters) -> nn::Result<Box<dyn Projection<f32>>> + 'a;

/// Every third matrix has its latent weights in `bf16`, and each another deviation.
fn member(
    options: &BitLinearOptions,
) -> impl FnMut(&str, [usize; 2], &mut Parameters) -> nn::Result<Box<dyn Projection<f32>>> {
    let options = BitLinearOptions { is_shared: true, ..options.clone() };
    let mut count = 0_u32;
    move |name, shape, parameters| {
        count += 1;
        let (deviation, seed, options) = (0.1 * f64::from(count), 3, options.clone());
        Ok(if count.is_multiple_of(3) {
            let layer =
                BitLinear::<bf16>::random(name, shape, deviation, seed, options, parameters);
            Box::new(layer?)
        } else {
            let layer = BitLinear::<f32>::random(name, shape, deviation, seed, options, parameters);
            Box::new(layer?)
        })
    }
}

fn feed_forward(
    name: &str,
    parameters: &mut Parameters,
    make: &mut Make<'_>,
) -> nn::Result<FeedForward<f32>> {
    let mut make = |part: &str, shape| make(&format!("{name}.{part}"), shape, &mut *parameters);
    let projections = FeedForwardProjections {
        gate: Some(make("gate", [INNER, WIDTH])?),
        up: make("up", [INNER, WIDTH])?,
        down: make("down", [WIDTH, INNER])?,
    };
    FeedForward::new(name, Nonlinearity::SwiGlu, projections, None)
}

/// A dense mixer, ternary channels, and a ternary per-layer embedding with a dense table.
fn block(options: &BitLinearOptions, parameters: &mut Parameters) -> nn::Result<Block<f32>> {
    let levels = SharedLevels::declare("block", options, parameters)?;
    let make = &mut member(options);
    let mixer = feed_forward("mixer", parameters, &mut |name, shape, parameters| {
        Ok(Box::new(Dense::random(name, shape, 0.3, 1, parameters)?))
    })?;
    let channels = feed_forward("channels", parameters, make)?;
    let table = Dense::<f32>::random("table", [3, TABLE], 1.0, 1, parameters)?;
    let gate = make("per_layer_gate", [TABLE, WIDTH], parameters)?;
    let output = make("per_layer_output", [WIDTH, TABLE], parameters)?;
    let table = Embedding::new(Box::new(table));
    let per_layer = PerLayerEmbedding::new("per_layer", table, gate, None, output)?;
    let mut norm = |name| RmsNorm::new(name, vec![1.0; WIDTH], 1e-5, parameters);
    let [first, second, third] = [norm("norm.0")?, norm("norm.1")?, norm("norm.2")?];
    Block::new("block", (first, Box::new(mixer)), (second, Box::new(channels)))?
        .with_per_layer(third, per_layer)?
        .share_levels(levels)
}

/// All latent weights one after the other, and the largest scale of each matrix.
fn latent(module: &dyn Module<f32>) -> (Vec<f32>, Vec<[f32; 2]>) {
    let (mut latent, mut scales) = (Vec::new(), Vec::new());
    module.visit(&mut |tensor| {
        if let Values::Ternary { matrix, latent: own, .. } = tensor.values {
            latent.extend(own.map_or(Vec::new(), Weights::to_f32));
            scales.push([matrix.scales().negative()[0], matrix.scales().positive()[0]]);
        }
    });
    (latent, scales)
}

fn trits(module: &dyn Module<f32>) -> Vec<i8> {
    let mut trits = Vec::new();
    module.visit(&mut |tensor| {
        if let Values::Ternary { matrix, .. } = tensor.values {
            trits.extend(matrix.to_trits());
        }
    });
    trits
}

fn outputs(block: &Block<f32>) -> Vec<u32> {
    let x: Vec<f32> = (0..6 * WIDTH).map(|i| (i as f32 * 0.7).sin()).collect();
    let y = block
        .forward(x, Context { tokens: &TOKENS, ..SEQUENCES.into() }, &mut Tape::inference())
        .unwrap();
    y.into_iter().map(f32::to_bits).collect()
}

fn fitted(quantizer: impl Quantizer + 'static) -> BitLinearOptions {
    BitLinearOptions { quantizer: Arc::new(quantizer), ..BitLinearOptions::default() }
}

fn learned(rule: LearnedRule) -> BitLinearOptions {
    let granularity = Granularity::Tensor;
    BitLinearOptions {
        learned: Some(LearnedLevels { rule, granularity }),
        ..BitLinearOptions::default()
    }
}

#[test]
fn a_fitted_rule_sees_all_latent_weights_as_one_matrix() {
    for quantizer in [
        Arc::new(Absmean::new(Granularity::Tensor)) as Arc<dyn Quantizer>,
        Arc::new(Twn::new(Granularity::Tensor)),
    ] {
        let options = BitLinearOptions { quantizer: quantizer.clone(), ..Default::default() };
        let block = block(&options, &mut Parameters::new()).unwrap();
        let (latent, scales) = latent(&block);
        assert_eq!(latent.len(), 3 * INNER * WIDTH + 2 * TABLE * WIDTH);
        let Levels { threshold, negative, positive } =
            quantizer.fit(0, Weights::F32(&latent)).unwrap();
        assert_eq!(scales, [[negative, positive]; 5]);
        let expected = latent.iter().map(|&w| i8::from(w > threshold) - i8::from(w < -threshold));
        assert_eq!(trits(&block), expected.collect::<Vec<_>>());
    }
}

#[test]
fn what_a_group_learns_is_one_parameter_of_all_its_matrices() {
    let mut parameters = Parameters::new();
    let rule = LearnedRule::Ttq { threshold: 0.2, is_threshold_learned: true };
    let mut block = block(&learned(rule), &mut parameters).unwrap();
    let of_levels = |name: &&str| name.contains("scale") || name.contains("threshold");
    let names: Vec<_> = parameters.ids().map(|id| parameters.name(id)).filter(of_levels).collect();
    assert_eq!(names, ["block.positive_scale", "block.negative_scale", "block.threshold"]);

    let id = parameters.find("block.positive_scale").unwrap();
    block.visit_mut(&mut |own, values| {
        if let nn::ValuesMut::F32(values) = values
            && own == id
        {
            values[0] = 0.75;
        }
    });
    block.requantize(Update::hard(0, 1)).unwrap();
    assert!(latent(&block).1.iter().all(|scales| scales[1] == 0.75));
}

#[test]
fn every_matrix_of_a_group_adds_to_the_gradient_of_its_levels() {
    let mut parameters = Parameters::new();
    let block = block(&learned(LearnedRule::Lsq), &mut parameters).unwrap();
    let mut gradients = Gradients::<f32>::zeros(&parameters);
    let mut ids = Vec::new();
    block.visit(&mut |tensor| {
        if let (Values::Ternary { .. }, Some(id)) = (tensor.values, tensor.id) {
            ids.push(id);
        }
    });
    let scale = parameters.find("block.scale").unwrap();
    let mut of_each = Vec::new();
    for &id in &ids {
        gradients.clear();
        gradients.get_mut(id).unwrap().fill(1.0);
        block.finish_gradients(&mut gradients).unwrap();
        of_each.push(gradients.get(scale)[0]);
    }
    gradients.clear();
    ids.iter().for_each(|&id| gradients.get_mut(id).unwrap().fill(1.0));
    block.finish_gradients(&mut gradients).unwrap();
    assert!(of_each.iter().all(|&of_one| of_one != 0.0), "{of_each:?}");
    let sum: f32 = of_each.iter().sum();
    assert!((gradients.get(scale)[0] - sum).abs() < 1e-5 * sum.abs().max(1.0));
}

#[test]
fn levels_of_matrices_that_no_backward_touched_are_not_touched() {
    let mut parameters = Parameters::new();
    let block = block(&learned(LearnedRule::Lsq), &mut parameters).unwrap();
    let mut gradients = Gradients::<f32>::zeros(&parameters);
    block.finish_gradients(&mut gradients).unwrap();
    assert!(parameters.ids().all(|id| !gradients.is_touched(id)));
}

#[test]
fn without_latent_weights_everything_stays_and_only_packed_weights_remain() {
    let rule = LearnedRule::Ttq { threshold: 0.2, is_threshold_learned: false };
    for options in [fitted(Absmean::new(Granularity::Tensor)), learned(rule)] {
        let mut block = block(&options, &mut Parameters::new()).unwrap();
        let (before, with) = (outputs(&block), Module::<f32>::memory(&block));
        // Every third matrix is in bf16: the down projection.
        let latent = 4 * (2 * INNER * WIDTH + 2 * TABLE * WIDTH) + 2 * INNER * WIDTH;
        assert_eq!(with.latent, latent);
        Module::<f32>::drop_latent(&mut block);
        let without = Module::<f32>::memory(&block);
        assert_eq!((without.latent, without.packed), (0, with.packed));
        assert_eq!(outputs(&block), before);
        block.requantize(Update::hard(0, 1)).unwrap();
        assert_eq!(outputs(&block), before);
        let mut trains = 0;
        block.visit(&mut |tensor| {
            trains += usize::from(matches!(tensor.values, Values::Training(_)));
        });
        assert_eq!(trains, 0);
    }
}

#[test]
fn a_member_without_its_group_is_an_error() {
    let options = BitLinearOptions { is_shared: true, ..BitLinearOptions::default() };
    let (weight, mut parameters) = (vec![0.5_f32; 6], Parameters::new());
    let mut alone = BitLinear::from_weight("up", 3, weight, options, &mut parameters).unwrap();
    let error = alone.decide_codes(Update::hard(0, 1)).unwrap_err().to_string();
    assert!(error.starts_with("up: levels of an update: expected those that a group"), "{error}");
}

#[test]
fn levels_of_rows_cannot_be_shared_and_infinite_weights_name_their_matrix() {
    let options = fitted(Absmean::new(Granularity::Row));
    let error = SharedLevels::declare("block", &options, &mut Parameters::new()).unwrap_err();
    assert!(matches!(&error, Error::Setting { layer, .. } if layer == "block"), "{error}");

    let options = fitted(Absmean::new(Granularity::Tensor));
    let mut block = block(&options, &mut Parameters::new()).unwrap();
    let before = outputs(&block);
    let mut count = 0;
    block.visit_mut(&mut |_, values| {
        if let nn::ValuesMut::F32(values) = values {
            count += 1;
            if count == 2 {
                values[5] = f32::NAN;
            }
        }
    });
    let error = block.requantize(Update::hard(0, 1)).unwrap_err().to_string();
    assert!(error.starts_with("channels.up.weight"), "{error}");
    assert_eq!(outputs(&block), before);
}

#[test]
fn a_block_with_a_per_layer_embedding_asks_for_its_tokens() {
    let options = BitLinearOptions::default();
    let block = block(&options, &mut Parameters::new()).unwrap();
    let x = vec![0.5; 6 * WIDTH];
    let error = block.forward(x, SEQUENCES.into(), &mut Tape::inference()).unwrap_err().to_string();
    assert!(error.starts_with("per_layer: tokens: expected 6, found 0"), "{error}");
}

#[test]
fn a_sync_is_read_as_it_is_printed() {
    for sync in ScaleSync::ALL {
        assert_eq!(sync.to_string().parse(), Ok(sync));
    }
    assert!("per-layer".parse::<ScaleSync>().unwrap_err().to_string().contains("per-block"));
}
