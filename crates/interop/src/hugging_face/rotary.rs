//! Rotary positions of a `config.json`: nested under `rope_parameters`, or flat as older files have them.

use nn::ops::RotaryScaling;

use super::config::Family;
use crate::error::Problem;
use crate::json::{Json, Object};

/// The base of the angles where dense models do not say it.
const DEFAULT_BASE: f64 = 10_000.0;
/// The part of a head that hybrid models turn where they do not say it.
const DEFAULT_PART: f64 = 0.25;
const BASE: &str = "rope_theta";
const PART: &str = "partial_rotary_factor";

/// How heads are turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rotary {
    /// θ: pair j of a head at position t turns by t · θ^(−2j / width).
    pub(super) base: f64,
    /// Numbers of a head that are turned.
    pub(super) width: usize,
    /// How angles are changed for more positions than the model was first trained with.
    pub(super) scaling: Option<RotaryScaling>,
}

impl Rotary {
    /// Reads both forms; where a value stands in both, it must be the same.
    pub(super) fn read(
        family: Family,
        text: &Object<'_>,
        head_width: usize,
    ) -> Result<Self, Problem> {
        let nested = text.object("rope_parameters")?;
        let mut scaling = None;
        for object in [nested.clone(), text.object("rope_scaling")?].into_iter().flatten() {
            let own = scaling_of(&object)?;
            if own.is_some() && scaling.is_some() && own != scaling {
                return Err(text.refuse("rope_scaling", "that of rope_parameters", "another"));
            }
            scaling = own.or(scaling);
        }
        let value = |key: &str| -> Result<Option<f64>, Problem> {
            let inner = nested.as_ref().map(|nested| nested.real(key)).transpose()?.flatten();
            match (inner, text.real(key)?) {
                (Some(inner), Some(outer)) if inner != outer => {
                    let expected = format!("{inner}, as in rope_parameters");
                    Err(text.refuse(key, expected, outer))
                }
                (inner, outer) => Ok(inner.or(outer)),
            }
        };
        let base = match value(BASE)? {
            None if family.is_hybrid() => text.need(BASE, None)?,
            base => base.unwrap_or(DEFAULT_BASE),
        };
        let (part, expected) = if family.is_hybrid() {
            (value(PART)?.unwrap_or(DEFAULT_PART), "above 0 and at most 1")
        } else {
            (value(PART)?.unwrap_or(1.0), "1 for models of this type")
        };
        let width = (head_width as f64 * part).floor();
        if !(part > 0.0 && part <= 1.0) || (part != 1.0 && !family.is_hybrid()) {
            return Err(text.refuse(PART, expected, part));
        }
        let width = width as usize;
        if width == 0 || !width.is_multiple_of(2) {
            if part == 1.0 {
                return Err(text.refuse("head_dim", "an even number of at least 2", head_width));
            }
            let expected = format!("a part of {head_width} that is an even number");
            return Err(text.refuse(PART, expected, part));
        }
        Ok(Self { base, width, scaling })
    }
}

/// How angles are changed; all but the way of Llama 3.1 is refused.
fn scaling_of(object: &Object<'_>) -> Result<Option<RotaryScaling>, Problem> {
    let mut is_scaled = false;
    for key in ["rope_type", "type"] {
        match object.text(key)? {
            // Sections of positions in an image are all the same position in a text.
            None | Some("default") => {}
            Some("llama3") => is_scaled = true,
            Some(kind) => return Err(object.refuse(key, "default or llama3", kind)),
        }
    }
    // Angles that differ by the type of a layer.
    match object.iter().find(|(_, value)| matches!(value, Json::Object(_))) {
        Some((key, value)) => {
            return Err(object.refuse(key, "the same angles in all layers", value));
        }
        None if !is_scaled => return Ok(None),
        None => {}
    }
    let number = |key: &str| object.need(key, object.real(key)?);
    const POSITIONS: &str = "original_max_position_embeddings";
    Ok(Some(RotaryScaling {
        factor: number("factor")?,
        slow: number("low_freq_factor")?,
        fast: number("high_freq_factor")?,
        positions: object.need(POSITIONS, object.count(POSITIONS)?)?,
    }))
}
