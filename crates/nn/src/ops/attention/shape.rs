//! The sizes of a call, and its checked inputs.

use ternary_core::Real;

use crate::error::{Error, Result, check_size};

/// How errors name the op.
pub(super) const LAYER: &str = "attention";

/// The sizes of a call of [`attention`](super::attention).
///
/// Rows of `q` and `out` are [sequences · queries, query_heads · width], those of `k` and `v`
/// [sequences · keys, key_heads · width]. Query i of a sequence stands at position keys − queries + i
/// and sees the keys at positions up to its own. Query head h reads key head
/// ⌊h · key_heads / query_heads⌋.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Sequences, which do not see each other.
    pub sequences: usize,
    /// Query positions of a sequence: its last ones.
    pub queries: usize,
    /// Key positions of a sequence, at least as many as there are queries.
    pub keys: usize,
    /// Heads of `q`, a multiple of those of `k`.
    pub query_heads: usize,
    /// Heads of `k` and `v`.
    pub key_heads: usize,
    /// Numbers in a head.
    pub width: usize,
}

/// Lengths of the arrays of a shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    /// Of `q`, `out` and their gradients.
    queries: usize,
    /// Of `k`, `v` and their gradients.
    keys: usize,
    /// Of the log-sums.
    log_sums: usize,
}

impl AttentionShape {
    /// Numbers in a row of `q`.
    pub(super) fn query_row(&self) -> usize {
        self.query_heads * self.width
    }

    /// Numbers in a row of `k`.
    pub(super) fn key_row(&self) -> usize {
        self.key_heads * self.width
    }

    /// Query heads that read the same key head.
    pub(super) fn group(&self) -> usize {
        self.query_heads / self.key_heads
    }

    /// The position of the first query of a sequence.
    pub(super) fn first_position(&self) -> usize {
        self.keys - self.queries
    }

    /// Multiply-adds of one product over the visible pairs of all heads.
    pub(super) fn cost(&self) -> usize {
        let pairs = self.queries.saturating_mul(self.first_position() + self.queries.div_ceil(2));
        pairs.saturating_mul(self.query_row()).saturating_mul(self.sequences)
    }

    fn lengths(&self) -> Result<Lengths> {
        for (what, count) in [
            ("query heads", self.query_heads),
            ("key heads", self.key_heads),
            ("width of a head", self.width),
        ] {
            if count == 0 {
                return Err(setting(what, "at least 1", count.to_string()));
            }
        }
        if !self.query_heads.is_multiple_of(self.key_heads) {
            let found = format!("{} for {} key heads", self.query_heads, self.key_heads);
            return Err(setting("query heads", "a multiple of the key heads", found));
        }
        if self.queries > self.keys {
            let found = format!("{} for {} keys", self.queries, self.keys);
            return Err(setting("queries", "at most as many as keys", found));
        }
        let product = |factors: [usize; 4]| {
            // The bound leaves room for padding and for offsets in bytes.
            factors
                .into_iter()
                .try_fold(1_usize, usize::checked_mul)
                .filter(|&length| length <= isize::MAX as usize >> 12)
                .ok_or_else(|| setting("size", "arrays that fit into memory", format!("{self:?}")))
        };
        Ok(Lengths {
            queries: product([self.sequences, self.queries, self.query_heads, self.width])?,
            keys: product([self.sequences, self.keys, self.key_heads, self.width])?,
            log_sums: product([self.sequences, self.queries, self.query_heads, 1])?,
        })
    }
}

fn setting(what: &'static str, expected: &'static str, found: String) -> Error {
    Error::Setting { layer: LAYER.to_owned(), what, expected, found }
}

/// What forward and backward read; all lengths fit the shape.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    pub(super) shape: AttentionShape,
    pub(super) scale: T,
    pub(super) q: &'a [T],
    pub(super) k: &'a [T],
    pub(super) v: &'a [T],
}

impl<'a, T: Real> Inputs<'a, T> {
    pub(super) fn new(
        shape: AttentionShape,
        scale: T,
        [q, k, v]: [&'a [T]; 3],
    ) -> Result<(Self, Lengths)> {
        let lengths = shape.lengths()?;
        lengths.check_queries("queries", q)?;
        lengths.check_keys("keys", k)?;
        lengths.check_keys("values", v)?;
        Ok((Self { shape, scale, q, k, v }, lengths))
    }
}

impl Lengths {
    pub(super) fn check_queries<T>(&self, what: &'static str, values: &[T]) -> Result<()> {
        check_size(LAYER, what, self.queries, values.len())
    }

    pub(super) fn check_keys<T>(&self, what: &'static str, values: &[T]) -> Result<()> {
        check_size(LAYER, what, self.keys, values.len())
    }

    pub(super) fn check_log_sums<T>(&self, values: &[T]) -> Result<()> {
        check_size(LAYER, "log-sums", self.log_sums, values.len())
    }
}

/// What the forward left for the backward, and the gradient that comes in; lengths fit the inputs.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a, T> {
    pub(super) out: &'a [T],
    pub(super) log_sums: &'a [T],
    pub(super) d_out: &'a [T],
}

/// What the backward adds to; lengths fit the inputs.
#[derive(Debug)]
pub struct InputGradients<'a, T> {
    pub(super) dq: &'a mut [T],
    pub(super) dk: &'a mut [T],
    pub(super) dv: &'a mut [T],
}
