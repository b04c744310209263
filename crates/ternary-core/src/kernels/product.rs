//! Matrix × matrix: the loops around the tile, written once for every product and instruction set.
//!
//! Outputs are cut into panels of [`PANEL_BLOCKS`] blocks of sixteen; a panel's weights are unpacked
//! once and stay in the second-level cache while every tile of tokens passes by. Steps beyond
//! what that cache holds come in further *parts*, whose sums are added (or carried on) in order, so
//! that no result depends on tiles, tokens or threads.

use super::arch::{Arch, MAX_BLOCKS, Operands, Tile, ZERO, ZERO_TILE};
use super::operand::TokenTile;
use super::parallel;
use super::scratch::{self, Purpose, Words};
use super::walk::Walk;
use crate::packing::LANES;

/// Blocks of sixteen outputs in a panel, unless its parts are so long that fewer fill the cache.
const PANEL_BLOCKS: usize = 4;
/// Words of a panel that the second-level cache keeps beside activations: 256 KiB.
const PANEL_WORDS: usize = 1 << 16;

/// One kind of product: what its panels hold and where its sums go.
pub(crate) trait Product: Sync {
    /// What meets in a word.
    const OPERANDS: Operands;
    /// Panels for each block: two where the sums over two kinds of trits are taken apart.
    const PLANES: usize = 1;

    /// How it is walked.
    type Walk: Walk;

    /// Its blocks of outputs, and the parts of its sums.
    fn walk(&self) -> &Self::Walk;

    /// Unpacks the weights of a block in a part: one run of steps for each plane.
    ///
    /// # Safety
    /// The processor has `A`.
    unsafe fn fill<A: Arch>(&self, block: usize, part: usize, panel: &mut [Words]);

    /// What the sums of a tile start from; zeros unless the product carries them on.
    ///
    /// # Safety
    /// No other thread writes these outputs.
    unsafe fn load(&self, _part: usize, _tokens: TokenTile, _blocks: Span, _tile: &mut Tile) {}

    /// Takes the finished sums of a part, one tile for each plane.
    ///
    /// # Safety
    /// The processor has `A`; no other thread writes or reads these outputs.
    unsafe fn store<A: Arch>(
        &self,
        part: usize,
        tokens: TokenTile,
        blocks: Span,
        tiles: &[Tile; 2],
    );
}

/// A run of blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: usize,
    pub(crate) count: usize,
}

/// Computes a product of `tokens` tokens, whose activations are packed as
/// [`with_tiles`](super::operand::with_tiles) does.
///
/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn run<A: Arch, P: Product>(product: &P, tokens: usize, activations: &[u32]) {
    let tiles = TokenTile::count::<A>(tokens);
    if tiles == 0 || product.walk().blocks() == 0 {
        return;
    }
    let lengths = (0..product.walk().parts()).map(|part| product.walk().steps(part));
    let (steps, longest) = lengths.fold((0, 1), |(sum, max), part| (sum + part, part.max(max)));
    let fitting = PANEL_WORDS / (LANES * P::PLANES) / longest;
    let panel_blocks = fitting.clamp(A::BLOCKS, PANEL_BLOCKS);
    let panels = product.walk().blocks().div_ceil(panel_blocks);
    // Few panels: let several threads take the same one for different tokens.
    let shares = (4 * rayon::current_num_threads()).div_ceil(panels).clamp(1, tiles.div_ceil(8));
    let tiles_each = tiles.div_ceil(shares);
    let cost = steps.saturating_mul(4 * LANES * tokens).saturating_mul(product.walk().blocks());
    parallel::for_each(panels * shares, cost, |item| {
        let (panel, share) = (item / shares, item % shares);
        let first = panel * panel_blocks;
        let blocks = Span { first, count: (product.walk().blocks() - first).min(panel_blocks) };
        let tiles = share * tiles_each..((share + 1) * tiles_each).min(tiles);
        // SAFETY: the caller has `A`; no two items share outputs.
        unsafe { run_panel::<A, P>(product, blocks, tokens, tiles, steps, activations) }
    });
}

/// One panel for a range of tiles: as many parts at a time as the cache holds.
unsafe fn run_panel<A: Arch, P: Product>(
    product: &P,
    blocks: Span,
    tokens: usize,
    tiles: std::ops::Range<usize>,
    steps: usize,
    activations: &[u32],
) {
    let mut sums = [ZERO_TILE; 2];
    let mut part = 0;
    while part < product.walk().parts() {
        let registers_of = |part| product.walk().steps(part) * P::PLANES * blocks.count;
        let mut end = part + 1;
        let mut registers = registers_of(part);
        while end < product.walk().parts() && (registers + registers_of(end)) * LANES <= PANEL_WORDS
        {
            registers += registers_of(end);
            end += 1;
        }
        scratch::with(Purpose::Panel, registers * LANES, |panel| {
            // SAFETY: passed on from the caller.
            unsafe {
                fill_panel::<A, P>(product, blocks, part..end, panel);
                for tile in tiles.clone() {
                    let tile = TokenTile::nth::<A>(tile, tokens);
                    let activations = &activations[tile.first * steps..][..tile.width * steps];
                    let parts = part..end;
                    run_tile::<A, P>(product, blocks, parts, tile, activations, panel, &mut sums);
                }
            }
        });
        part = end;
    }
}

/// Fills a panel: for each part, for each block, a run of steps for each plane.
unsafe fn fill_panel<A: Arch, P: Product>(
    product: &P,
    blocks: Span,
    parts: std::ops::Range<usize>,
    panel: &mut [Words],
) {
    let mut rest = panel;
    for part in parts {
        for block in blocks.first..blocks.first + blocks.count {
            let (runs, after) = rest.split_at_mut(product.walk().steps(part) * P::PLANES);
            // SAFETY: passed on from the caller.
            unsafe { product.fill::<A>(block, part, runs) };
            rest = after;
        }
    }
}

/// All blocks of a panel for one tile of tokens; `sums` is room for them.
unsafe fn run_tile<A: Arch, P: Product>(
    product: &P,
    blocks: Span,
    parts: std::ops::Range<usize>,
    tokens: TokenTile,
    activations: &[u32],
    panel: &[Words],
    sums: &mut [Tile; 2],
) {
    let mut rest = panel;
    for part in parts {
        let steps = product.walk().steps(part);
        let first = product.walk().first_step(part);
        let activations = &activations[first * tokens.width..][..steps * tokens.width];
        let (runs, after) = rest.split_at(steps * P::PLANES * blocks.count);
        rest = after;
        let run =
            |block: usize, plane: usize| &runs[(block * P::PLANES + plane) * steps..][..steps];
        for first in (0..blocks.count).step_by(A::BLOCKS) {
            let count = (blocks.count - first).min(A::BLOCKS);
            let span = Span { first: blocks.first + first, count };
            for tile in &mut sums[..P::PLANES] {
                tile[..tokens.width].iter_mut().for_each(|sums| sums[..count].fill(ZERO));
            }
            // SAFETY: passed on from the caller; widths and blocks are those of `A`.
            unsafe {
                product.load(part, tokens, span, &mut sums[0]);
                for (plane, tile) in sums.iter_mut().enumerate().take(P::PLANES) {
                    let panels: [&[Words]; MAX_BLOCKS] =
                        std::array::from_fn(|n| run(first + n.min(count - 1), plane));
                    A::tile(P::OPERANDS, tokens.width, &panels[..count], activations, tile);
                }
                product.store::<A>(part, tokens, span, sums);
            }
        }
    }
}
