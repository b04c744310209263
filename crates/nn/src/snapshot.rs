//! What training changes in a model, as named arrays and back.
//!
//! | of | arrays |
//! |---|---|
//! | each parameter that can learn | `NAME`: its numbers, in the type they have |
//! | ternary weights without latent ones | `NAME` (packed trits, row after row), `NAME.scales` |
//! | each ternary layer with latent weights, each group that shares levels | `NAME.levels` |
//!
//! Codes of latent weights are not among them: they are a function of the weights, of the levels and of
//! the [`Update`] they were decided in, whose noise is a function as well. Levels are, though most could be
//! fitted again: a running average cannot. What is frozen does not change, and is left out.

use half::bf16;
use ternary_core::{Levels, PackedTrits, Real, Scales, TernaryMatrix, Weights};

use crate::error::{Error, InLayer};
use crate::module::{Module, Tensor, Update, Values, ValuesMut};
use crate::parameters::{ParameterId, Parameters};

/// The numbers of an array, to be kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Numbers<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit floats.
    F64(&'a [f64]),
    /// bfloat16.
    Bf16(&'a [bf16]),
    /// Bytes.
    U8(&'a [u8]),
}

/// Room for the numbers of an array, to be filled.
#[derive(Debug, PartialEq)]
pub enum NumbersMut<'a> {
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// 64-bit floats.
    F64(&'a mut [f64]),
    /// bfloat16.
    Bf16(&'a mut [bf16]),
    /// Bytes.
    U8(&'a mut [u8]),
}

/// Numbers of each group in an array of levels: Δ, W_n and W_p.
const PER_GROUP: usize = 3;

/// Calls `visit` with the name and the numbers of every array of the training state, in a fixed order.
pub fn visit_state<T: Real>(
    module: &(impl Module<T> + ?Sized),
    visit: &mut dyn FnMut(&str, Numbers<'_>),
) {
    module.visit(&mut |Tensor { name, id, values }| {
        if id.is_none_or(ParameterId::is_frozen) {
            return;
        }
        match values {
            Values::Real(values) => visit(name, numbers(values)),
            Values::Single(values) | Values::Training(values) => visit(name, Numbers::F32(values)),
            // Always frozen.
            Values::Bf16 { .. } => {}
            Values::Ternary { latent: Some(Weights::F32(latent)), .. } => {
                visit(name, Numbers::F32(latent));
            }
            Values::Ternary { latent: Some(Weights::Bf16(latent)), .. } => {
                visit(name, Numbers::Bf16(latent));
            }
            // No layer keeps latent weights in half precision, but one from outside may.
            Values::Ternary { latent: Some(latent @ Weights::F16(_)), .. } => {
                visit(name, Numbers::F32(&latent.to_f32()));
            }
            Values::Ternary { matrix, latent: None, .. } => {
                visit(name, Numbers::U8(&matrix.codes().to_row_major()));
                visit(&scales_name(name), Numbers::F32(&flat_scales(matrix.scales())));
            }
        }
    });
    module.visit_levels(&mut |name, levels| {
        visit(&levels_name(name), Numbers::F32(&flat_levels(levels)));
    });
}

/// Fills a model of the same shape with a training state, and decides its codes: `read` gets the name of
/// every array of [`visit_state`] and room for its numbers. `update` is the requantisation that came last
/// before the state was kept. The model then is, bit for bit, the one that was kept.
///
/// # Errors
/// The first of `read`, after which nothing more is read; scales, codes or latent weights that no model can
/// have. The model is not to be used then.
pub fn restore<T: Real, E: From<Error>>(
    module: &mut (impl Module<T> + ?Sized),
    parameters: &Parameters,
    update: Update,
    read: &mut dyn FnMut(&str, NumbersMut<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut result = Ok(());
    module.visit_mut(&mut |id, values| {
        if result.is_ok() && !id.is_frozen() {
            result = restore_values(parameters.name(id), values, read);
        }
    });
    result?;
    let mut result = Ok(());
    module.visit_levels_mut(&mut |name, levels| {
        if result.is_ok() {
            let mut flat = flat_levels(levels);
            result = read(&levels_name(name), NumbersMut::F32(&mut flat));
            for (level, flat) in levels.iter_mut().zip(flat.as_chunks::<PER_GROUP>().0) {
                let [threshold, negative, positive] = *flat;
                *level = Levels { threshold, negative, positive };
            }
        }
    });
    result?;
    Ok(module.decide_again(update)?)
}

fn restore_values<T: Real, E: From<Error>>(
    name: &str,
    values: ValuesMut<'_, T>,
    read: &mut dyn FnMut(&str, NumbersMut<'_>) -> Result<(), E>,
) -> Result<(), E> {
    match values {
        ValuesMut::Real(values) => read(name, numbers_mut(values)),
        ValuesMut::F32(values) => read(name, NumbersMut::F32(values)),
        ValuesMut::Bf16(values) => read(name, NumbersMut::Bf16(values)),
        ValuesMut::Ternary(matrix) => {
            let mut codes = matrix.codes().to_row_major();
            read(name, NumbersMut::U8(&mut codes))?;
            let mut flat = flat_scales(matrix.scales());
            read(&scales_name(name), NumbersMut::F32(&mut flat))?;
            *matrix = restored_matrix(matrix, &codes, &flat).in_layer(name)?;
            Ok(())
        }
    }
}

/// A matrix of the same layout and granularity with other codes and scales.
fn restored_matrix(
    like: &TernaryMatrix,
    codes: &[u8],
    scales: &[f32],
) -> ternary_core::Result<TernaryMatrix> {
    let granularity = like.scales().granularity();
    let scales = if like.scales().is_symmetric() {
        Scales::symmetric(granularity, scales.to_vec())?
    } else {
        let (negative, positive) = scales.split_at(like.scales().len());
        Scales::asymmetric(granularity, negative.to_vec(), positive.to_vec())?
    };
    TernaryMatrix::new(PackedTrits::from_row_major(*like.codes().layout(), codes)?, scales)
}

fn levels_name(name: &str) -> String {
    format!("{name}.levels")
}

fn scales_name(name: &str) -> String {
    format!("{name}.scales")
}

fn flat_levels(levels: &[Levels]) -> Vec<f32> {
    let numbers = |levels: &Levels| [levels.threshold, levels.negative, levels.positive];
    levels.iter().flat_map(numbers).collect()
}

/// Those of −1 first, where they are apart.
fn flat_scales(scales: &Scales) -> Vec<f32> {
    if scales.is_symmetric() {
        return scales.positive().to_vec();
    }
    [scales.negative(), scales.positive()].concat()
}

/// `f32` or `f64`, the two number types of a model.
fn numbers<T: Real>(values: &[T]) -> Numbers<'_> {
    if size_of::<T>() == size_of::<f32>() {
        Numbers::F32(bytemuck::cast_slice(values))
    } else {
        Numbers::F64(bytemuck::cast_slice(values))
    }
}

fn numbers_mut<T: Real>(values: &mut [T]) -> NumbersMut<'_> {
    if size_of::<T>() == size_of::<f32>() {
        NumbersMut::F32(bytemuck::cast_slice_mut(values))
    } else {
        NumbersMut::F64(bytemuck::cast_slice_mut(values))
    }
}
