//! Numbers that end a run when they cross a line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A line that a number must not cross: `ppl>400@2000` ends a run whose held-out perplexity is above 400 at step
/// 2000 or later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopCondition {
    /// The number.
    pub metric: Metric,
    /// Whether it is not to be above the line, or else below.
    pub above: bool,
    /// The line.
    pub line: f64,
    /// The first step that it holds for, counted from 1.
    pub from: u32,
}

/// What a run measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// The perplexity of the held-out text, e to the loss.
    Perplexity,
    /// The loss of the held-out text, in nats.
    Loss,
    /// The loss of a step.
    TrainLoss,
    /// The norm of the gradient.
    Norm,
    /// The share of ternary codes that a step changed.
    Flips,
    /// The share of ternary weights that are zero.
    Sparsity,
}

impl Metric {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Perplexity, Self::Loss, Self::TrainLoss, Self::Norm, Self::Flips, Self::Sparsity];

    /// The name in a condition.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Perplexity => "ppl",
            Self::Loss => "loss",
            Self::TrainLoss => "train-loss",
            Self::Norm => "norm",
            Self::Flips => "flips",
            Self::Sparsity => "sparsity",
        }
    }
}

/// What was measured at a step; what was not is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reading {
    /// The step, counted from 1.
    pub step: u32,
    /// The loss of the held-out text, of which the perplexity comes too.
    pub loss: Option<f64>,
    /// The loss of the step.
    pub train_loss: Option<f64>,
    /// The norm of its gradient.
    pub norm: Option<f64>,
    /// The share of codes that it changed.
    pub flips: Option<f64>,
    /// The share of ternary weights that are zero.
    pub sparsity: Option<f64>,
}

impl Reading {
    fn of(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Perplexity => self.loss.map(f64::exp),
            Metric::Loss => self.loss,
            Metric::TrainLoss => self.train_loss,
            Metric::Norm => self.norm,
            Metric::Flips => self.flips,
            Metric::Sparsity => self.sparsity,
        }
    }
}

impl StopCondition {
    /// What text is read as a condition.
    pub const EXPECTED: &str = "a condition such as \"ppl>400@2000\": ppl, loss, train-loss, norm, flips or sparsity, \
                                then > or <, a number, and @ with the step it holds from, if not from the first";

    /// Why the run is to stop, if it is. What was not measured, or is not a number, crosses no line.
    pub fn trips(&self, reading: &Reading) -> Option<String> {
        let found = reading.of(self.metric)?;
        let is_beyond = if self.above { found > self.line } else { found < self.line };
        (is_beyond && reading.step >= self.from).then(|| {
            format!("{} is {found} at step {}: stopped by {self}", self.metric.name(), reading.step)
        })
    }
}

impl fmt::Display for StopCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.above { '>' } else { '<' };
        write!(f, "{}{sign}{}", self.metric.name(), self.line)?;
        if self.from > 0 { write!(f, "@{}", self.from) } else { Ok(()) }
    }
}

impl FromStr for StopCondition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let sign = text.find(['>', '<']).ok_or(())?;
        let (name, rest) = (text[..sign].trim(), &text[sign + 1..]);
        let metric = Metric::ALL.into_iter().find(|metric| metric.name() == name).ok_or(())?;
        let (line, from) = match rest.split_once('@') {
            Some((line, from)) => (line, from.trim().parse().map_err(|_| ())?),
            None => (rest, 0),
        };
        let line: f64 = line.trim().parse().map_err(|_| ())?;
        if !line.is_finite() {
            return Err(());
        }
        Ok(Self { metric, above: &text[sign..=sign] == ">", line, from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> StopCondition {
        text.parse().unwrap()
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for metric in Metric::ALL {
            for rest in [">400", "<0.25", ">1@2000", "<-3.5@1"] {
                let text = format!("{}{rest}", metric.name());
                assert_eq!(condition(&text).to_string(), text);
                assert_eq!(condition(&text).metric, metric);
            }
        }
        assert_eq!(condition(" ppl > 4e2 @ 2000 ").to_string(), "ppl>400@2000");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "ppl",
            "ppl>",
            ">400",
            "ppl400",
            "ppl=400",
            "ppx>400",
            "ppl>x",
            "ppl>nan",
            "ppl>inf",
            "ppl>400@",
            "ppl>400@x",
            "ppl>400@-1",
            "ppl>400@1.5",
            "ppl>400@1@2",
            "ppl>=400",
            "ppl><4",
        ] {
            assert_eq!(text.parse::<StopCondition>(), Err(()), "{text}");
        }
    }

    #[test]
    fn it_trips_beyond_its_line_from_its_step_on() {
        let at = |step, loss: f64| Reading { step, loss: Some(loss), ..Reading::default() };
        let ppl = condition("ppl>400@2000");
        assert_eq!(ppl.trips(&at(1999, 7.0)), None);
        assert_eq!(ppl.trips(&at(2000, 5.0)), None);
        assert!(
            ppl.trips(&at(2000, 6.0)).unwrap().ends_with("at step 2000: stopped by ppl>400@2000")
        );
        assert!(ppl.trips(&at(3000, 7.0)).unwrap().starts_with("ppl is 1096.6"));
        assert!(ppl.trips(&at(3000, f64::INFINITY)).is_some());
        assert_eq!(ppl.trips(&at(3000, f64::NAN)), None);
        assert!(condition("loss<1").trips(&at(1, 0.5)).is_some());
        assert_eq!(condition("loss<1").trips(&at(1, 1.0)), None);
        assert_eq!(condition("norm>1").trips(&at(1, 9.0)), None);
        let step = Reading {
            step: 1,
            loss: None,
            train_loss: Some(1.0),
            norm: Some(2.0),
            flips: Some(3.0),
            sparsity: Some(4.0),
        };
        for (text, trips) in [
            ("train-loss>0.9", true),
            ("train-loss>1", false),
            ("norm>1.9", true),
            ("flips>2.9", true),
            ("sparsity>3.9", true),
            ("sparsity<3.9", false),
            ("ppl>0", false),
        ] {
            assert_eq!(condition(text).trips(&step).is_some(), trips, "{text}");
        }
    }
}
