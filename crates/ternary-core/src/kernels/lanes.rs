//! The small vector trait that kernels are written over.

use super::scratch::Words;

/// Vectors of 32-bit lanes: one or more of them hold the sixteen lanes of a block.
///
/// # Safety
/// Every function needs the processor features of the type that implements it.
pub(crate) trait Lanes {
    /// Some lanes of a block.
    type Vector: Copy;
    /// Vectors that make a block.
    const PARTS: usize;

    /// Vector `part` of a block.
    unsafe fn load(words: &Words, part: usize) -> Self::Vector;
    /// The reverse of [`Lanes::load`].
    unsafe fn store(vector: Self::Vector, words: &mut Words, part: usize);
    /// The same word in every lane.
    unsafe fn splat(word: u32) -> Self::Vector;
    /// Each lane shifted right by `count` bits.
    unsafe fn shift_right(vector: Self::Vector, count: usize) -> Self::Vector;
    /// Each lane shifted right by the bits that the same lane of `counts` says.
    unsafe fn shift_right_each(vector: Self::Vector, counts: Self::Vector) -> Self::Vector;
    /// Each lane shifted left by `count` bits.
    unsafe fn shift_left(vector: Self::Vector, count: usize) -> Self::Vector;
    unsafe fn and(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn or(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn xor(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Sums of integers.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The weights of codes 0, 1, 2 as floats: −negative, 0, +positive.
    unsafe fn weights(
        codes: Self::Vector,
        negative: Self::Vector,
        positive: Self::Vector,
    ) -> Self::Vector;
}

/// The dot product of one step.
///
/// # Safety
/// Every function needs the processor features of the type that implements it.
pub(crate) trait Dot {
    /// What it works on.
    type Lanes: Lanes;

    /// sums + weights · activations, lane by lane.
    unsafe fn dot(
        sums: Vector<Self>,
        weights: Vector<Self>,
        activations: Vector<Self>,
    ) -> Vector<Self>;
}

/// The vector of a dot product.
pub(crate) type Vector<D> = <<D as Dot>::Lanes as Lanes>::Vector;
