//! What a finished run measured, from its `metrics.jsonl`.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// A layer with at least this share of zeros is dead.
const DEAD: f64 = 0.99;

/// What a run measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    /// The held-out loss after the last step, in nats per byte; NaN where it is not finite.
    pub(super) held_out: f64,
    /// The loss of the batch of the first step.
    pub(super) first_loss: f64,
    /// The share of zeros at the end, where weights are ternary.
    pub(super) sparsity: Option<f64>,
    /// The share of codes that a step changed, on average over the run.
    pub(super) flips: Option<f64>,
    /// Matrices that are nearly all zeros.
    pub(super) dead: Vec<String>,
}

impl Measured {
    /// Reads the metrics of a run of `steps` steps from its folder.
    ///
    /// # Errors
    /// Metrics that cannot be read, or that are not those of such a run.
    pub(super) fn read(folder: &Path, steps: u32) -> Result<Self, Box<dyn Error>> {
        of_folder(folder, |text| Self::parse(text, steps))
    }

    fn parse(text: &str, steps: u32) -> Result<Self, String> {
        let records = records(text)?;
        let of_kind = |kind: &'static str| records.iter().filter(move |r| r["kind"] == kind);
        let (count, last) = (of_kind("step").count(), of_kind("evaluation").next_back());
        let last = last.filter(|record| record["step"] == steps && count == steps as usize);
        let last = last.ok_or_else(|| {
            format!("expected {steps} steps and an evaluation after them, found {count} steps")
        })?;
        let flips: Vec<f64> = of_kind("step").filter_map(|r| r["flips"].as_f64()).collect();
        let layers = of_kind("layers").next_back();
        Ok(Self {
            // JSON has no number for what is not finite.
            held_out: last["nats"].as_f64().unwrap_or(f64::NAN),
            first_loss: of_kind("step").next().and_then(|r| r["loss"].as_f64()).unwrap_or(f64::NAN),
            sparsity: layers.and_then(|record| record["sparsity"].as_f64()),
            flips: mean(&flips),
            dead: layers.map(dead).unwrap_or_default(),
        })
    }

    /// Why it is no evidence of learning, if it is none.
    pub(super) fn complaints(&self) -> Vec<String> {
        let Self { held_out, first_loss, dead, .. } = self;
        let mut complaints = Vec::new();
        if !held_out.is_finite() {
            complaints.push("its held-out loss is not finite".to_owned());
        } else if held_out.partial_cmp(first_loss) != Some(std::cmp::Ordering::Less) {
            let text = "the loss of its first step";
            complaints.push(format!(
                "its held-out loss {held_out:.4} is not below {text}, {first_loss:.4}"
            ));
        }
        complaints.extend(dead.iter().map(|name| format!("nearly all weights of {name} are 0")));
        complaints
    }
}

fn dead(layers: &Value) -> Vec<String> {
    let matrices = layers["matrices"].as_array().into_iter().flatten();
    let dead = matrices.filter(|matrix| matrix["sparsity"].as_f64().is_some_and(|s| s >= DEAD));
    dead.map(|matrix| matrix["name"].as_str().unwrap_or("a matrix").to_owned()).collect()
}

