//! A decoder with adapters: where they can be, how they get there and out again.

use lora_backward::{Adapter, AdapterError, AdapterMode, Adapters, Lora, Place};
use nn::{Compute, Layer, Module, Parameters, Projection};

use crate::decoder::Decoder;
use crate::error::Result;

impl<T: Compute> Decoder<T> {
    /// Every projection that can have an adapter, in a fixed order: those of the blocks, one after the other, and the
    /// head where it has a matrix of its own. Routers are among them, to be adapted only by whoever names them.
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let place = |layer, kind, projection: &dyn Projection<T>| Place {
            name: projection.name().to_owned(),
            layer,
            kind,
            inputs: projection.inputs(),
            outputs: projection.outputs(),
        };
        for (layer, block) in self.blocks.iter().enumerate() {
            block.each_projection(&mut |kind, projection| {
                places.push(place(Some(layer), kind, projection));
            });
        }
        places.extend(self.head.as_ref().map(|head| place(None, "head", &**head)));
        places
    }

    /// Puts adapters beside the projections that they name, and freezes everything else. A and B of each are declared as
    /// `{module}.lora_A.weight` and `{module}.lora_B.weight`, in the order of [`Decoder::places`]; they alone are in the
    /// gradients from then on. After an error the model is as it was.
    ///
    /// The parts before the first adapter run without a tape.
    ///
    /// ```
    /// use models::lora_backward::{Adapter, Adapters, Scaling};
    /// use models::{Decoder, DecoderConfig, Initial, WeightKind};
    ///
    /// let mut source = Initial { seed: 1, kind: WeightKind::Dense };
    /// let mut model = Decoder::<f32>::build(DecoderConfig::tiny(), &mut source)?;
    /// let mut adapters = Adapters::default();
    /// let scaling = Scaling { alpha: 16.0, rank_stabilised: false };
    /// for place in model.places().iter().filter(|place| place.kind == "attention") {
    ///     let shape = [place.outputs, place.inputs];
    ///     adapters.insert(&place.name, Adapter::kaiming(&place.name, shape, 4, scaling, 1)?)?;
    /// }
    /// model.attach(&adapters)?;
    /// assert_eq!(model.adapters(), adapters);
    /// # Ok::<(), models::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Adapters::validate_against`], and for a model that has adapters already.
    pub fn attach(&mut self, adapters: &Adapters<T>) -> Result<()> {
        if self.is_adapted() {
            let (expected, found) = ("a model without them", "a model that has some: detach them");
            return Err(AdapterError::State { expected, found }.into());
        }
        adapters.validate_against(&self.places())?;
        let frozen = self.parameters.frozen();
        self.unadapted = Some(std::mem::replace(&mut self.parameters, frozen));
        self.tell_identities();
        let attached = self.check_frozen().and_then(|()| self.attach_each(adapters));
        if let Err(error) = attached {
            self.restore()?;
            return Err(error.into());
        }
        self.find_still();
        Ok(())
    }

    /// Whether it has adapters: from [`Decoder::attach`] to [`Decoder::detach`].
    pub fn is_adapted(&self) -> bool {
        self.unadapted.is_some()
    }

    /// The adapters as they are now; none in a model without.
    pub fn adapters(&self) -> Adapters<T> {
        let mut adapters = Adapters::default();
        self.each_adapter(&mut |lora| {
            adapters.dropout = lora.dropout();
            // No two projections have the same name: their weights are declared by it.
            let _ = adapters.insert(lora.name(), lora.adapter().clone());
        });
        adapters
    }

    /// Sets what all adapters do. After an error all do what they did.
    ///
    /// # Errors
    /// As [`Lora::set_mode`].
    pub fn set_adapters(&mut self, mode: AdapterMode) -> Result<()> {
        let mut before = Vec::new();
        self.each_adapter(&mut |lora| before.push(lora.mode()));
        let mut set = |modes: &mut dyn Iterator<Item = AdapterMode>| {
            let mut result = Ok(());
            self.each_place_mut(&mut |place| {
                if let (true, Some(lora)) = (result.is_ok(), Lora::of_mut(&mut **place)) {
                    result = modes.next().map_or(Ok(()), |mode| lora.set_mode(mode));
                }
            });
            result
        };
        if let Err(error) = set(&mut std::iter::repeat(mode)) {
            set(&mut before.into_iter())?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Has one real matrix W + s·B·A stand in the place of each adapted projection ([`AdapterMode::Merged`]).
    ///
    /// # Errors
    /// As [`Decoder::set_adapters`].
    pub fn merge(&mut self) -> Result<()> {
        self.set_adapters(AdapterMode::Merged)
    }

    /// Has the projections as they were, with their adapters beside them again.
    ///
    /// # Errors
    /// None.
    pub fn unmerge(&mut self) -> Result<()> {
        self.set_adapters(AdapterMode::Enabled)
    }

    /// Takes the adapters out: the model is what it was before [`Decoder::attach`], and learns what it learnt.
    ///
    /// # Errors
    /// None that a model can give.
    pub fn detach(&mut self) -> Result<Adapters<T>> {
        let adapters = self.adapters();
        self.restore()?;
        self.find_still();
        Ok(adapters)
    }

    /// Calls `visit` with the name, the shape (outputs first) and W + s·B·A of each adapted projection, for whoever writes
    /// a model with its adapters merged.
    ///
    /// # Errors
    /// As [`Lora::merged_weight`]; nothing is visited after an error.
    pub fn each_merged_weight(
        &self,
        mut visit: impl FnMut(&str, [usize; 2], Vec<T>),
    ) -> Result<()> {
        let mut result = Ok(());
        self.each_adapter(&mut |lora| {
            let Adapter { outputs, inputs, .. } = *lora.adapter();
            if result.is_ok() {
                let weight = lora.merged_weight();
                result = weight.map(|weight| visit(lora.name(), [outputs, inputs], weight));
            }
        });
        Ok(result?)
    }

    fn attach_each(&mut self, adapters: &Adapters<T>) -> Result<(), AdapterError> {
        let mut parameters = std::mem::take(&mut self.parameters);
        let mut result = Ok(());
        self.each_place_mut(&mut |place| {
            let adapter: Option<&Adapter<T>> = adapters.get(place.name());
            if let (true, Some(adapter)) = (result.is_ok(), adapter) {
                let adapter = adapter.clone();
                result = Lora::attach(place, adapter, adapters.dropout, &mut parameters);
            }
        });
        self.parameters = parameters;
        result
    }

    /// Takes out what adapters there are, and gives the parameters back that the model has without.
    fn restore(&mut self) -> Result<(), AdapterError> {
        let mut result = Ok(());
        self.each_place_mut(&mut |place| {
            if result.is_ok() {
                result = Lora::detach(place).map(drop);
            }
        });
        if let Some(parameters) = self.unadapted.take() {
            self.parameters = parameters;
            self.tell_identities();
        }
        result
    }

    /// Tells the layers the identities that their parameters have now.
    fn tell_identities(&mut self) {
        let parameters: Parameters = std::mem::take(&mut self.parameters);
        self.visit_identities(&mut |id| *id = parameters.current(*id));
        self.parameters = parameters;
    }

    /// Checks that every layer has been told that it is frozen.
    fn check_frozen(&mut self) -> Result<(), AdapterError> {
        let mut is_frozen = true;
        self.visit_mut(&mut |id, _| is_frozen &= id.is_frozen());
        let (expected, found) = ("layers that can be frozen", "one that keeps its identities");
        if is_frozen { Ok(()) } else { Err(AdapterError::State { expected, found }) }
    }

    fn each_place_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        self.blocks.iter_mut().for_each(|block| block.each_projection_mut(visit));
        self.head.iter_mut().for_each(visit);
    }

    fn each_adapter(&self, visit: &mut dyn FnMut(&Lora<T>)) {
        let mut see = |projection: &dyn Projection<T>| {
            Lora::of(projection).into_iter().for_each(&mut *visit);
        };
        for block in &self.blocks {
            block.each_projection(&mut |_, projection| see(projection));
        }
        self.head.iter().for_each(|head| see(&**head));
    }
}
