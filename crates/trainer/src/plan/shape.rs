//! What a configuration's model consists of, counted without building it.

use nn::Nonlinearity;

use crate::config::{Configuration, Delta, Model};

/// How many numbers of each kind a model has, and what a forward leaves for the backward. Sums are in `u128`,
/// which no configuration fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shape {
    /// Weights of projections, ternary ones unless the run is one of floats.
    pub(super) projected: u128,
    /// Tensors of such weights, a few more than there are.
    pub(super) matrices: u128,
    /// All other numbers that train: gains, tables, taps, routers.
    pub(super) real: u128,
    /// Angles of positions.
    pub(super) angles: u128,
    /// Numbers that each row of a batch leaves for the backward.
    pub(super) saved: u128,
    /// Inputs of projections, of which a row leaves int8 codes or the numbers themselves.
    pub(super) inputs: u128,
    /// The most of those numbers that one block leaves: the kinds of blocks of a model differ.
    pub(super) block_saved: u128,
    /// The most of those inputs that one block leaves.
    pub(super) block_inputs: u128,
    /// Numbers of a row that are in work at once, beside those.
    pub(super) working: u128,
    /// Blocks that leave something, one at a time all that where they run again in the backward.
    pub(super) layers: u128,
    /// Numbers of a row between blocks.
    pub(super) width: u128,
    /// Bytes of weights that stay as they are.
    pub(super) frozen: u128,
}

/// Sums of one net: its weights, its gains, and what it leaves for each of its rows.
#[derive(Debug, Clone, Copy)]
struct Net {
    weights: u128,
    gains: u128,
    saved: u128,
    inputs: u128,
}

/// Tokens that a delta net runs through between two states that it keeps.
const BLOCK: u128 = 64;

impl Shape {
    /// Counts as `models` builds: the same tensors, whose sum a test compares.
    pub(super) fn of(configuration: &Configuration, vocabulary: usize) -> Self {
        let Model { width, heads, .. } = configuration.model;
        Self::with_heads(configuration, vocabulary, width / heads)
    }

    /// The same of a model whose heads of attention have another width than its own divided among them.
    pub(super) fn with_heads(
        configuration: &Configuration,
        vocabulary: usize,
        head_width: usize,
    ) -> Self {
        let Model { width, layers, feed_forward, .. } = configuration.model;
        let Model { nonlinearity, per_layer_embedding, tied_head, .. } = configuration.model;
        let [width, layers, inner] = [width, layers, feed_forward].map(|size| size as u128);
        let vocabulary = vocabulary as u128;
        let every = configuration.delta.attention_every as u128;
        // The last of each so many layers keeps its attention.
        let attentive = layers.checked_div(every).unwrap_or(layers);
        let gates = if nonlinearity == Nonlinearity::Gelu { 1 } else { 2 };
        let net = Net {
            weights: (gates + 1) * inner * width,
            gains: inner,
            // Gate and up, and the hidden row before its norm.
            saved: (gates + 1) * inner + 1,
            inputs: width + inner,
        };
        let channels = experts(configuration, net, width);
        let mut shape = Self { working: 4 * inner + 6 * width, layers, width, ..Self::default() };
        let attention = attention(configuration, width, head_width as u128);
        let nets = match configuration.mixture.experts as u128 {
            0 => 1,
            experts => experts + u128::from(configuration.mixture.shared),
        };
        // A delta net has up to six projections.
        shape.matrices = 4 * attentive + 6 * (layers - attentive) + layers * nets * (gates + 1);
        for (count, mixer) in
            [(attentive, attention), (layers - attentive, delta(&configuration.delta, width))]
        {
            // Two norms of a block, with the row that each was given.
            shape.real += count * (mixer.gains + channels.gains + 2 * width);
            shape.projected += count * (mixer.weights + channels.weights);
            let saved = mixer.saved + channels.saved + 2 * (width + 1);
            let inputs = mixer.inputs + channels.inputs;
            shape.saved += count * saved;
            shape.inputs += count * inputs;
            if count > 0 {
                shape.block_saved = shape.block_saved.max(saved);
                shape.block_inputs = shape.block_inputs.max(inputs);
            }
        }
        if per_layer_embedding > 0 {
            let own = per_layer_embedding as u128;
            let table = vocabulary * own;
            // The embedding's setting says what the table is, as for the embedding itself.
            shape.add_table(table * layers, configuration);
            shape.projected += layers * 2 * width * own;
            shape.matrices += 2 * layers;
            shape.real += layers * (width + own);
            let (saved, inputs) = (3 * own + width + 2, width + own);
            shape.saved += layers * saved;
            shape.inputs += layers * inputs;
            shape.block_saved += saved;
            shape.block_inputs += inputs;
        }
        shape.add_table(vocabulary * width, configuration);
        if !tied_head {
            let head = vocabulary * width;
            if configuration.ternary.head { shape.projected += head } else { shape.real += head }
        }
        shape.real += width;
        shape.saved += shape.after();
        let rotated = configuration.model.rotary_width.unwrap_or(head_width);
        shape.angles = configuration.batch.length as u128 * rotated as u128;
        shape
    }

    fn add_table(&mut self, numbers: u128, configuration: &Configuration) {
        if configuration.ternary.embedding {
            self.projected += numbers;
        } else {
            self.real += numbers;
        }
    }

    /// What a row leaves behind the blocks: the last norm, and the hidden rows with their gradients.
    pub(super) fn after(&self) -> u128 {
        4 * self.width
    }