/// The mean of some numbers; none of none.
pub(super) fn mean(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

/// Steps at the beginning whose time does not count: memory is touched for the first time there.
pub(super) const WARM_UP: u32 = 2;

/// The seconds that a run of `steps` steps in `folder` took for each byte that it predicted, as the mean over
/// its steps after the first [`WARM_UP`]. `r` is `tokens_per_second`:
///
/// ```text
/// t = Σ 1/r_i / (steps − 2)   for i in 3..=steps
/// ```
///
/// It is the mean, for a median would hide what only some of the steps cost.
///
/// # Errors
/// Metrics that cannot be read, or that are not those of such a run.
pub(super) fn seconds_per_byte(folder: &Path, steps: u32) -> Result<f64, Box<dyn Error>> {
    of_folder(folder, |text| parse_seconds_per_byte(text, steps))
}

fn parse_seconds_per_byte(text: &str, steps: u32) -> Result<f64, String> {
    let records = records(text)?;
    let records = records.iter().filter(|record| record["kind"] == "step");
    let rates = records.filter_map(|record| record["tokens_per_second"].as_f64());
    let seconds: Vec<f64> = rates.filter(|rate| *rate > 0.0).map(f64::recip).collect();
    let counted = seconds.get(WARM_UP as usize..).filter(|_| seconds.len() == steps as usize);
    counted.and_then(mean).ok_or_else(|| {
        let found = seconds.len();
        format!("expected the speed of {steps} steps, more than {WARM_UP}, found {found}")
    })
}

/// What `parse` finds in the metrics of a folder.
fn of_folder<T>(
    folder: &Path,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Box<dyn Error>> {
    let path = folder.join("metrics.jsonl");
    let text = fs::read_to_string(&path).map_err(|error| error.to_string());
    let parsed = text.and_then(|text| parse(&text));
    parsed.map_err(|error| format!("{}: {error}", path.display()).into())
}

fn records(text: &str) -> Result<Vec<Value>, String> {
    let of_line = |(index, line)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
    };
    text.lines().enumerate().map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"kind":"step","step":1,"loss":5.5,"flips":0.5,"tokens_per_second":100.0}
{"kind":"step","step":2,"loss":5.0,"flips":0.25,"tokens_per_second":400.0}
{"kind":"step","step":3,"loss":4.5,"flips":0.0,"tokens_per_second":200.0}
{"kind":"evaluation","step":3,"nats":4.25}
{"kind":"layers","step":3,"sparsity":0.5,"matrices":[{"name":"a","sparsity":0.2},{"name":"b","sparsity":0.99}]}
"#;

    #[test]
    fn the_numbers_are_those_of_the_records() {
        let measured = Measured::parse(RUN, 3).unwrap();
        let expected = Measured {
            held_out: 4.25,
            first_loss: 5.5,
            sparsity: Some(0.5),
            flips: Some(0.25),
            dead: vec!["b".into()],
        };
        assert_eq!(measured, expected);
        assert_eq!(measured.complaints(), ["nearly all weights of b are 0"]);
        let float: String = RUN.replace("\"flips\"", "\"none\"").replace("layers", "other");
        let float = Measured::parse(&float, 3).unwrap();
        assert_eq!((float.sparsity, float.flips, float.dead), (None, None, vec![]));
    }

    #[test]
    fn a_loss_that_did_not_fall_or_is_not_finite_is_complained_of() {
        let with = |loss: &str| {
            let text = RUN.replace("4.25", loss).replace("0.99", "0.9");
            Measured::parse(&text, 3).unwrap().complaints()
        };
        assert_eq!(with("5.49"), [""; 0]);
        assert_eq!(
            with("5.5"),
            ["its held-out loss 5.5000 is not below the loss of its first step, 5.5000"]
        );
        assert_eq!(with("null"), ["its held-out loss is not finite"]);
    }

    #[test]
    fn metrics_of_another_run_or_half_a_line_are_refused() {
        assert!(Measured::parse(RUN, 4).unwrap_err().contains("expected 4 steps"));
        assert!(Measured::parse(&RUN[..RUN.len() - 9], 3).unwrap_err().starts_with("line 5: "));
    }

    #[test]
    fn the_time_is_the_mean_over_the_steps_after_the_first_two() {
        let of = |rates: &[f64], steps| {
            let step = |rate| format!("{{\"kind\":\"step\",\"tokens_per_second\":{rate}}}\n");
            parse_seconds_per_byte(&rates.iter().map(step).collect::<String>(), steps)
        };
        // 1/4, 1/4 and 1 second; the median would be a quarter.
        assert_eq!(of(&[0.1, 0.2, 4.0, 4.0, 1.0], 5), Ok(0.5));
        assert!(of(&[1.0; 4], 5).unwrap_err().contains("speed of 5 steps"));
        assert!(of(&[1.0; 2], 2).unwrap_err().contains("more than 2"));
        assert!(of(&[1.0, 1.0, 0.0], 3).is_err());
    }
}
