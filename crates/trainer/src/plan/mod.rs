//! What a run takes, told before it begins: memory, time, disk, and whether the machine has it.
//!
//! Sizes are worked out from the configuration, without allocating them. Of the presets they hold within a fifth of
//! what Linux measures at the peak, and others should not be far off; learned levels are left out. Time is that of
//! a few steps of the real run; of adapters, of a few steps beside some layers like those of their model.

mod adapted;
mod base;
mod disk;
mod machine;
mod memory;
mod shape;
mod teacher;

use std::fmt;

use crate::config::Configuration;
use crate::data::{Corpus, CorpusRequest};
use crate::error::{Error, Result};
use crate::run::{Rehearsal, base_folder, check_apart, rehearse};
use shape::Shape;
use ste::Ramp;
use teacher::TeacherSize;

pub use disk::PlannedDisk;
pub use memory::PlannedMemory;

/// The share by which sizes may be wrong.
const ACCURACY: f64 = 0.2;
/// What no machine has, for systems that do not tell what they have.
const LARGEST: u64 = 1 << 42;

/// What a run takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Numbers that train.
    pub parameters: u64,
    /// Steps of the run.
    pub steps: u32,
    /// Memory at its peak, by what it is for.
    pub memory: PlannedMemory,
    /// Memory that the machine has free, where it says so.
    pub available: Option<u64>,
    /// Threads that work.
    pub threads: usize,
    /// Seconds of a step; none where it was not tried, because the run does not fit.
    pub step_seconds: Option<f64>,
    /// Seconds of all steps and evaluations.
    pub seconds: Option<f64>,
    /// What the measured steps had no part of, so that the time is longer.
    pub left_out: Vec<&'static str>,
    /// Bytes of a checkpoint: weights, latent weights and the state of the optimiser.
    pub checkpoint: u64,
    /// What the run leaves on disk.
    pub disk: PlannedDisk,
}

/// Plans a run: works out its sizes and, where it fits, times some of its steps. Nothing is written but the tokens of
/// a text with a tokenizer, in their cache; `tell` hears of that. Of a model that adapters are for, nothing is read but
/// its configuration and the lengths of its files.
///
/// # Errors
/// A text or a model that the run could not begin with either.
pub fn plan(
    configuration: &Configuration,
    tell: &mut dyn FnMut(fmt::Arguments<'_>),
) -> Result<Plan> {
    check_apart(configuration)?;
    let corpus = Corpus::open(&CorpusRequest::of(configuration)?, tell)?;
    let mut plan = sizes(configuration, corpus.vocabulary())?;
    if plan.check().is_err() {
        return Ok(plan);
    }
    let rehearsal = rehearse(configuration, &corpus)?;
    if let Some(Rehearsal { step_seconds, evaluation_seconds }) = rehearsal {
        let steps = configuration.run.steps;
        let evaluations = steps.div_ceil(configuration.evaluation.every).max(1);
        plan.step_seconds = Some(step_seconds);
        plan.seconds =
            Some(f64::from(steps) * step_seconds + f64::from(evaluations) * evaluation_seconds);
    }
    Ok(plan)
}

/// Checks that a run has the memory it needs, before anything is allocated.
///
/// # Errors
/// [`Error::TooLarge`]; adapters that their model cannot have.
pub(crate) fn check_memory(configuration: &Configuration, vocabulary: usize) -> Result<()> {
    sizes(configuration, vocabulary)?.check()
}

fn sizes(configuration: &Configuration, vocabulary: usize) -> Result<Plan> {
    let threads = rayon::current_num_threads();
    let (shape, vocabulary) = match base_folder(configuration)? {
        Some(folder) => adapted::shape(configuration, &folder, vocabulary)?,
        None => (Shape::of(configuration, vocabulary), vocabulary),
    };
    let teacher = TeacherSize::of(configuration);
    let memory = PlannedMemory::of(configuration, &shape, vocabulary, threads, teacher);
    let weights = memory.packed.saturating_add(memory.other);
    let checkpoint = weights.saturating_add(memory.latent).saturating_add(memory.optimiser);
    Ok(Plan {
        parameters: memory::bytes(shape.parameters()),
        steps: configuration.run.steps,
        available: machine::available_memory(),
        threads,
        step_seconds: None,
        seconds: None,
        left_out: left_out(configuration),
        checkpoint,
        disk: PlannedDisk::of(configuration, &shape, weights, checkpoint),
        memory,
    })
}

/// What the first steps of a run do not show of its time.
fn left_out(configuration: &Configuration) -> Vec<&'static str> {
    let has_probes = configuration.run.fogzo_from < 1.0;
    let has_ramp = configuration.ramp().is_ok_and(|ramp| ramp != Ramp::NONE);
    let all = [(has_probes, "FOGZO's probes"), (has_ramp, "steps after the start of a ramp")];
    all.into_iter().filter(|(is_left_out, _)| *is_left_out).map(|(_, what)| what).collect()
}

