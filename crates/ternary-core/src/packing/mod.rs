//! Packed trits: two bits each, or five in a byte, in the one layout that every kernel reads.
//!
//! Sixteen rows make a *block*; a block is a run of 64-byte *lines*. A line is one AVX-512 register:
//! sixteen 32-bit lanes, a lane for each row of the block, so that a product needs no horizontal sum.
//!
//! ```text
//! a line      ┌─ lane 0 (row 16b) ─┬─ lane 1 (row 16b+1) ─┬─ … ─┬─ lane 15 (row 16b+15) ─┐
//!             │ byte 0 │ 1 │ 2 │ 3 │ byte 0 │ 1 │ 2 │ 3   │     │                        │
//!             └────────┴───┴───┴───┴────────┴───┴───┴─────┴─────┴────────────────────────┘
//!
//! two bits    byte j of a lane holds the codes of columns k₀+j, k₀+4+j, k₀+8+j, k₀+12+j
//! (16 columns     bits 1‥0 → k₀+j,  bits 3‥2 → k₀+4+j,  bits 5‥4 → k₀+8+j,  bits 7‥6 → k₀+12+j
//!  in a line)
//!
//! five trits  byte j of a lane holds columns k₀+j, k₀+4+j, k₀+8+j, k₀+12+j, k₀+16+j as the base-3
//! (20 columns digits d₀‥d₄ of v = ((((d₀·3+d₁)·3+d₂)·3+d₃)·3+d₄), stored as the fraction ⌈256·v/243⌉
//!  in a line)
//! ```
//!
//! A code is trit + 1, so 0, 1, 2 stand for −1, 0, +1. Digit `n` of the four bytes of a lane are four
//! consecutive columns: they meet four consecutive activations in one `vpdpbusd`. With `c₀` the
//! stored byte and `c₍ₙ₊₁₎ = 3·cₙ mod 256`, digit n of five trits is `(3·cₙ − c₍ₙ₊₁₎) / 256`.
//!
//! The columns of a row are cut into *segments*, one for each scale group (the whole row when scales
//! are per tensor or per row), and a segment starts on a fresh line. Rows are padded to sixteen and
//! segments to whole lines with zero trits.
//!
//! ```text
//! block 0:  segment 0: line 0 │ line 1 │ …   segment 1: line 0 │ line 1 │ …
//! block 1:  …
//! ```
//!
//! This is a form for memory. For files [`PackedTrits::to_row_major`] gives one that is simple to read:
//! row after row, neighbouring columns in a byte.

mod code;
mod layout;
mod packed;
mod row_major;

pub use layout::{Layout, Packing};
pub use packed::PackedTrits;

pub(crate) use code::{FIVE_TRITS_DIGITS, encode_five};
pub(crate) use layout::{LANES, LINE_BYTES, Line};
pub(crate) use packed::{check_row, check_trits};
