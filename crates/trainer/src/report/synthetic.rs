//! The folder of a run that never was, with records of every kind, and texts that try to be markup.

use std::path::Path;

use ternary_core::noise::Noise;

use crate::config::Layers as Settings;
use crate::run::{
    Best, HeldOutLoss, Layers, Measure, Metrics, Probed, Record, Start, StepRecord, Summary, Vitals,
};

/// A text that means harm.
pub(super) const HOSTILE: &str =
    "</pre><script>alert(1)</script><img src=x onerror=\"alert(2)\">&amp;\u{0}\u{202e}";

const MATRICES: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// Writes the folder: a run of `steps` steps that is finished, or one that stands after `done` of them.
pub(super) fn run(folder: &Path, steps: u32, done: u32, assignments: &[&str]) {
    run_in(folder, steps, done, assignments, Measure::BYTES);
}

/// The same with losses in another unit, which have a floor where they are for bytes.
pub(super) fn run_in(folder: &Path, steps: u32, done: u32, assignments: &[&str], measure: Measure) {
    let mut settings = Settings::default();
    let steps_set = format!("steps={steps}");
    settings.add_assignments([&*steps_set].into_iter().chain(assignments.iter().copied())).unwrap();
    let settings = settings.resolve().unwrap().to_toml();
    std::fs::write(folder.join("config.toml"), settings).unwrap();
    let mut metrics = Metrics::create(folder.join(Record::FILE)).unwrap();
    let mut write = |record: Record| metrics.write(&record).unwrap();
    let start = Start {
        steps,
        parameters: 987_654,
        measure,
        floor: (measure == Measure::BYTES).then_some(0.512),
        baseline: Some(1.95),
        packed: 250_000,
        latent: 3_900_000,
        other: 140_000,
    };
    write(Record::Start(start));
    let noise = Noise::new(7, 0, 0);
    let draw = |index: u64| f64::from(noise.bits(index) % 1000) / 1000.0 - 0.5;
    let held_out = |step: u32| 0.55 + 5.0 / (1.0 + f64::from(step) / 12.0);
    let every = (steps / 12).max(1);
    for step in 1..=done {
        let (share, seconds) = (f64::from(step) / f64::from(steps), f64::from(step) * 0.2);
        let near = draw(step.into());
        write(Record::Step(StepRecord {
            step,
            loss: held_out(step) + 0.3 * near,
            learning_rate: 6e-3 * (1.0 - share).max(0.02) * (20.0 * share).min(1.0),
            weight_decay: 0.1,
            gradient_norm: (0.5 + near).exp() * (1.0 + 8.0 * (-30.0 * share).exp()),
            router_loss: None,
            divergence: Some(0.2 / f64::from(step)),
            flips: Some(0.004 * (1.0 - share) * (1.0 + near)),
            tokens_per_second: 9000.0 + 900.0 * near,
            seconds,
            mined: None,
            probed: (2 * step > steps).then_some(Probed {
                promised_slope: -0.3,
                measured_slope: -0.25 + 0.1 * near,
                fogzo_seconds: 0.1,
            }),
            peak_memory: Some(90_000_000 + 1000 * u64::from(step.min(50))),
        }));
        if step == steps / 3 {
            let (tensor, what) = (format!("head.weight{HOSTILE}"), "gradient".to_owned());
            write(Record::Skipped { step, tensor, what, value: "NaN".into(), seconds });
            write(Record::Spike { step, loss: 4.0, usual: 1.2, seconds });
        }
        if step.is_multiple_of(every) || step == steps {
            let loss = HeldOutLoss { nats: held_out(step), predictions: 16_384 };
            let bits_per_byte = measure.bits_per_byte(loss.nats);
            write(Record::Evaluation { step, loss, bits_per_byte, seconds });
            write(Record::Layers { step, layers: layers(share, &noise), seconds });
            let (prompt, text) =
                ("Once upon a time".to_owned(), format!(", there were {step} {HOSTILE}"));
            write(Record::Sample { step, prompt, text, seconds });
        }
    }
    if done == steps {
        let held_out = HeldOutLoss { nats: held_out(steps), predictions: 16_384 };
        let summary = Summary {
            version: "0.1.0".into(),
            stopped: Summary::FINISHED.into(),
            steps,
            start,
            held_out,
            best: Best { step: steps, nats: held_out.nats },
            seconds: f64::from(steps) * 0.2,
            tokens_per_second: 9012.0,
            peak_memory: Some(91_000_000),
            mining_seconds: None,
            fogzo_seconds: None,
            vitals: Some(Vitals { sparsity: 0.34, flips: 0.002 }),
            model: folder.join("model"),
        };
        summary.write(folder).unwrap();
    }
}

/// Four blocks of matrices that lose or gain zeros.
fn layers(share: f64, noise: &Noise) -> Layers {
    let mut matrices = Vec::new();
    for (index, (block, name)) in
        (0..4).flat_map(|block| MATRICES.map(|name| (block, name))).enumerate()
    {
        let unlike = f64::from(noise.bits(index as u64) % 100) / 100.0 - 0.5;
        let sparsity = 0.31 + 0.12 * share * unlike + 0.02 * f64::from(block) * share;
        let bell = |bin: i32| {
            let x = f64::from(bin - 16) * 6.0 / 33.0;
            (4000.0 * ((-x * x / 1.3).exp() + share * (-(x.abs() - 1.0).powi(2) * 9.0).exp()))
                as u64
        };
        let spread =
            |mean: f64| serde_json::json!({"smallest": mean, "mean": mean, "largest": mean});
        let matrix = serde_json::json!({
            "name": format!("model.layers.{block}.{name}.weight"),
            "weights": 16_384,
            "sparsity": sparsity,
            "effective_bits": 1.585 - (sparsity - 0.333).abs(),
            "flips": 0.002 * (1.0 - share),
            "scale": spread(0.05 * (1.0 + share * unlike)),
            "scale_drift": share * unlike,
            "dead_zone": sparsity / 2.1,
            "histogram": (0..33).map(bell).collect::<Vec<_>>(),
        });
        matrices.push(serde_json::from_value(matrix).unwrap());
    }
    Layers { sparsity: 0.31 + 0.03 * share, flips: 0.002, matrices, shared: Default::default() }
}
