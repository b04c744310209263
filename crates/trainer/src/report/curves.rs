//! Which charts there are: of one run, and of several over each other.

use super::chart::{Chart, Format, Level, Look, Scale, Series};
use super::history::History;
use super::units::{Units, shared_floor};
use crate::run::{Probed, StepRecord};

/// Colours by what they stand for: training, held-out text, the floor, the baseline or a limit.
const TRAINING: usize = 1;
const HELD_OUT: usize = 2;
const FLOOR: usize = 3;
const LIMIT: usize = 4;
/// Colours that there are.
const COLOURS: usize = 8;

/// A chart of a number that every step has, or may have.
struct OfSteps {
    title: &'static str,
    about: &'static str,
    scale: Scale,
    format: Format,
    /// Whether steps differ so much that a smooth line is drawn over a faint one.
    is_noisy: bool,
    read: fn(&StepRecord) -> Option<f64>,
}

/// Every such chart, in the order of the page.
const OF_STEPS: &[OfSteps] = &[
    OfSteps {
        title: "Learning rate",
        about: "What the schedule gave each update.",
        scale: Scale::Linear,
        format: Format::Plain,
        is_noisy: false,
        read: |step| Some(step.learning_rate),
    },
    OfSteps {
        title: GRADIENT_NORM,
        about: "Norm of all gradients together, before they were clipped; the axis is logarithmic.",
        scale: Scale::Logarithmic,
        format: Format::Plain,
        is_noisy: true,
        read: |step| Some(step.gradient_norm),
    },
    OfSteps {
        title: "Flips",
        about: "The share of all ternary codes that a step changed; the axis is logarithmic.",
        scale: Scale::Logarithmic,
        format: Format::Percent,
        is_noisy: true,
        read: |step| step.flips,
    },
    OfSteps {
        title: "Router losses",
        about: "What the routers of the experts are trained for besides.",
        scale: Scale::Linear,
        format: Format::Plain,
        is_noisy: true,
        read: |step| step.router_loss,
    },
    OfSteps {
        title: "Divergence",
        about: "The mean divergence from the teacher, which is minimised beside the loss; the axis is logarithmic.",
        scale: Scale::Logarithmic,
        format: Format::Plain,
        is_noisy: true,
        read: |step| step.divergence,
    },
    OfSteps {
        title: "Kept examples",
        about: "Tokens or windows, the hardest of each batch, that a step learned from.",
        scale: Scale::Linear,
        format: Format::Count,
        is_noisy: true,
        read: |step| step.mined.map(|mined| mined.kept as f64),
    },
    OfSteps {
        title: "Speed",
        about: "Predictions that were trained on in a second of each step.",
        scale: Scale::Linear,
        format: Format::Count,
        is_noisy: true,
        read: |step| Some(step.tokens_per_second),
    },
    OfSteps {
        title: "Memory",
        about: "The most memory that the process has had so far.",
        scale: Scale::Linear,
        format: Format::Bytes,
        is_noisy: false,
        read: |step| step.peak_memory.map(|bytes| bytes as f64),
    },
];

const GRADIENT_NORM: &str = "Gradient norm";

/// The charts of a run: the loss, then all others.
pub(super) fn of_run(run: &History) -> (Chart, Vec<Chart>) {
    let mut others = vec![distance_to_floor(&[run], &[])];
    others.extend(OF_STEPS.iter().map(|about| {
        let raw = Series::new("each step", TRAINING, Look::Faint, points(run, about));
        let series = if about.is_noisy {
            let smooth = raw.smoothed("smoothed");
            vec![raw, smooth]
        } else {
            vec![Series { look: Look::Line, ..raw }]
        };
        let clip = (about.title == GRADIENT_NORM).then(|| run.setting("optimiser.clip")).flatten();
        let clip = clip.and_then(|clip| clip.parse().ok());
        let levels =
            clip.map(|value| Level { name: "clip".into(), colour: LIMIT, value, is_under: false });
        chart(about, series, levels.into_iter().collect())
    }));
    others.extend([slopes(run), zeros(&[run], &[])]);
    (loss(run), others)
}

/// The charts of several runs over each other, the held-out loss first.
pub(super) fn of_runs(runs: &[&History], names: &[String]) -> Vec<Chart> {
    let units = Units::of(runs.iter().copied());
    let (unit, warning) = units.in_words();
    let series = runs.iter().zip(names).enumerate().map(|(index, (run, name))| {
        let losses = run.evaluations.iter().map(|&(step, nats)| (step, units.show(run, nats)));
        Series::new(name, colour(index), Look::Points, losses)
    });
    let mut charts = vec![
        Chart {
            title: "Held-out loss".into(),
            about: format!(
                "{unit} on text that is never trained on; the axis is logarithmic.{warning}"
            ),
            scale: Scale::Logarithmic,
            is_wide: true,
            series: series.collect(),
            levels: shared_floor(runs.iter().copied())
                .map(|nats| floor(units.show(runs[0], nats)))
                .into_iter()
                .collect(),
            ..Chart::default()
        },
        Chart {
            title: "Training loss".into(),
            about: format!("{unit} of the batches, smoothed; the axis is logarithmic.{warning}"),
            scale: Scale::Logarithmic,
            series: runs
                .iter()
                .zip(names)
                .enumerate()
                .map(|(index, (run, name))| {
                    let losses =
                        run.steps.iter().map(|step| (step.step, units.show(run, step.loss)));
                    Series::new(name, colour(index), Look::Line, losses).smoothed(name)
                })
                .collect(),
            ..Chart::default()
        },
        distance_to_floor(runs, names),
    ];
    charts.extend(OF_STEPS.iter().map(|about| {
        let series = runs.iter().zip(names).enumerate().map(|(index, (run, name))| {
            let raw = Series::new(name, colour(index), Look::Line, points(run, about));
            if about.is_noisy { raw.smoothed(name) } else { raw }
        });
        chart(about, series.collect(), Vec::new())
    }));
    charts.push(zeros(runs, names));
    charts
}

