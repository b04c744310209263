//! Compute roofs: how many multiply-accumulates a second the vector registers can do.
//!
//! Each loop is one `asm!` block, so that no compiler can share, reorder or drop an instruction, over
//! more independent accumulators than the latency asks for. Nothing is read from memory.

use ternary_core::kernels::Isa;

/// The instruction that a product is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Peak {
    /// `vpdpbusd` on 512 bits: u8 × i8 into i32.
    VpdpbusdZmm,
    /// `vpdpwssd` on 512 bits: i16 × i16 into i32.
    VpdpwssdZmm,
    /// `vfmadd231ps` on 512 bits.
    FmaZmm,
    /// `vpmaddubsw` and `vpaddw` on 256 bits: u8 × i8 into i16.
    VpmaddubswYmm,
    /// `vpmaddwd` and `vpaddd` on 256 bits: i16 × i16 into i32.
    VpmaddwdYmm,
    /// `vfmadd231ps` on 256 bits.
    FmaYmm,
}

impl Peak {
    pub(crate) const ALL: [Self; 6] = [
        Self::VpdpbusdZmm,
        Self::VpdpwssdZmm,
        Self::FmaZmm,
        Self::VpmaddubswYmm,
        Self::VpmaddwdYmm,
        Self::FmaYmm,
    ];

    /// The instruction that multiplies bytes, on an instruction set; none is known for code that the
    /// compiler vectorises, as in the other two.
    pub(crate) fn of_bytes(isa: Isa) -> Option<Self> {
        Self::of(isa, Self::VpdpbusdZmm, Self::VpmaddubswYmm)
    }

    /// The instruction that multiplies words.
    pub(crate) fn of_words(isa: Isa) -> Option<Self> {
        Self::of(isa, Self::VpdpwssdZmm, Self::VpmaddwdYmm)
    }

    /// The instruction that multiplies floats.
    pub(crate) fn of_floats(isa: Isa) -> Option<Self> {
        Self::of(isa, Self::FmaZmm, Self::FmaYmm)
    }

    fn of(isa: Isa, avx512: Self, avx2: Self) -> Option<Self> {
        match isa {
            Isa::Avx512 | Isa::Avx512Vbmi => Some(avx512),
            Isa::Avx2 => Some(avx2),
            _ => None,
        }
    }

