//! Which instruction set the kernels use.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// The environment variable that forces an instruction set by name.
pub const ISA_VARIABLE: &str = "TERNARY_ISA";

/// An instruction set that the kernels are written for, ascending in speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust that the compiler vectorises for the target's baseline.
    Portable,
    /// AVX2 and FMA: 256-bit `vpmaddubsw`.
    Avx2,
    /// AVX-512 (F, BW, VL, DQ) with VNNI: 512-bit `vpdpbusd`.
    Avx512,
    /// The same with VBMI, whose byte permutations decode five trits faster.
    Avx512Vbmi,
}

impl Isa {
    /// Every instruction set there are kernels for, slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Vbmi];

    /// The name that [`ISA_VARIABLE`] and command lines use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512vnni",
            Self::Avx512Vbmi => "avx512vbmi",
        }
    }

    /// What this processor has, best first. [`Isa::Portable`] is always last.
    pub fn available() -> Vec<Self> {
        let mut available: Vec<_> =
            Self::ALL.into_iter().filter(|isa| isa.is_available()).collect();
        available.reverse();
        available
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vbmi => {
                Self::Avx512.is_available() && is_x86_feature_detected!("avx512vbmi")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// What [`ISA_VARIABLE`] asks for, or the best there is. Decided once for the process.
    pub(crate) fn active() -> Result<Self> {
        static ACTIVE: OnceLock<Result<Isa>> = OnceLock::new();
        ACTIVE
            .get_or_init(|| match std::env::var_os(ISA_VARIABLE) {
                Some(name) => name.to_string_lossy().parse::<Self>()?.require(),
                None => Ok(Self::available()[0]),
            })
            .clone()
    }

    /// Itself, where the processor has it.
    pub(crate) fn require(self) -> Result<Self> {
        if self.is_available() { Ok(self) } else { Err(unavailable(self.name())) }
    }
}

fn unavailable(requested: &str) -> Error {
    let names: Vec<_> = Isa::available().into_iter().map(Isa::name).collect();
    Error::IsaUnavailable { requested: requested.to_owned(), available: names.join(", ") }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| unavailable(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_an_unknown_name_lists_what_there_is() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        let error = "sse9".parse::<Isa>().unwrap_err().to_string();
        assert!(error.contains("sse9") && error.contains("portable"), "{error}");
        assert_eq!(Isa::available().last(), Some(&Isa::Portable));
    }
}
