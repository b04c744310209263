//! The memory roof: reading a buffer in four streams at once.

use std::hint::black_box;

/// Bytes that one step reads of each stream: two cache lines.
const STEP: usize = 128;

/// One cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u64; 8]);

/// How the read asks for lines ahead of time. Which way is fastest depends on the machine and on where
/// the lines are: on Zen 4 the second gains a fifth from DRAM and loses a fifth from cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefetch {
    /// It leaves that to the processor.
    None,
    /// Into the first cache, 1 KiB ahead (`prefetcht0`).
    Near,
    /// Into the second cache, 2 KiB ahead (`prefetcht1`).
    Far,
}

impl Prefetch {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Near, Self::Far];
}

/// Lines of each stream that are read in one piece: short beside the time of a measurement, so that
/// threads which start together also end together.
const PIECE: usize = (2 << 20) / size_of::<Line>();

/// A buffer as four streams, each a quarter of it. Left out is a rest of less than a step for each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams<'a>([&'a [Line]; 4]);

impl<'a> Streams<'a> {
    pub(crate) fn new(lines: &'a [Line]) -> Self {
        let step = STEP / size_of::<Line>();
        let quarter = lines.len() / 4 / step * step;
        Self(std::array::from_fn(|i| &lines[i * quarter..(i + 1) * quarter]))
    }

    /// Pieces that a whole pass consists of.
    pub(crate) fn pieces(&self) -> usize {
        self.0[0].len().div_ceil(PIECE)
    }

    /// Reads one piece of all streams and returns its bytes.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    pub(crate) fn read(&self, piece: usize, prefetch: Prefetch) -> usize {
        let pieces = self.0.map(|stream| stream.chunks(PIECE).nth(piece).unwrap_or_default());
        let bytes = 4 * size_of_val(pieces[0]);
        #[cfg(target_arch = "x86_64")]
        if bytes > 0 && x86::read(pieces, prefetch) {
            return bytes;
        }
        read_portable(pieces);
        bytes
    }
}

/// The read in plain Rust, vectorised by the compiler. It cannot prefetch.
fn read_portable(streams: [&[Line]; 4]) {
    let mut sum = [0_u64; 8];
    let [a, b, c, d] = streams;
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        for (lane, sum) in sum.iter_mut().enumerate() {
            *sum ^= a.0[lane] ^ b.0[lane] ^ c.0[lane] ^ d.0[lane];
        }
    }
    black_box(sum);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    use super::{Line, Prefetch, STEP};

    /// A loop over four streams that loads a step of each into a register and forgets it.
    macro_rules! read_loop {
        ($name:ident, $feature:literal, [$($prefetch:literal $ahead:literal),*], $load:ident) => {
            /// # Safety
            /// `bytes`, a positive multiple of `STEP`, must be readable behind each stream.
            #[target_feature(enable = $feature)]
            unsafe fn $name(streams: [*const Line; 4], bytes: usize) {
                let [a, b, c, d] = streams;
                // SAFETY: loads stay below `bytes` of each stream, by the caller's promise; a
                // prefetch past the end is a hint that cannot fault. Vector registers are declared
                // lost by `clobber_abi`.
                unsafe {
                    asm!(
                        "2:",
                        $(
                            concat!($prefetch, " [{a} + rcx + ", $ahead, "]"),
                            concat!($prefetch, " [{b} + rcx + ", $ahead, "]"),
                            concat!($prefetch, " [{c} + rcx + ", $ahead, "]"),
                            concat!($prefetch, " [{d} + rcx + ", $ahead, "]"),
                        )*
                        $load!("a"),
                        $load!("b"),
                        $load!("c"),
                        $load!("d"),
                        "add rcx, 128",
                        "cmp rcx, {bytes}",
                        "jb 2b",
                        a = in(reg) a,
                        b = in(reg) b,
                        c = in(reg) c,
                        d = in(reg) d,
                        bytes = in(reg) bytes,
                        inout("rcx") 0_usize => _,
                        clobber_abi("sysv64"),
                        options(nostack, readonly),
                    );
                }
            }
        };
    }
    macro_rules! load_zmm {
        ($stream:literal) => {
            concat!(
                "vmovaps zmm0, [{",
                $stream,
                "} + rcx]\n",
                "vmovaps zmm1, [{",
                $stream,
                "} + rcx + 64]"
            )
        };
    }
    macro_rules! load_ymm {
        ($stream:literal) => {
            concat!(
                "vmovaps ymm0, [{",
                $stream,
                "} + rcx]\n",
                "vmovaps ymm1, [{",
                $stream,
                "} + rcx + 32]\n",
                "vmovaps ymm2, [{",
                $stream,
                "} + rcx + 64]\n",
                "vmovaps ymm3, [{",
                $stream,
                "} + rcx + 96]"
            )
        };
    }

    read_loop!(zmm, "avx512f", [], load_zmm);
    read_loop!(zmm_near, "avx512f", ["prefetcht0" 1024, "prefetcht0" 1088], load_zmm);
    read_loop!(zmm_far, "avx512f", ["prefetcht1" 2048, "prefetcht1" 2112], load_zmm);
    read_loop!(ymm, "avx", [], load_ymm);
    read_loop!(ymm_near, "avx", ["prefetcht0" 1024, "prefetcht0" 1088], load_ymm);
    read_loop!(ymm_far, "avx", ["prefetcht1" 2048, "prefetcht1" 2112], load_ymm);

    /// Reads the streams, all of one length; `false` where the processor has no such loads.
    pub(super) fn read(streams: [&[Line]; 4], prefetch: Prefetch) -> bool {
        let bytes = size_of_val(streams[0]);
        assert!(bytes > 0 && bytes.is_multiple_of(STEP));
        assert!(streams.iter().all(|stream| size_of_val(*stream) == bytes));
        let streams = streams.map(<[Line]>::as_ptr);
        // SAFETY: the features are detected before the call, and each stream was checked to hold
        // `bytes`, a positive multiple of a step.
        unsafe {
            if is_x86_feature_detected!("avx512f") {
                match prefetch {
                    Prefetch::None => zmm(streams, bytes),
                    Prefetch::Near => zmm_near(streams, bytes),
                    Prefetch::Far => zmm_far(streams, bytes),
                }
            } else if is_x86_feature_detected!("avx") {
                match prefetch {
                    Prefetch::None => ymm(streams, bytes),
                    Prefetch::Near => ymm_near(streams, bytes),
                    Prefetch::Far => ymm_far(streams, bytes),
                }
            } else {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_covers_whole_steps_of_four_equal_streams() {
        let pass = |lines: &[Line], prefetch| {
            let streams = Streams::new(lines);
            (0..streams.pieces()).map(|piece| streams.read(piece, prefetch)).sum::<usize>()
        };
        let lines = vec![Line([1; 8]); 5 * PIECE + 8 * 5 + 7];
        for prefetch in Prefetch::ALL {
            assert_eq!(pass(&lines, prefetch), (5 * PIECE + 8 * 5) * 64);
            assert_eq!(pass(&lines[..47], prefetch), 8 * 5 * 64);
            assert_eq!(pass(&lines[..7], prefetch), 0);
        }
        assert_eq!(Streams::new(&lines).read(0, Prefetch::None), 4 * PIECE * 64);
        assert_eq!(Streams::new(&lines).read(2, Prefetch::None), 0);
    }
}
