//! Parameters that stay as they are cost nothing, and change nothing for those that learn.

use nn::ops::RotaryTable;
use nn::{
    Attention, AttentionGate, AttentionOptions, AttentionProjections, BitLinear, BitLinearOptions,
    Block, Context, Dense, FeedForward, FeedForwardProjections, Gradients, Input, Layer,
    Nonlinearity, Parameters, Projection, RmsNorm, Sequences, Tape,
};

const WIDTH: usize = 24;
const SEQUENCES: Sequences = Sequences { count: 2, length: 9 };

type Boxed = Box<dyn Projection<f32>>;

fn dense(name: &str, shape: [usize; 2], parameters: &mut Parameters) -> Boxed {
    let mut layer = Dense::random(name, shape, 0.2, 3, parameters).unwrap();
    // Biases are parameters too.
    layer = layer.with_bias(parameters).unwrap();
    Box::new(layer)
}

/// A block whose attention is frozen where `is_frozen` says so.
fn block(is_frozen: bool) -> (Block<f32>, Parameters) {
    let mut parameters = Parameters::new();
    let norm = |name, width, parameters: &mut Parameters| {
        RmsNorm::new(name, vec![1.0; width], 1e-5, parameters).unwrap()
    };
    if is_frozen {
        parameters.freeze();
    }
    let before = norm("before", WIDTH, &mut parameters);
    let projections = AttentionProjections {
        query: dense("q", [32, WIDTH], &mut parameters),
        key: dense("k", [16, WIDTH], &mut parameters),
        value: dense("v", [16, WIDTH], &mut parameters),
        gate: AttentionGate::None,
        output: dense("o", [WIDTH, 32], &mut parameters),
    };
    let options = AttentionOptions {
        query_heads: 4,
        key_heads: 2,
        head_width: 8,
        rotary: Some(RotaryTable::new(1e4, 8, 8, 9).unwrap().into()),
        head_norms: Some(["qn", "kn"].map(|name| norm(name, 8, &mut parameters))),
        sub_norm: None,
    };
    let attention = Attention::new("attention", projections, options).unwrap();
    parameters.thaw();
    let after = norm("after", WIDTH, &mut parameters);
    let projections = FeedForwardProjections {
        gate: Some(dense("g", [32, WIDTH], &mut parameters)),
        up: dense("u", [32, WIDTH], &mut parameters),
        down: dense("d", [WIDTH, 32], &mut parameters),
    };
    let net = FeedForward::new("net", Nonlinearity::SwiGlu, projections, None).unwrap();
    let block = Block::new("block", (before, Box::new(attention)), (after, Box::new(net)));
    (block.unwrap(), parameters)
}

#[test]
fn the_same_bits_pass_and_what_is_frozen_has_neither_gradient_nor_saved_rows() {
    let x: Vec<f32> = (0..SEQUENCES.rows() * WIDTH).map(|at| (at as f32 * 0.37).sin()).collect();
    let context: Context<'_> = SEQUENCES.into();
    let run = |is_frozen| {
        let (block, parameters) = block(is_frozen);
        let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&parameters));
        let y = block.forward(x.clone(), context, &mut tape).unwrap();
        let held = tape.size_bytes();
        let dx = block.backward(x.clone(), context, &mut tape, &mut gradients).unwrap();
        assert!(tape.is_empty());
        (y, dx, held, parameters, gradients)
    };
    let (y, dx, held, all, of_all) = run(false);
    let (frozen_y, frozen_dx, frozen_held, some, of_some) = run(true);
    assert_eq!((frozen_y, frozen_dx), (y, dx));
    assert!(frozen_held < held, "{frozen_held} and {held}");
    for id in some.ids() {
        let name = some.name(id);
        let expected = of_all.get(all.find(name).unwrap());
        let is_frozen = ["before", "q.", "k.", "v.", "o.", "qn", "kn"]
            .iter()
            .any(|start| name.starts_with(start));
        assert_eq!(id.is_frozen(), is_frozen, "{name}");
        assert_eq!(of_some.is_touched(id), !is_frozen, "{name}");
        assert_eq!(of_some.get(id), if is_frozen { &[] } else { expected }, "{name}");
    }
    assert!(some.numbers() < all.numbers());
}

#[test]
fn a_frozen_projection_of_trits_keeps_no_rows() {
    let (rows, outputs) = (SEQUENCES.rows(), 8);
    let run = |is_frozen: bool| {
        let mut parameters = Parameters::new();
        if is_frozen {
            parameters.freeze();
        }
        let options = BitLinearOptions::default();
        let shape = [outputs, WIDTH];
        let layer = BitLinear::<f32>::random("p", shape, 0.2, 3, options, &mut parameters).unwrap();
        let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&parameters));
        let x: Vec<f32> = (0..rows * WIDTH).map(|at| (at as f32 * 0.37).sin()).collect();
        let mut input = Input::new("p", x, WIDTH).unwrap();
        let (mut y, mut dx) = (vec![0.0; rows * outputs], vec![0.0; rows * WIDTH]);
        layer.forward(&mut input, &mut y, &mut tape).unwrap();
        tape.save_input(input);
        let input: Input<f32> = tape.restore_input("p").unwrap();
        layer.backward(&input, &y, Some(&mut dx), &mut tape, &mut gradients).unwrap();
        (y, dx, input.size_bytes())
    };
    let ((y, dx, held), (frozen_y, frozen_dx, frozen_held)) = (run(false), run(true));
    assert_eq!((frozen_y, frozen_dx), (y, dx));
    assert!(held > 0 && frozen_held == 0, "{held} {frozen_held}");
}
