//! Every setting of a training run, defined once.

use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;

use models::lora_backward::Scaling;
use models::{Base, DecoderConfig, Shadow};
use nn::{Activations, Nonlinearity, ScaleSync};
use ste::{Mode, Pull};
use ternary_core::{Granularity, Packing, Rule};

use super::preset::Preset;
use super::setting::{Setting, settings};
use super::value::{SettingValue, bounds_in_words};
use crate::adapters::{LayerList, Targets};
use crate::data::Long;
use crate::guards::{Span, StopCondition};
use crate::mining::Items;
use crate::optimiser::{Group, Method};
use crate::schedule::{Fall, Shape};

/// Numbers above zero.
const POSITIVE: (Bound<f64>, Bound<f64>) = (Bound::Excluded(0.0), Bound::Unbounded);

/// An ε that `f32` still tells from zero: a weight without a gradient is divided by it alone.
const SMALLEST_EPSILON: f64 = 1e-20;

settings! {
    /// What to train on, how long, and where to.
    run: Run "" {
        /// Named settings to start from
        preset: Preset = Preset::Tiny;
        /// The text to train on: a file of any bytes, all files below a folder, or a pattern such as 'texts/*.txt'
        /// [default: stories from a generator; adapters have none]
        data: Option<PathBuf> = None;
        /// Text that is held out, given as data is [default: the end of the text to train on]
        valid: Option<PathBuf> = None;
        /// The tokenizer.json that makes tokens of the text [default: a byte is a token]
        tokenizer: Option<PathBuf> = None;
        /// Steps of the optimiser
        steps: u32 = 1000, in 1..=1_000_000_000;
        /// Where all randomness comes from: the first weights and the order of the data
        seed: u64 = 0, in 0..=i64::MAX as u64;
        /// The folder of the run, new or empty [default: the next free one, such as runs/tiny-0001]
        out: Option<PathBuf> = None;
        /// Replace the run in that folder, if there is one; nothing but a run is ever replaced
        force: bool = false;
        /// Steps between checkpoints, for --resume; 0 for none but at Ctrl-C [default: at each evaluation]
        checkpoint_every: Option<u32> = None;
        /// Checkpoints that stay, the newest ones
        keep_last: usize = 2, in 1..=1_000_000;
        /// Start from the float weights of a saved model of the same shape (train --float leaves one; a ternary
        /// one is refused); experts start as copies of its feed-forward nets if it has no experts
        from: Option<PathBuf> = None;
        /// Learn from the model of a finished run too, such as one with --float (distillation)
        teacher: Option<PathBuf> = None;
        /// Train the same model with float weights instead of ternary ones, as --ste none
        float: bool = false;
        /// How weights become ternary and gradients pass
        ste: Mode = Mode::default();
        /// Steps with float weights before they become ternary [default: by --ste]
        float_steps: Option<u32> = None;
        /// Train ternary weights as they are, without latent ones, rounding each step at random (DQT)
        dqt: bool = false;
        /// The share of the steps after which FOGZO measures the gradients of latent weights; 1 is never
        fogzo_from: f64 = 1.0, in 0.0..=1.0;
        /// The share of tokens (or windows), those of the highest loss, that a step learns from
        ohem: f64 = 1.0, in (Bound::Excluded(0.0), Bound::Included(1.0));
        /// Stop when a number crosses a line, as ppl>400@2000 from step 2000 on; may be repeated
        stop_if: Vec<StopCondition> = Vec::new();
        /// Stop after so long, as 90s, 20m or 2h
        time_budget: Option<Span> = None;
    }
    /// The shape of the decoder.
    model: Model "model" {
        /// Width of the residual stream
        width: usize = DecoderConfig::tiny().width, in 1..=65_536;
        /// Blocks of attention and feed-forward
        layers: usize = DecoderConfig::tiny().layers, in 1..=1024;
        /// Query heads; they divide the width
        heads: usize = DecoderConfig::tiny().heads, in 1..=1024;
        /// Key and value heads; they divide the query heads
        key_value_heads: usize = DecoderConfig::tiny().key_heads, in 1..=1024;
        /// Inner width of the feed-forward part, or of each expert
        feed_forward: usize = DecoderConfig::tiny().feed_forward, in 1..=1_048_576;
        /// The function inside it: swiglu, relu2 (both with a gate), or gelu
        nonlinearity: Nonlinearity = DecoderConfig::tiny().nonlinearity;
        /// Numbers for each byte that each layer has of its own (per-layer embeddings); 0 for none
        per_layer_embedding: usize = DecoderConfig::tiny().per_layer, in 0..=65_536;
        /// Whether the output head is the embedding itself
        tied_head: bool = DecoderConfig::tiny().tied_head;
        /// Numbers of a head of attention that its position turns [default: all]
        rotary_width: Option<usize> = None;
        /// Whether attention has a gate for each number of its heads
        gated_attention: bool = DecoderConfig::tiny().gated_attention;
        /// Whether queries and keys are normed
        head_norms: bool = DecoderConfig::tiny().head_norms;
        /// Whether norms multiply by one more than their gain
        shifted_norms: bool = DecoderConfig::tiny().shifted_norms;
        /// Base of the rotary position frequencies
        rope_base: f64 = DecoderConfig::tiny().rotary_base, in (Bound::Excluded(1.0), Bound::Included(1e9));
    }
    /// Gated delta nets in the place of attention.
    delta: Delta "delta" {
        /// The last of each so many layers keeps its attention; 0 for attention in all of them
        attention_every: usize = 0, in 0..=1024;
        /// Heads of queries and keys
        key_heads: usize = 2, in 1..=1024;
        /// Heads of values, a multiple of those
        value_heads: usize = 4, in 1..=1024;
        /// Numbers of a query or key
        key_width: usize = 32, in 1..=4096;
        /// Numbers of a value
        value_width: usize = 32, in 1..=4096;
        /// Taps of the convolution before the recurrence
        kernel: usize = 4, in 1..=64;
        /// Whether the input projections are two, as in Qwen3-Next, and not four
        fused: bool = false;
    }
    /// Mixtures of experts in the place of feed-forward nets.
    mixture: Mixture "mixture" {
        /// Experts of each block; 0 for a feed-forward net and no router
        experts: usize = 0, in 0..=1024;
        /// Experts that each byte takes
        used: usize = 2, in 1..=1024;
        /// Whether there is one expert more, for all bytes
        shared: bool = false;
        /// Coefficient of the loss that keeps the router even
        balance: f64 = 0.01, in 0.0..;
        /// Coefficient of the loss that keeps the router's scores small
        z: f64 = 0.001, in 0.0..;
        /// Noise of experts that start as copies (from), in standard deviations of each tensor; 0 is exact
        noise: f64 = 0.0, in 0.0..=10.0;
    }
    /// How weights become ternary, and how gradients pass.
    ternary: Ternary "ternary" {
        /// The rule that turns latent weights into trits and scales [default: by --ste, or absmean]
        quantiser: Option<Rule> = None;
        /// Whether ttq learns its threshold too; in the paper it does not
        threshold_learned: bool = false;
        /// Weights that share a scale: tensor, row, or the columns of a group [default: row for seq, or tensor]
        granularity: Option<Granularity> = None;
        /// Which matrices share a scale: per-matrix for none, those of an expert, or of all experts of a block
        scale_sync: ScaleSync = ScaleSync::PerMatrix;
        /// How trits are held: two-bit, or five-trits in a byte
        packing: Packing = Packing::TwoBit;
        /// How activations enter a ternary product: int8 codes for each token, or real numbers
        activations: Activations = Activations::Int8;
        /// The precision of the latent weights: f32, bf16, or none, as --dqt
        latent: Shadow = Shadow::F32;
        /// Round updates of bf16 weights up or down at random, without bias, instead of to the nearest
        stochastic_rounding: bool = true;
        /// Whether the embedding is ternary too, and with it a tied head
        embedding: bool = false;
        /// Whether an untied head is ternary
        head: bool = true;
        /// The share of the steps over which weights go from latent to ternary, w + λ(Q(w) − w) [default: by --ste]
        ramp: Option<f64> = None;
        /// Memory of the running average of scales and thresholds; 0 takes each as it is
        scale_average: f64 = 0.0, in 0.0..=0.9999;
        /// Noise that codes near a threshold are decided under, in thresholds
        boundary_noise: f64 = 0.0, in 0.0..=10.0;
        /// What weights that are zero add to their output as a bias, as a multiple of their sum [default: by --ste]
        dead_bias: Option<f64> = None;
        /// The pull of latent weights to the grid at the end, in learning rates [default: by --ste]
        pull: Option<f64> = None;
        /// The share of the steps before the pull begins to rise
        pull_from: f64 = Pull::FROM, in 0.0..=1.0;
    }
    /// How the text is kept.
    data: Data "text" {
        /// The folder for tokens that were made of a text [default: the user's cache folder, or the temporary one]
        cache: Option<PathBuf> = None;
    }
    /// What one step sees.
    batch: Batch "batch" {
        /// Windows of text in a step
        windows: usize = 8, in 1..=65_536;
        /// Tokens that a window predicts; a token is a byte unless there is a tokenizer
        length: usize = 256, in 2..=1_048_576;
        /// Windows that are learnt from at a time; the units of a step are dealt to lanes in turn
        unit: usize = 4, in 1..=65_536;
        /// Units that may run at the same time, each adding to gradients of its own: more memory, other bits
        lanes: usize = 2, in 1..=1024;
        /// Parts that units at the same time are run in, one after the other: less memory, the same bits
        accumulation: usize = 1, in 1..=65_536;
        /// Whether blocks run again in the backward instead of keeping what it needs: less memory, the same bits
        recompute: bool = false;
    }
    /// How gradients change weights.
    optimiser: Optimiser "optimiser" {
        /// The optimiser
        method: Method = Method::AdamW, flag "optimiser";
        /// The learning rate after the warm-up
        learning_rate: f64 = 6e-3, in POSITIVE;
        /// Learning rate of ternary weights without latent ones, in learning rates of the others
        dqt_rate: f64 = 1.0, in POSITIVE;
        /// The learning rate of learned scales, as a multiple of the learning rate
        scale_rate: f64 = 1.0, in 0.0..=1e6;
        /// The same for the scale W_n of ttq [default: that of scale_rate]
        negative_scale_rate: Option<f64> = None;
        /// The learning rate of learned thresholds, as a multiple of the learning rate
        threshold_rate: f64 = 1.0, in 0.0..=1e6;
        /// The share of the learning rate that the last step has [default: by --schedule]
        final_share: Option<f64> = None;
        /// The share of the steps over which the learning rate rises
        warm_up: f64 = 0.05, in 0.0..=1.0;
        /// Decay of the running mean of gradients, of adamw, lamb and muon
        beta1: f64 = 0.9, in 0.0..1.0;
        /// Decay of the running mean of squared gradients
        beta2: f64 = 0.95, in 0.0..1.0;
        /// What is added to the root of the mean square
        epsilon: f64 = 1e-8, in SMALLEST_EPSILON..=1.0;
        /// What sgd keeps of its momentum from step to step; 0 for none
        momentum: f64 = 0.9, in 0.0..1.0;
        /// The same of muon
        muon_momentum: f64 = 0.95, in 0.0..1.0;
        /// Whether sgd and muon step by the momentum that the next step would have (Nesterov)
        nesterov: bool = true;
        /// Decoupled weight decay; none for norms, scales, biases and embeddings
        weight_decay: f64 = 0.1, in 0.0..;
        /// Multiples of learning rate and decay by tensor, the first that matches: "*.mlp.*: rate=0.5, decay=0"; those of
        /// adapters' places and factors are multiplied in
        groups: Vec<Group> = Vec::new();
        /// Largest norm of all gradients together; longer ones are shortened to it
        clip: f64 = 1.0, in POSITIVE;
    }
    /// The learning rate and the weight decay over the run.
    schedule: Schedule "schedule" {
        /// How the learning rate changes over the run
        shape: Shape = Shape::Cosine, flag "schedule";
        /// The share of the steps before weight decay ends [default: the break of two-stage, or all]
        weight_decay_until: Option<f64> = None;
        /// The share of the steps, at the end, over which wsd falls
        decay: f64 = 0.2, in 0.0..=1.0;
        /// How wsd falls: linear, or root, as 1 - sqrt
        fall: Fall = Fall::Root;
        /// How many times restarts falls
        cycles: u32 = 3, in 1..=1000;
        /// How much longer each cycle of restarts is than the one before
        growth: f64 = 2.0, in 1.0..=10.0;
        /// The share of the steps before the first fall of three-phase
        first_fall: f64 = 0.8, in 0.0..=1.0;
        /// The share of the steps before the second
        second_fall: f64 = 0.9, in 0.0..=1.0;
        /// The share of the learning rate between them
        middle_share: f64 = 0.316, in 0.0..=1.0;
        /// The share of the steps that are the first of two-stage
        break_at: f64 = 0.5, in 0.0..=1.0;
        /// The share of the learning rate that the first of two-stage arrives at
        first_share: f64 = 0.533, in 0.0..=1.0;
        /// The share of the learning rate that the second of two-stage begins with
        second_share: f64 = 0.333, in 0.0..=1.0;
    }
    /// Adapters that train beside a model that stays as it is (`ternary lora`).
    lora: Lora "lora" {
        /// The model that they are for: a run, or the folder of a model as a run or Hugging Face's tools leave it
        model: Option<PathBuf> = None;
        /// How its matrices are kept, rounded or quantised while they are read; what is ternary in its files stays so
        base: Base = Base::F32;
        /// The projections that have one: all-linear (but head, routers and shared experts), the ends of names such as
        /// q_proj,v_proj, or an expression for whole names
        targets: Targets = Targets::AllLinear;
        /// Projections that have none all the same, given in the same way
        exclude: Option<Targets> = None;
        /// The layers of those projections, such as 0-3,7 [default: all]
        layers: Option<LayerList> = None;
        /// Numbers between both factors of an adapter
        rank: usize = 16, in 1..=65_536;
        /// What is multiplied into an adapter's outputs, after a division by its rank
        alpha: f64 = 32.0, in (Bound::Excluded(0.0), Bound::Included(Scaling::LARGEST));
        /// Whether it is divided by the root of the rank instead (rsLoRA)
        rank_stabilised: bool = false;
        /// The share of its inputs that an adapter drops while it trains
        dropout: f64 = 0.0, in 0.0..1.0;
        /// Learning rate of adapters in gated delta nets, as a multiple of the learning rate
        delta_rate: f64 = 1.0, in 0.0..=1e6;
        /// The same in attention
        attention_rate: f64 = 1.0, in 0.0..=1e6;
        /// The same of the factors A, times that of their place
        a_rate: f64 = 1.0, in 0.0..=1e6;
        /// The same of the factors B; above 1 as in LoRA+
        b_rate: f64 = 1.0, in 0.0..=1e6;
    }
    /// Samples, lines of JSON with texts of their own (files that end in .jsonl), for adapters to learn.
    samples: Samples "samples" {
        /// Leave out and count lines that are no samples, instead of ending with the first
        skip_bad_lines: bool = false;
        /// Samples of more tokens than a window has: cut their ends off, or refuse them as bad lines
        long: Long = Long::Cut, flag "long_samples";
        /// Whether short samples share a window; no sample sees another either way
        pack: bool = true;
        /// Whether prompts are learnt too, and not completions and answers alone
        with_prompts: bool = false;
    }
    /// What watches over a run.
    guard: Guard "guard" {
        /// Steps in a row with a loss or gradient that is not finite before the run stops; each changes nothing
        bad_steps: u32 = 10, in 1..=1_000_000_000;
        /// Deviations above the usual loss that are told as a spike; 0 tells none
        spike: f64 = 6.0, in 0.0..=1e6;
    }
    /// Hard examples: what a step learns from, beside `ohem`.
    mining: Mining "mining" {
        /// What is kept or left out as a whole: tokens, or examples, the windows of a batch
        by: Items = Items::Tokens;
        /// Items whose loss in nats is not above it are left out too; 0 leaves none out
        threshold: f64 = 0.0, in 0.0..;
        /// The share of items that is always kept; ohem must not be below it
        minimum: f64 = 0.5, in (Bound::Excluded(0.0), Bound::Included(1.0));
    }
    /// FOGZO: gradients measured by probes of the loss, in the steps after `fogzo_from`.
    fogzo: Fogzo "fogzo" {
        /// Directions that a step probes, at two losses each
        directions: u32 = 1, in 1..=1024;
        /// Noise c of the directions: β falls from 1 to 1 − c/d for d latent weights
        noise: f64 = 1.0, in 0.0..=1e6;
    }
    /// A finished run that this one learns from, beside the text.
    distillation: Distillation "distillation" {
        /// The share of what is minimised that is the divergence from the teacher
        share: f64 = 0.5, in (Bound::Excluded(0.0), Bound::Included(1.0));
        /// By which the scores of both models are divided
        temperature: f64 = 2.0, in 0.01..=100.0;
    }
    /// The loss on text that is never trained on.
    evaluation: Evaluation "evaluation" {
        /// Steps between two evaluations; there is always one at the end
        every: u32 = 100, in 1..=1_000_000_000;
        /// The share of the text, at its end, that is held out; a share of samples, by what they say
        held_out: f64 = 0.1, in (Bound::Excluded(0.0), Bound::Excluded(1.0));
        /// Windows evaluated at most, spread evenly over the held-out text
        windows: usize = 64, in 1..=1_048_576;
        /// Stop after so many evaluations without an improvement; 0 for never
        patience: u32 = 0, in 0..=1_000_000_000;
        /// Nats that are an improvement
        least_improvement: f64 = 0.0, in 0.0..=1e6;
        /// Keep the model of the best evaluation too, or its adapters, in the folder best, once a ternary model that
        /// trains computes with its codes
        keep_best: bool = false;
    }
    /// What is told during the run.
    log: Log "log" {
        /// Steps between two lines of the log
        every: u32 = 20, in 1..=1_000_000_000;
    }
}