impl Plan {
    /// Whether the machine has the memory; unknown where it does not say what it has.
    pub fn fits(&self) -> Option<bool> {
        self.available.map(|available| self.memory.total() <= available)
    }

    /// Checks that the run does not surely fail: what is planned may be too much by its inaccuracy.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn check(&self) -> Result<()> {
        let (needed, available) = (self.memory.total(), self.available.unwrap_or(LARGEST));
        if needed as f64 <= available as f64 * (1.0 + ACCURACY) {
            return Ok(());
        }
        Err(Error::TooLarge { needed, available })
    }

    /// The same as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "parameters": self.parameters,
            "steps": self.steps,
            "memory": self.memory,
            "memory_total": self.memory.total(),
            "memory_available": self.available,
            "fits": self.fits(),
            "threads": self.threads,
            "step_seconds": self.step_seconds,
            "seconds": self.seconds,
            "left_out": self.left_out,
            "checkpoint": self.checkpoint,
            "disk": self.disk,
            "disk_total": self.disk.total(),
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, steps, threads, .. } = self;
        writeln!(f, "{parameters} parameters")?;
        writeln!(f, "memory, within {:.0}%:", ACCURACY * 100.0)?;
        for (name, bytes) in self.memory.parts().into_iter().filter(|(_, bytes)| *bytes > 0) {
            writeln!(f, "  {name:<16}{:>10}", in_words(bytes))?;
        }
        let total = in_words(self.memory.total());
        writeln!(f, "  {:<16}{total:>10}", "all")?;
        writeln!(
            f,
            "disk: about {}, with {} of the model, {} of each checkpoint, and about {} of metrics, events and report",
            in_words(self.disk.total()),
            in_words(self.disk.model),
            in_words(self.checkpoint),
            in_words(self.disk.metrics + self.disk.events + self.disk.report),
        )?;
        let available = self.available.map(in_words);
        let available = available.unwrap_or_else(|| "an unknown amount".to_owned());
        let verdict = match (self.fits(), self.check()) {
            (Some(true), _) => "fits",
            (Some(false), Ok(())) => "may not fit",
            (_, Err(_)) => "does not fit",
            (None, Ok(())) => "may fit",
        };
        write!(f, "{verdict}: about {total}, and {available} is free")?;
        match self.seconds.zip(self.step_seconds) {
            Some((seconds, step)) => write!(
                f,
                "; about {} for {steps} steps of {step:.3} s on {threads} threads{}",
                Duration(seconds),
                without(&self.left_out),
            ),
            None => write!(f, "; {steps} steps, whose time was not measured"),
        }
    }
}

/// What a time leaves out, in words.
fn without(left_out: &[&str]) -> String {
    if left_out.is_empty() {
        String::new()
    } else {
        format!(", without {}", left_out.join(" and "))
    }
}

/// A time in words.
struct Duration(f64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0 / 60.0;
        match minutes {
            ..2.0 => write!(f, "{:.0} s", self.0),
            ..120.0 => write!(f, "{minutes:.0} minutes"),
            ..2880.0 => write!(f, "{:.1} hours", minutes / 60.0),
            _ => write!(f, "{:.1} days", minutes / 1440.0),
        }
    }
}