    /// The key of this roof in a report. Floats count two operations in a multiply-accumulate.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::VpdpbusdZmm => "vpdpbusd_zmm_gmacs",
            Self::VpdpwssdZmm => "vpdpwssd_zmm_gmacs",
            Self::FmaZmm => "fma_f32_zmm_gflops",
            Self::VpmaddubswYmm => "vpmaddubsw_vpaddw_ymm_gmacs",
            Self::VpmaddwdYmm => "vpmaddwd_vpaddd_ymm_gmacs",
            Self::FmaYmm => "fma_f32_ymm_gflops",
        }
    }

    /// What the unit of [`Peak::key`] counts for one multiply-accumulate.
    pub(crate) fn operations(self) -> f64 {
        if matches!(self, Self::FmaZmm | Self::FmaYmm) { 2.0 } else { 1.0 }
    }

    /// Runs the loop for some tens of microseconds and says how many multiply-accumulates that were;
    /// `None` where the processor lacks the instruction.
    pub(crate) fn burst(self) -> Option<u64> {
        #[cfg(target_arch = "x86_64")]
        return x86::burst(self);
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    use super::Peak;

    /// Passes through the unrolled body in one burst.
    const PASSES: u64 = 4096;

    /// Both factors: ordinary numbers as bytes, as words and as floats. Zeros would draw less power
    /// than weights do, and denormals would run slower.
    static FACTORS: [u32; 16] = [0x3f01_4355; 16];

    /// A function that makes `PASSES` passes over independent accumulators. `$step` gives the
    /// instructions for two of them; registers 30 and 31 (zmm) or 14 and 15 (ymm) hold the factors.
    macro_rules! peak_loop {
        ($name:ident, $feature:literal, $load:ident, $zero:ident, $step:ident, $($a:literal $b:literal),*) => {
            #[target_feature(enable = $feature)]
            fn $name() {
                // SAFETY: the block reads one static line and writes vector registers, which
                // `clobber_abi` declares lost, a counter and the flags; it runs inside a function
                // that enables the features of its instructions.
                unsafe {
                    asm!(
                        $load!(),
                        $($zero!($a), $zero!($b),)*
                        "2:",
                        $($step!($a $b),)*
                        "sub rcx, 1",
                        "jnz 2b",
                        factors = in(reg) FACTORS.as_ptr(),
                        inout("rcx") PASSES => _,
                        clobber_abi("sysv64"),
                        options(nostack, readonly),
                    );
                }
            }
        };
    }

    macro_rules! load_zmm {
        () => {
            "vmovups zmm30, [{factors}]\n vmovups zmm31, [{factors}]"
        };
    }
    macro_rules! load_ymm {
        () => {
            "vmovups ymm14, [{factors}]\n vmovups ymm15, [{factors}]"
        };
    }
    macro_rules! zero_zmm {
        ($a:literal) => {
            concat!("vpxord zmm", $a, ", zmm", $a, ", zmm", $a)
        };
    }
    macro_rules! zero_ymm {
        ($a:literal) => {
            concat!("vpxor ymm", $a, ", ymm", $a, ", ymm", $a)
        };
    }
    macro_rules! vpdpbusd {
        ($a:literal $b:literal) => {
            concat!("vpdpbusd zmm", $a, ", zmm30, zmm31\n vpdpbusd zmm", $b, ", zmm30, zmm31")
        };
    }
    macro_rules! vpdpwssd {
        ($a:literal $b:literal) => {
            concat!("vpdpwssd zmm", $a, ", zmm30, zmm31\n vpdpwssd zmm", $b, ", zmm30, zmm31")
        };
    }
    macro_rules! fma_zmm {
        ($a:literal $b:literal) => {
            concat!(
                "vfmadd231ps zmm",
                $a,
                ", zmm30, zmm31\n",
                "vfmadd231ps zmm",
                $b,
                ", zmm30, zmm31"
            )
        };
    }
    macro_rules! vpmaddubsw {
        ($a:literal $b:literal) => {
            concat!(
                "vpmaddubsw ymm12, ymm14, ymm15\n",
                "vpmaddubsw ymm13, ymm14, ymm15\n",
                "vpaddw ymm",
                $a,
                ", ymm",
                $a,
                ", ymm12\n",
                "vpaddw ymm",
                $b,
                ", ymm",
                $b,
                ", ymm13"
            )
        };
    }
    macro_rules! vpmaddwd {
        ($a:literal $b:literal) => {
            concat!(
                "vpmaddwd ymm12, ymm14, ymm15\n",
                "vpmaddwd ymm13, ymm14, ymm15\n",
                "vpaddd ymm",
                $a,
                ", ymm",
                $a,
                ", ymm12\n",
                "vpaddd ymm",
                $b,
                ", ymm",
                $b,
                ", ymm13"
            )
        };
    }
    macro_rules! fma_ymm {
        ($a:literal $b:literal) => {
            concat!(
                "vfmadd231ps ymm",
                $a,
                ", ymm14, ymm15\n",
                "vfmadd231ps ymm",
                $b,
                ", ymm14, ymm15"
            )
        };
    }

    macro_rules! zmm_loop {
        ($name:ident, $feature:literal, $step:ident) => {
            peak_loop!($name, $feature, load_zmm, zero_zmm, $step,
                0 1, 2 3, 4 5, 6 7, 8 9, 10 11, 12 13, 14 15, 16 17, 18 19, 20 21, 22 23, 24 25, 26 27);
        };
    }
    macro_rules! ymm_loop {
        ($name:ident, $feature:literal, $step:ident) => {
            peak_loop!($name, $feature, load_ymm, zero_ymm, $step, 0 1, 2 3, 4 5, 6 7, 8 9, 10 11);
        };
    }
    const ZMM_ACCUMULATORS: u64 = 28;
    const YMM_ACCUMULATORS: u64 = 12;

    zmm_loop!(vpdpbusd_zmm, "avx512f,avx512vnni", vpdpbusd);
    zmm_loop!(vpdpwssd_zmm, "avx512f,avx512vnni", vpdpwssd);
    zmm_loop!(fma_f32_zmm, "avx512f", fma_zmm);
    ymm_loop!(vpmaddubsw_ymm, "avx2", vpmaddubsw);
    ymm_loop!(vpmaddwd_ymm, "avx2", vpmaddwd);
    ymm_loop!(fma_f32_ymm, "avx2,fma", fma_ymm);

    pub(super) fn burst(peak: Peak) -> Option<u64> {
        let vnni = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
        let available = match peak {
            Peak::VpdpbusdZmm | Peak::VpdpwssdZmm => vnni,
            Peak::FmaZmm => is_x86_feature_detected!("avx512f"),
            Peak::VpmaddubswYmm | Peak::VpmaddwdYmm => is_x86_feature_detected!("avx2"),
            Peak::FmaYmm => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        };
        if !available {
            return None;
        }
        // SAFETY: the features that each loop enables were detected above.
        unsafe {
            match peak {
                Peak::VpdpbusdZmm => vpdpbusd_zmm(),
                Peak::VpdpwssdZmm => vpdpwssd_zmm(),
                Peak::FmaZmm => fma_f32_zmm(),
                Peak::VpmaddubswYmm => vpmaddubsw_ymm(),
                Peak::VpmaddwdYmm => vpmaddwd_ymm(),
                Peak::FmaYmm => fma_f32_ymm(),
            }
        }
        let macs_per_pass = match peak {
            Peak::VpdpbusdZmm => 64 * ZMM_ACCUMULATORS,
            Peak::VpdpwssdZmm => 32 * ZMM_ACCUMULATORS,
            Peak::FmaZmm => 16 * ZMM_ACCUMULATORS,
            Peak::VpmaddubswYmm => 32 * YMM_ACCUMULATORS,
            Peak::VpmaddwdYmm => 16 * YMM_ACCUMULATORS,
            Peak::FmaYmm => 8 * YMM_ACCUMULATORS,
        };
        Some(PASSES * macs_per_pass)
    }
}