    /// What a row leaves where blocks run again in the backward: of each what it was given, and all that the one which
    /// leaves the most does. Numbers, and inputs of projections.
    pub(super) fn recomputed(&self) -> (u128, u128) {
        let saved = self.block_saved + self.layers * self.width + self.after();
        (saved.min(self.saved + self.layers * self.width), self.block_inputs.min(self.inputs))
    }

    /// All numbers that train.
    pub(super) fn parameters(&self) -> u128 {
        self.projected + self.real
    }
}

fn attention(configuration: &Configuration, width: u128, head_width: u128) -> Net {
    let Model { heads, key_value_heads, gated_attention, head_norms, .. } = configuration.model;
    let [heads, key_heads] = [heads, key_value_heads].map(|size| size as u128);
    let (queries, keys) = (heads * head_width, key_heads * head_width);
    let gates = if gated_attention { queries } else { 0 };
    let (norm_gains, normed) =
        if head_norms { (2 * head_width, queries + keys + heads + key_heads) } else { (0, 0) };
    Net {
        weights: width * (2 * queries + gates + 2 * keys),
        gains: queries + norm_gains,
        // Queries, keys, values, log sums, what was mixed, and the same before its norm.
        saved: 3 * queries + 2 * keys + heads + gates + normed + 1,
        inputs: width + queries,
    }
}

fn delta(settings: &Delta, width: u128) -> Net {
    let Delta { key_heads, value_heads, key_width, value_width, kernel, .. } = *settings;
    let [key_heads, value_heads, key_width, value_width, kernel] =
        [key_heads, value_heads, key_width, value_width, kernel].map(|size| size as u128);
    let (keys, values) = (key_heads * key_width, value_heads * value_width);
    let channels = 2 * keys + values;
    Net {
        weights: width * (channels + 2 * values + 2 * value_heads),
        gains: channels * kernel + 2 * value_heads + value_width,
        saved: channels
            + 2 * values
            + 2 * value_heads
            + value_heads * key_width * value_width / BLOCK,
        inputs: width + values,
    }
}

/// A net, or the experts in its place: each row goes through those that it takes.
fn experts(configuration: &Configuration, net: Net, width: u128) -> Net {
    let mixture = &configuration.mixture;
    if mixture.experts == 0 {
        return net;
    }
    let [experts, used] = [mixture.experts, mixture.used].map(|size| size as u128);
    let shared = u128::from(mixture.shared);
    Net {
        weights: (experts + shared) * net.weights,
        gains: (experts + shared) * net.gains + (experts + shared) * width,
        // The row itself for the router, its scores, and what each expert gave.
        saved: (used + shared) * (net.saved + width) + width + 3 * experts + 4 * used,
        inputs: (used + shared) * net.inputs,
    }
}

#[cfg(test)]
mod tests {
    use nn::{Module, Values};

    use super::*;
    use crate::config::Layers;
    use crate::data::VOCABULARY;
    use crate::run::build;

    #[test]
    fn where_blocks_run_again_the_kind_that_leaves_the_most_decides() {
        let shape = |every: &str, more: &[&str]| {
            let every = format!("delta.attention_every={every}");
            let sets = [&["preset=hybrid", every.as_str()], more].concat();
            let mut layers = Layers::default();
            layers.add_assignments(sets.iter().copied()).unwrap();
            Shape::of(&layers.resolve().unwrap(), VOCABULARY)
        };
        for more in [&[][..], &["delta.value_heads=16"], &["model.per_layer_embedding=16"]] {
            let [attention, delta, both] = ["0", "1024", "4"].map(|every| shape(every, more));
            let larger = |of: fn(&Shape) -> u128| of(&attention).max(of(&delta));
            assert_eq!(both.recomputed().0, larger(|shape| shape.recomputed().0), "{more:?}");
            assert_eq!(both.recomputed().1, larger(|shape| shape.recomputed().1), "{more:?}");
        }
    }

    #[test]
    fn parameters_are_those_of_the_model() {
        for sets in [
            vec!["preset=tiny"],
            vec!["preset=moe"],
            vec!["preset=hybrid"],
            vec!["preset=moe", "mixture.shared=false", "mixture.experts=5"],
            vec!["preset=hybrid", "model.layers=7", "delta.fused=true", "delta.value_heads=6"],
            vec!["model.tied_head=false", "model.per_layer_embedding=16"],
            vec!["model.nonlinearity=gelu", "ternary.embedding=true", "model.heads=8"],
            vec!["float=true", "model.gated_attention=true", "model.head_norms=true"],
        ] {
            let mut layers = Layers::default();
            layers.add_assignments(sets.iter().copied()).unwrap();
            let configuration = layers.resolve().unwrap();
            let model = build(&configuration, VOCABULARY).unwrap();
            let found = Shape::of(&configuration, VOCABULARY).parameters();
            assert_eq!(found, model.parameters().numbers() as u128, "{sets:?}");
            let mut matrices = 0;
            model.visit(&mut |tensor| {
                matrices += u128::from(matches!(tensor.values, Values::Ternary { .. }));
            });
            let planned = Shape::of(&configuration, VOCABULARY).matrices;
            let is_near = (matrices..=2 * matrices).contains(&(planned + 2));
            assert!(is_near || configuration.is_float(), "{sets:?}: {planned} of {matrices}");
        }
    }
}