/// The colour of a run among several.
pub(super) fn colour(index: usize) -> usize {
    index % COLOURS + 1
}

fn points(run: &History, about: &OfSteps) -> impl Iterator<Item = (u32, f64)> {
    run.steps.iter().filter_map(|step| Some((step.step, (about.read)(step)?)))
}

fn chart(about: &OfSteps, series: Vec<Series>, levels: Vec<Level>) -> Chart {
    Chart {
        title: about.title.into(),
        about: about.about.into(),
        scale: about.scale,
        format: about.format,
        from_zero: about.scale == Scale::Linear,
        series,
        levels,
        ..Chart::default()
    }
}

fn unit(run: &History) -> String {
    format!("Nats per {}", run.measure().unit.name())
}

fn loss(run: &History) -> Chart {
    let raw = run.steps.iter().map(|step| (step.step, step.loss));
    let raw = Series::new("training, each step", TRAINING, Look::Faint, raw);
    let smooth = raw.smoothed("training, smoothed");
    let held_out =
        Series::new("held-out text", HELD_OUT, Look::Points, run.evaluations.iter().copied());
    let mut levels: Vec<Level> = run.floor().map(floor).into_iter().collect();
    let baseline = run.start.and_then(|start| start.baseline);
    levels.extend(baseline.map(|value| Level {
        name: "baseline".into(),
        colour: LIMIT,
        value,
        is_under: false,
    }));
    let incidents = if run.incidents.is_empty() {
        ""
    } else {
        " Marks are steps in which something went wrong."
    };
    Chart {
        title: "Loss".into(),
        about: format!(
            "{}, on the text it trains on and on text that it never sees; the axis is logarithmic.{incidents}",
            unit(run)
        ),
        scale: Scale::Logarithmic,
        is_wide: true,
        series: vec![raw, smooth, held_out],
        levels,
        marks: run.incidents.iter().map(|incident| incident.step).collect(),
        ..Chart::default()
    }
}

fn floor(value: f64) -> Level {
    Level { name: "floor".into(), colour: FLOOR, value, is_under: true }
}

/// What FOGZO's probes found: the slope that the gradient promised, and the one that was measured.
fn slopes(run: &History) -> Chart {
    let of = |read: fn(&Probed) -> f64| {
        run.steps.iter().filter_map(move |step| Some((step.step, read(&step.probed?))))
    };
    let promised = Series::new("promised", TRAINING, Look::Line, of(|found| found.promised_slope));
    let measured = Series::new("measured", HELD_OUT, Look::Line, of(|found| found.measured_slope));
    Chart {
        title: "FOGZO's slopes".into(),
        about: "The slope of the loss along the probed direction: by the gradient, and by two losses; smoothed."
            .into(),
        series: vec![promised.smoothed("promised"), measured.smoothed("measured")],
        ..Chart::default()
    }
}

fn distance_to_floor(runs: &[&History], names: &[String]) -> Chart {
    let series = runs.iter().enumerate().filter_map(|(index, run)| {
        let floor = run.floor()?;
        let distances = run.evaluations.iter().map(|&(step, nats)| (step, nats - floor));
        let (name, colour) = match names.get(index) {
            Some(name) => (name.clone(), colour(index)),
            None => ("held-out text".to_owned(), HELD_OUT),
        };
        Some(Series::new(name, colour, Look::Points, distances))
    });
    Chart {
        title: "Distance to the floor".into(),
        about: "Held-out loss above the generator's own, in nats, on a logarithmic axis.".into(),
        scale: Scale::Logarithmic,
        series: series.collect(),
        ..Chart::default()
    }
}

fn zeros(runs: &[&History], names: &[String]) -> Chart {
    let series = runs.iter().enumerate().map(|(index, run)| {
        let zeros = run.layers.iter().map(|(step, layers)| (*step, layers.sparsity));
        let name = names.get(index).map_or("all ternary weights", |name| name);
        Series::new(name, colour(index), Look::Points, zeros)
    });
    Chart {
        title: "Zeros".into(),
        about: "The share of zeros among all ternary weights.".into(),
        format: Format::Percent,
        series: series.collect(),
        ..Chart::default()
    }
}
