//! Which rows to measure.

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::bench::arguments::or_default;
use crate::bench::named::display_by_name;
use crate::bench::report;
use crate::bench::shape::Shape;

/// A layer, by its name in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Layer {
    /// `nn::Dense`: f32 weights
    Dense,
    /// `nn::BitLinear`: ternary weights, int8 activations, quantising the activations included
    Bit,
    /// Causal attention of 8 query heads and 4 key heads of 64 numbers
    Attention,
}

/// Which way through a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Pass {
    /// Inputs to outputs
    Forward,
    /// The same, then the gradients of inputs and weights by f32 products
    ForwardBackward,
}
display_by_name!(Layer, Pass);

/// The shapes measured when none is named.
pub(crate) const SHAPES: [Shape; 3] =
    [Shape { k: 512, n: 1536 }, Shape { k: 1024, n: 4096 }, Shape { k: 2048, n: 2048 }];

/// Tokens of a batch when no number is given.
pub(crate) const TOKENS: usize = 2048;

/// The heads of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) key: usize,
    pub(crate) width: usize,
}

/// The heads that are measured.
pub(crate) const HEADS: Heads = Heads { query: 8, key: 4, width: 64 };

/// What a layer's work follows from, besides the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizes {
    Linear(Shape),
    Attention(Heads),
}

/// One row of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) layer: Layer,
    pub(crate) pass: Pass,
    pub(crate) sizes: Sizes,
    /// Tokens; for attention, those of its one sequence.
    pub(crate) m: usize,
    pub(crate) threads: usize,
}

impl Spec {
    fn sizes_text(&self) -> String {
        match self.sizes {
            Sizes::Linear(shape) => shape.to_string(),
            Sizes::Attention(Heads { query, key, width }) => format!("{query}/{key}x{width}"),
        }
    }
}

impl report::Spec for Spec {
    fn head() -> String {
        format!("{:<10} {:<16} {:>10} {:>5} {:>7}", "layer", "pass", "KxN", "m", "threads")
    }

    fn columns(&self) -> String {
        let Self { layer, pass, m, threads, .. } = self;
        format!("{layer:<10} {pass:<16} {:>10} {m:>5} {threads:>7}", self.sizes_text())
    }

    fn at(&self) -> String {
        let Self { pass, m, threads, .. } = self;
        let plural = if *threads == 1 { "" } else { "s" };
        format!("{} m={m} {pass}, {threads} thread{plural}", self.sizes_text())
    }

    fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("layer".into(), self.layer.to_string().into());
        json.insert("pass".into(), self.pass.to_string().into());
        json.insert("m".into(), self.m.into());
        json.insert("threads".into(), self.threads.into());
        let sizes = match self.sizes {
            Sizes::Linear(Shape { k, n }) => vec![("k", k), ("n", n)],
            Sizes::Attention(Heads { query, key, width }) => {
                vec![("query_heads", query), ("key_heads", key), ("width", width)]
            }
        };
        json.extend(sizes.into_iter().map(|(key, size)| (key.to_owned(), size.into())));
        json
    }
}

/// What the command line asks for; an empty list of layers or passes means all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub(crate) shapes: Vec<Shape>,
    pub(crate) rows: Vec<usize>,
    pub(crate) threads: Vec<usize>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) passes: Vec<Pass>,
}

/// The rows that the choice asks for. Those to be compared stand side by side: the layers and passes
/// of one shape.
pub(crate) fn plan(choice: &Choice) -> Vec<Spec> {
    let layers = or_default(&choice.layers, Layer::value_variants());
    let passes = or_default(&choice.passes, Pass::value_variants());
    let linear = [Layer::Dense, Layer::Bit];
    let mut groups: Vec<(Sizes, Vec<Layer>)> =
        choice.shapes.iter().map(|&shape| (Sizes::Linear(shape), linear.into())).collect();
    groups.push((Sizes::Attention(HEADS), vec![Layer::Attention]));
    let mut plan = Vec::new();
    for (sizes, members) in groups {
        for &m in &choice.rows {
            for &threads in &choice.threads {
                for &pass in &passes {
                    for &layer in members.iter().filter(|layer| layers.contains(layer)) {
                        plan.push(Spec { layer, pass, sizes, m, threads });
                    }
                }
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Spec as _;

    #[test]
    fn names_on_the_command_line_are_those_of_the_report() {
        let layers: Vec<String> = Layer::value_variants().iter().map(Layer::to_string).collect();
        let passes: Vec<String> = Pass::value_variants().iter().map(Pass::to_string).collect();
        assert_eq!(layers.join(" "), "dense bit attention");
        assert_eq!(passes.join(" "), "forward forward_backward");
    }

    #[test]
    fn ternary_and_dense_of_one_shape_and_pass_are_neighbours() {
        let (shapes, rows, threads) = (SHAPES.into(), vec![TOKENS], vec![1, 2]);
        let plan = plan(&Choice { shapes, rows, threads, ..Choice::default() });
        assert_eq!(plan.len(), 2 * 2 * (2 * SHAPES.len() + 1));
        for pair in plan.chunks_exact(2).take(4 * SHAPES.len()) {
            let [dense, bit] = [pair[0], pair[1]];
            assert_eq!((dense.layer, bit.layer), (Layer::Dense, Layer::Bit));
            assert_eq!(Spec { layer: Layer::Bit, ..dense }, bit);
        }
    }

    #[test]
    fn a_choice_narrows_the_plan() {
        let shape = Shape { k: 64, n: 48 };
        let plan = plan(&Choice {
            shapes: vec![shape],
            rows: vec![16],
            threads: vec![1],
            layers: vec![Layer::Bit],
            passes: vec![Pass::Forward],
        });
        let sizes = Sizes::Linear(shape);
        let (layer, pass) = (Layer::Bit, Pass::Forward);
        assert_eq!(plan, [Spec { layer, pass, sizes, m: 16, threads: 1 }]);
    }

    #[test]
    fn a_row_has_the_keys_that_readers_and_peers_use() {
        let sizes = [Sizes::Linear(SHAPES[0]), Sizes::Attention(HEADS)];
        let json = sizes.map(|sizes| {
            let (layer, pass) = (Layer::Dense, Pass::ForwardBackward);
            Value::Object(Spec { layer, pass, sizes, m: 7, threads: 2 }.to_json()).to_string()
        });
        let linear =
            r#"{"k":512,"layer":"dense","m":7,"n":1536,"pass":"forward_backward","threads":2}"#;
        assert_eq!(json[0], linear);
        assert!(json[1].contains(r#""key_heads":4"#) && json[1].contains(r#""query_heads":8"#));
        assert!(json[1].contains(r#""width":64"#) && !json[1].contains(r#""k":"#));
    }
}