/// A number of bytes in words: `112 MiB`.
pub(crate) fn in_words(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"] {
        if amount < 1000.0 {
            let digits = usize::from(amount < 10.0 && unit != "bytes");
            return format!("{amount:.digits$} {unit}");
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} EiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, Preset};
    use crate::data::VOCABULARY;

    fn planned(sets: &[&str]) -> Plan {
        let mut layers = Layers::default();
        layers.add_assignments(sets.iter().copied()).unwrap();
        sizes(&layers.resolve().unwrap(), VOCABULARY).unwrap()
    }

    #[test]
    fn sizes_follow_the_settings() {
        let tiny = planned(&[]);
        assert!(tiny.check().is_ok() && tiny.fits() != Some(false), "{tiny}");
        let float = planned(&["float=true"]);
        assert_eq!((float.memory.packed, float.memory.latent), (0, 0));
        assert_eq!(float.memory.other + (32 << 8) * 4, 4 * float.parameters + 2 * (32 << 8) * 4);
        let half = planned(&["ternary.latent=bf16"]);
        assert_eq!(2 * half.memory.latent, tiny.memory.latent);
        assert_eq!(planned(&["dqt=true"]).memory.latent, 0);
        let [short, long] = ["batch.unit=1", "batch.unit=2"].map(|set| planned(&[set]).memory);
        assert!(long.activations > short.activations && long.gradients <= short.gradients);
        let again = planned(&["batch.recompute=true"]);
        // What is left behind the blocks is left all the same.
        assert!(3 * again.memory.activations < 2 * tiny.memory.activations, "{again}");
        // The kind of block that leaves more decides.
        let [attention, delta, hybrid] = ["0", "1024", "4"].map(|every| {
            let every = format!("delta.attention_every={every}");
            planned(&["preset=hybrid", &every, "batch.recompute=true"]).memory.activations
        });
        assert!(hybrid >= attention.max(delta), "{hybrid}: {attention}, {delta}");
        let momentum = planned(&["optimiser.method=sgd"]).memory.optimiser;
        assert_eq!(2 * momentum, tiny.memory.optimiser);
        assert!(planned(&["ste=progressive"]).memory.other > tiny.memory.latent);
    }

    #[test]
    fn disk_counts_all_that_a_run_writes() {
        let plan = planned(&["steps=1000", "evaluation.every=10"]);
        let disk = plan.disk;
        // Two stay, and a third is written.
        assert_eq!(disk.checkpoints, 3 * plan.checkpoint);
        assert_eq!(
            planned(&["steps=1000", "evaluation.every=1000"]).disk.checkpoints,
            plan.checkpoint
        );
        assert_eq!(
            planned(&["checkpoint_every=0", "keep_last=9"]).disk.checkpoints,
            plan.checkpoint
        );
        assert_eq!(planned(&["evaluation.keep_best=true"]).disk.best, disk.model);
        let rare = planned(&["steps=1000", "evaluation.every=100"]).disk;
        assert!(disk.metrics > 3 * rare.metrics && disk.events > disk.metrics, "{disk:?}");
        let wide = planned(&["preset=moe", "steps=1000", "evaluation.every=10"]).disk;
        assert!(wide.metrics > disk.metrics && wide.report > disk.report, "{wide:?}");
        let json = plan.to_json();
        assert_eq!(json["disk_total"], disk.total());
        assert!(plan.to_string().contains("metrics, events and report"), "{plan}");
    }

    #[test]
    fn a_teacher_has_its_weights_and_its_work_in_memory() {
        let folder = crate::temporary::TemporaryFolder::new();
        let alone = Layers::default().resolve().unwrap();
        interop::save(&crate::run::build(&alone, VOCABULARY).unwrap(), folder.path()).unwrap();
        let mut taught = alone.clone();
        taught.run.teacher = Some(folder.path().to_owned());
        let [without, with] =
            [&alone, &taught].map(|configuration| sizes(configuration, VOCABULARY).unwrap().memory);
        assert_eq!(without.teacher, 0);
        assert!(with.teacher > with.packed && with.total() == without.total() + with.teacher);
        taught.run.teacher = Some(folder.path().join("no-such"));
        assert_eq!(
            sizes(&taught, VOCABULARY).unwrap().memory.teacher,
            0,
            "the run says what is wrong"
        );
    }

    #[test]
    fn a_time_says_what_it_leaves_out() {
        assert_eq!(planned(&[]).left_out, [""; 0]);
        let plan = planned(&["fogzo_from=0.9", "float_steps=100"]);
        let timed = Plan { step_seconds: Some(0.1), seconds: Some(100.0), ..plan };
        let said = timed.to_string();
        assert!(
            said.ends_with("threads, without FOGZO's probes and steps after the start of a ramp"),
            "{said}"
        );
    }

    #[test]
    fn what_no_machine_holds_is_refused_and_not_allocated() {
        let largest = [
            "model.width=65536",
            "model.heads=1024",
            "model.key_value_heads=1024",
            "model.layers=1024",
            "model.feed_forward=1048576",
            "mixture.experts=1024",
            "mixture.used=1024",
            "batch.windows=16",
            "batch.length=1048576",
        ];
        let plan = planned(&largest);
        let error = plan.check().unwrap_err().to_string();
        assert!(error.contains("would need about 16.0 EiB"), "{error}");
        assert!(plan.to_string().contains("fit"), "{plan}");
        let unknown = Plan { available: None, ..planned(&[]) };
        assert!(unknown.check().is_ok() && unknown.to_string().contains("may fit"), "{unknown}");
    }

    #[test]
    fn presets_say_how_many_parameters_they_have() {
        for preset in Preset::ALL {
            let millions =
                sizes(&preset.configuration(), VOCABULARY).unwrap().parameters as f64 / 1e6;
            let said = format!(" {millions:.1} million parameters");
            assert!(preset.about().contains(&said), "{}: {said}", preset.about());
        }
    }

    #[test]
    fn amounts_are_told_in_words() {
        for (bytes, words) in [
            (7, "7 bytes"),
            (1024, "1.0 KiB"),
            (112 << 20, "112 MiB"),
            (900 << 30, "900 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(in_words(bytes), words);
        }
        let said = [59.0, 600.0, 7200.0, 360_000.0].map(|seconds| Duration(seconds).to_string());
        assert_eq!(said, ["59 s", "10 minutes", "2.0 hours", "4.2 days"]);
    }
}
