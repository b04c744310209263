//! The dot-product tile that all products share, written once over the vector trait.

use super::arch::Tile;
use super::lanes::{Dot, Lanes};
use super::scratch::Words;

/// A tile of `TOKENS × BLOCKS` whose sums stay in registers over all steps. `PARTS` vectors make a
/// block. The sums of a lane are added in the order of the steps, whatever the tile.
///
/// # Safety
/// The processor has the features of `D`.
#[inline(always)]
pub(crate) unsafe fn register_tile<
    D: Dot,
    const PARTS: usize,
    const BLOCKS: usize,
    const TOKENS: usize,
>(
    panels: &[&[Words]],
    activations: &[u32],
    tile: &mut Tile,
) {
    let panels: [&[Words]; BLOCKS] = std::array::from_fn(|block| panels[block]);
    let steps = panels[0].len();
    assert!(panels.iter().all(|panel| panel.len() == steps));
    assert!(activations.len() == steps * TOKENS);
    // SAFETY: the caller has the features; indices are below `steps`, to which all slices were
    // asserted to reach.
    unsafe {
        // Plain loops: a closure would be compiled without the caller's processor features.
        let mut sums = [[[D::Lanes::splat(0); PARTS]; BLOCKS]; TOKENS];
        for token in 0..TOKENS {
            for block in 0..BLOCKS {
                for part in 0..PARTS {
                    sums[token][block][part] = D::Lanes::load(&tile[token][block], part);
                }
            }
        }
        for step in 0..steps {
            let mut weights = [[D::Lanes::splat(0); PARTS]; BLOCKS];
            for block in 0..BLOCKS {
                for part in 0..PARTS {
                    weights[block][part] = D::Lanes::load(panels[block].get_unchecked(step), part);
                }
            }
            for token in 0..TOKENS {
                let activation = D::Lanes::splat(*activations.get_unchecked(step * TOKENS + token));
                for block in 0..BLOCKS {
                    for part in 0..PARTS {
                        let sum = &mut sums[token][block][part];
                        *sum = D::dot(*sum, weights[block][part], activation);
                    }
                }
            }
        }
        for (token, sums) in sums.iter().enumerate() {
            for (block, sums) in sums.iter().enumerate() {
                for (part, sum) in sums.iter().enumerate() {
                    D::Lanes::store(*sum, &mut tile[token][block], part);
                }
            }
        }
    }
}
