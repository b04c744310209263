//! What a set tells of the software that made it: how far its own f32 is off.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Outcome;
use super::folder::{Folder, Read};
use crate::fixtures::Error;
use crate::fixtures::distance::relative_error;

/// The f32 numbers of that software.
const NUMBERS: &str = "ref_f32.safetensors";
/// How far a distance may be from the one that is recorded, as a share of it: it was worked out in another order.
const SHARE: f64 = 1e-6;

/// Holds the recorded distances to the numbers of the file, so that a tolerance that follows from them is not wider than
/// they are. Returned are those that may be believed: of a tensor that the file does not have, no more than the largest that
/// it bears out. Distances without the file are refused.
pub(super) fn checked(
    folder: &mut Folder,
    recorded: &Value,
    reference: &Read,
) -> Outcome<BTreeMap<String, f64>> {
    let recorded: Option<BTreeMap<String, f64>> = serde_json::from_value(recorded.clone())
        .map_err(|error| Error::Contradiction(format!("recorded distances: {error}")))?;
    let mut recorded = recorded.unwrap_or_default();
    if !folder.has(NUMBERS) {
        return match recorded.keys().next() {
            None => Ok(recorded),
            Some(name) => {
                let text = format!("the distance of {name} is recorded, and there is no {NUMBERS}");
                Err(Error::Contradiction(text).into())
            }
        };
    }
    let mut numbers = folder.tensors(NUMBERS)?;
    let mut largest = 0.0_f64;
    let names: Vec<String> = numbers.all().keys().cloned().collect();
    for name in &names {
        let own = numbers.get(name)?.values.clone();
        let missing =
            || Error::Contradiction(format!("{NUMBERS} has {name}, and the reference not"));
        let exact = &reference.all().get(name).ok_or_else(missing)?.values;
        let distance = relative_error(&own, exact);
        let told = recorded.get(name).copied().unwrap_or(f64::NAN);
        let is_zeros = exact.iter().all(|&value| value == 0.0);
        if !((distance - told).abs() <= SHARE * told || is_zeros) {
            let text = format!("{name} of {NUMBERS} is off by {distance:e}, recorded is {told:e}");
            return Err(Error::Contradiction(text).into());
        }
        if !is_zeros {
            largest = largest.max(distance);
        }
    }
    numbers.finish()?;
    for (name, told) in &mut recorded {
        if !names.contains(name) {
            *told = told.min(largest);
        }
    }
    Ok(recorded)
}
