//! Adapters put into the places of a model, found there and taken out again.

use std::any::Any;

use nn::{Compute, Dense, Parameters, Projection};

use super::{Lora, declare};
use crate::{Adapter, AdapterError};

impl<T: Compute> Lora<T> {
    /// Puts an adapter beside the projection in a place ([`Layer::each_projection_mut`](nn::Layer::each_projection_mut)).
    /// After an error the place is as it was.
    ///
    /// # Errors
    /// As [`Lora::new`], and where there is an adapter already.
    pub fn attach(
        place: &mut Box<dyn Projection<T>>,
        adapter: Adapter<T>,
        dropout: f64,
        parameters: &mut Parameters,
    ) -> Result<(), AdapterError> {
        if Self::of(&**place).is_some() {
            return Err(AdapterError::Twice { module: place.name().to_owned() });
        }
        let vacant = vacant()?;
        let declared = declare(&**place, &adapter, dropout, parameters)?;
        let base = std::mem::replace(place, vacant);
        *place = Box::new(Self::with(base, adapter, dropout, declared));
        Ok(())
    }

    /// Takes the adapter out of a place, which has its own projection again; none where there is none. Its parameters
    /// stay declared.
    ///
    /// # Errors
    /// None that a place of a model can give.
    pub fn detach(place: &mut Box<dyn Projection<T>>) -> Result<Option<Adapter<T>>, AdapterError> {
        if Self::of(&**place).is_none() {
            return Ok(None);
        }
        let taken = std::mem::replace(place, vacant()?);
        let taken: Box<dyn Any> = taken;
        Ok(taken.downcast::<Self>().ok().map(|lora| {
            let Self { base, adapter, .. } = *lora;
            *place = base;
            adapter
        }))
    }

    /// The adapter in a place, with what it adapts.
    pub fn of(place: &dyn Projection<T>) -> Option<&Self> {
        let any: &dyn Any = place;
        any.downcast_ref()
    }

    /// The same, to be changed.
    pub fn of_mut(place: &mut dyn Projection<T>) -> Option<&mut Self> {
        let any: &mut dyn Any = place;
        any.downcast_mut()
    }
}

/// What stands in a place while its projection is moved.
fn vacant<T: Compute>() -> Result<Box<dyn Projection<T>>, AdapterError> {
    Ok(Box::new(Dense::from_weight("vacant", 0, Vec::new(), &mut Parameters::new())?))
}
