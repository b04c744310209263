//! What layers allocate, counted by the allocator itself, thread by thread.

use std::alloc::{GlobalAlloc, Layout as Allocation, System};
use std::cell::Cell;
use std::sync::Arc;

use half::bf16;
use nn::ops::RotaryTable;
use nn::{
    Activations, Attention, AttentionGate, AttentionOptions, AttentionProjections, BitLinear,
    BitLinearOptions, BitMoe, Block, Dense, ExpertWeights, FeedForward, FeedForwardProjections,
    Gradients, Layer, Memory, MixtureOptions, Module, Nonlinearity, Parameters, Projection,
    RmsNorm, Sequences, ShadowPrecision, SharedExpert, Tape, TernaryExpert, TernaryMoe, Update,
};
use ternary_core::quantize::Absmean;
use ternary_core::{Granularity, Packing, Quantizer, Weights};

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are plain numbers
// without destructors, so touching them allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, allocation: Allocation) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        LIVE.set(LIVE.get() + allocation.size() as isize);
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(allocation) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, allocation: Allocation) {
        LIVE.set(LIVE.get() - allocation.size() as isize);
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(pointer, allocation) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Checks that the report of a layer is what its drop gives back.
fn assert_weighs<P: ShadowPrecision>(layer: BitLinear<P>, options: &BitLinearOptions) {
    let reported = layer.allocated();
    // The options are shared with this reference, so dropping the layer does not free them.
    let before = LIVE.get();
    drop(layer);
    let freed = (before - LIVE.get()) as usize;
    assert_eq!(reported.total(), freed, "{options:?}");
}

fn check_layers<P: ShadowPrecision>() {
    let group = Granularity::group(8).unwrap();
    for granularity in [Granularity::Tensor, Granularity::Row, group] {
        for packing in [Packing::TwoBit, Packing::FiveTrits] {
            for (boundary_noise, lambda) in [(0.0, 1.0), (0.3, 1.0), (0.0, 0.5), (0.3, 0.0)] {
                let quantizer: Arc<dyn Quantizer> = Arc::new(Absmean::new(granularity));
                let options =
                    BitLinearOptions { quantizer, packing, boundary_noise, ..Default::default() };
                let mut parameters = Parameters::new();
                let shape = [37, 40];
                let layer = BitLinear::<P>::random(
                    "layer",
                    shape,
                    0.1,
                    1,
                    options.clone(),
                    &mut parameters,
                );
                let mut layer = layer.unwrap().with_bias(&mut parameters).unwrap();
                layer.decide_codes(Update { lambda, ..Update::hard(1, 1) }).unwrap();
                assert_weighs(layer.clone(), &options);
                let latent = layer.allocated().latent;
                assert_eq!(latent, 37 * 40 * size_of::<P>());
                layer.drop_shadow();
                let Memory { packed, latent, .. } = layer.allocated();
                assert_eq!((packed, latent), (layer.weight().size_bytes(), 0));
                assert_weighs(layer, &options);
            }
        }
    }
}

#[test]
fn a_bit_linear_reports_what_it_allocates() {
    check_layers::<f32>();
    check_layers::<bf16>();
}

const SEQUENCES: Sequences = Sequences { count: 2, length: 40 };
const WIDTH: usize = 48;

fn projection(
    name: &str,
    shape: [usize; 2],
    options: &Option<BitLinearOptions>,
    parameters: &mut Parameters,
) -> Box<dyn Projection<f32>> {
    match options {
        None => Box::new(Dense::random(name, shape, 0.1, 1, parameters).unwrap()),
        Some(options) => {
            let layer =
                BitLinear::<f32>::random(name, shape, 0.1, 1, options.clone(), parameters).unwrap();
            Box::new(layer.with_bias(parameters).unwrap())
        }
    }
}

fn block(options: &Option<BitLinearOptions>, parameters: &mut Parameters) -> Block<f32> {
    let norm = |name: &str, width, parameters: &mut Parameters| {
        RmsNorm::new(name, vec![1.0; width], 1e-5, parameters).unwrap()
    };
    let project = |name: &str, shape, parameters: &mut Parameters| {
        projection(name, shape, options, parameters)
    };
    let projections = AttentionProjections {
        query: project("q", [32, WIDTH], parameters),
        key: project("k", [16, WIDTH], parameters),
        value: project("v", [16, WIDTH], parameters),
        gate: AttentionGate::Own(project("g", [32, WIDTH], parameters)),
        output: project("o", [WIDTH, 32], parameters),
    };
    let attention_options = AttentionOptions {
        query_heads: 4,
        key_heads: 2,
        head_width: 8,
        rotary: Some(Arc::new(RotaryTable::new(1e4, 8, 6, 64).unwrap())),
        head_norms: Some([norm("qn", 8, parameters), norm("kn", 8, parameters)]),
        sub_norm: Some(norm("an", 32, parameters)),
    };
    let attention = Attention::new("attention", projections, attention_options).unwrap();
    let projections = FeedForwardProjections {
        gate: Some(project("gate", [80, WIDTH], parameters)),
        up: project("up", [80, WIDTH], parameters),
        down: project("down", [WIDTH, 80], parameters),
    };
    let sub_norm = Some(norm("fn", 80, parameters));
    let feed_forward =
        FeedForward::new("mlp", Nonlinearity::SwiGlu, projections, sub_norm).unwrap();
    let mixer = (norm("n1", WIDTH, parameters), Box::new(attention) as _);
    let channels = (norm("n2", WIDTH, parameters), Box::new(feed_forward) as _);
    Block::new("block", mixer, channels).unwrap()
}

const ROUTING: MixtureOptions = MixtureOptions { used: 2, balance: 0.01, z: 0.001 };

fn mixture(options: &Option<BitLinearOptions>, parameters: &mut Parameters) -> BitMoe<f32> {
    let mut expert = |name: &str| {
        let mut project =
            |part: &str, shape| projection(&format!("{name}.{part}"), shape, options, parameters);
        let projections = FeedForwardProjections {
            gate: Some(project("gate", [40, WIDTH])),
            up: project("up", [40, WIDTH]),
            down: project("down", [WIDTH, 40]),
        };
        FeedForward::new(name, Nonlinearity::SwiGlu, projections, None).unwrap()
    };
    let experts = ["e0", "e1", "e2"].map(&mut expert).into();
    let shared = expert("shared");
    let router = projection("router", [3, WIDTH], &None, parameters);
    let gate = projection("shared_gate", [1, WIDTH], &None, parameters);
    let shared = Some(SharedExpert { expert: shared, gate });
    BitMoe::new("mixture", router, experts, shared, ROUTING).unwrap()
}

#[test]
fn a_ternary_mixture_reports_what_it_allocates_and_keeps_no_floats() {
    let floats = vec![0.25_f32; 24 * WIDTH];
    for packing in [Packing::TwoBit, Packing::FiveTrits] {
        for granularity in [Granularity::Tensor, Granularity::Row] {
            let mut parameters = Parameters::new();
            let expert = |name: &str| {
                let of = || Weights::F32(&floats);
                let weights = ExpertWeights { gate: Some(of()), up: of(), down: of() };
                let (relu, widths) = (Nonlinearity::ReluSquared, [WIDTH, 24]);
                let (rule, int8) = (Absmean::new(granularity), Activations::Int8);
                TernaryExpert::quantize(name, relu, widths, weights, &rule, packing, int8).unwrap()
            };
            let experts = vec![expert("mixture.experts.0"), expert("mixture.experts.1")];
            let router = projection("mixture.gate", [2, WIDTH], &None, &mut parameters);
            let layer: TernaryMoe<f32> =
                BitMoe::new("mixture", router, experts, None, ROUTING).unwrap();
            let Memory { packed, latent, other } = layer.memory();
            let before = LIVE.get();
            drop(layer);
            assert_eq!(packed + latent + other, (before - LIVE.get()) as usize);
            assert!(packed < 6 * floats.len() && latent == 0);
        }
    }
}

/// One step of training on this thread: forward, backward, estimator, requantisation.
fn step(block: &mut dyn Layer<f32>, tape: &mut Tape<f32>, gradients: &mut Gradients<f32>, at: u32) {
    gradients.clear();
    let mut x = tape.zeros(SEQUENCES.rows() * WIDTH);
    x.iter_mut().enumerate().for_each(|(i, x)| *x = ((i * 37 + at as usize) % 19) as f32 - 9.0);
    let y = block.forward(x, SEQUENCES.into(), tape).unwrap();
    let dx = block.backward(y, SEQUENCES.into(), tape, gradients).unwrap();
    tape.give(dx);
    assert!(tape.is_empty());
    block.finish_gradients(gradients).unwrap();
    block.requantize(Update::hard(1, at)).unwrap();
}

#[test]
fn a_steady_state_of_training_allocates_nothing() {
    let by_row: Arc<dyn Quantizer> = Arc::new(Absmean::new(Granularity::Row));
    let noisy = BitLinearOptions {
        quantizer: by_row,
        boundary_noise: 0.2,
        scale_average: 0.5,
        ..Default::default()
    };
    for options in [None, Some(BitLinearOptions::default()), Some(noisy)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            let mut parameters = Parameters::new();
            let layers: [Box<dyn Layer<f32>>; 2] = [
                Box::new(block(&options, &mut parameters)),
                Box::new(mixture(&options, &mut parameters)),
            ];
            for mut layer in layers {
                let mut gradients = Gradients::zeros(&parameters);
                let mut tape = Tape::recording();
                // The numbers repeat after 19 steps, and with them the rows of each expert.
                for at in 0..38 {
                    step(&mut *layer, &mut tape, &mut gradients, at);
                }
                let (calls, bytes) = (CALLS.get(), tape.size_bytes());
                for at in 38..41 {
                    step(&mut *layer, &mut tape, &mut gradients, at);
                }
                assert_eq!(CALLS.get() - calls, 0, "{options:?}");
                assert_eq!(tape.size_bytes(), bytes);
            }
        });
    }
}
