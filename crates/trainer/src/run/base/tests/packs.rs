//! Samples that share a window.

use models::Mixture;
use nn::Gradients;

use super::*;
use crate::data::{Corpus, CorpusRequest, Example};
use crate::run::examples::Examples;
use crate::run::units::{Sums, Units};

/// The gradients and losses of all windows of an epoch, added up over the tokens that are learnt.
struct Epoch {
    gradients: Vec<f64>,
    loss: f64,
    learnt: usize,
    /// The most sequences of a window, and tokens that fill windows up.
    most: usize,
    filling: usize,
}

fn epoch(configuration: &Configuration, model: &Decoder<f32>) -> Epoch {
    let request = CorpusRequest::of(configuration).unwrap();
    let corpus = Corpus::open(&request, &mut |_| ()).unwrap();
    let units = Units::new(&configuration.batch, None);
    let mut epoch = Epoch { gradients: Vec::new(), loss: 0.0, learnt: 0, most: 0, filling: 0 };
    let mut tokens = 0;
    for window in 0.. {
        if tokens as u64 == corpus.training_tokens().unwrap() {
            break;
        }
        let (mut example, mut examples) = (Example::default(), Examples::default());
        corpus.example(window, &mut example).unwrap();
        examples.add(&example);
        tokens += examples.tokens();
        epoch.filling += examples.rows() - examples.tokens();
        epoch.most = epoch.most.max(example.sequences.count);
        let (gradients, sums): (Gradients<f32>, Sums) =
            units.learn(model, &examples, None).unwrap();
        let share = sums.count as f64;
        epoch.gradients.resize(gradients.values().len(), 0.0);
        for (sum, gradient) in epoch.gradients.iter_mut().zip(gradients.values()) {
            *sum += f64::from(*gradient) * share;
        }
        epoch.loss += sums.loss;
        epoch.learnt += sums.count;
    }
    epoch
}

#[test]
fn samples_in_one_window_are_learnt_as_each_is_alone() {
    let folder = prepared();
    let trained = interop::shape(&folder.path().join("model")).unwrap();
    let model = Decoder::build(trained, &mut Initial { seed: 3, kind: WeightKind::Dense }).unwrap();
    let of = |packs: &str| epoch(&configuration(&folder, "none", &[packs]), &model);
    let (packed, alone) = (of("samples.pack=true"), of("samples.pack=false"));
    assert!(packed.most >= 2 && packed.filling > 0 && alone.most == 1 && alone.filling == 0);
    assert_eq!(packed.learnt, alone.learnt);
    assert!((packed.loss / alone.loss - 1.0).abs() < 1e-5, "{} {}", packed.loss, alone.loss);
    let largest = alone.gradients.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let farthest = packed.gradients.iter().zip(&alone.gradients);
    let farthest = farthest.fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(largest > 0.0 && farthest < 1e-4 * largest, "{farthest} of {largest}");
}

#[test]
fn samples_of_other_lengths_share_no_window_where_routers_would_balance_what_fills_it_up() {
    let folder = prepared();
    let place = folder.path().join("model");
    let mixture = Mixture {
        experts: 3,
        used: 2,
        width: 16,
        shared: None,
        dense_layers: Vec::new(),
        balance: 0.01,
        z: 0.0,
    };
    let shape = interop::shape(&place).unwrap();
    let trained = DecoderConfig { mixture: Some(mixture), ..shape };
    let model = Decoder::build(trained, &mut Initial { seed: 3, kind: WeightKind::Dense }).unwrap();
    fs::remove_dir_all(&place).unwrap();
    interop::save(&model, &place).unwrap();
    let packed = epoch(&configuration(&folder, "none", &[]), &model);
    assert!(packed.most >= 2 && packed.filling == 0, "{} {}", packed.most, packed.filling);
}
