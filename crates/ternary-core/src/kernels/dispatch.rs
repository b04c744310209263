//! From the instruction set that was found to code that is generic over it.

/// Calls a function that is generic over `Arch` for the instruction set at hand; tests keep book of
/// which one ran.
macro_rules! dispatch {
    ($self:expr, $function:ident $(, $argument:expr)*) => {
        select!($self, traced, $function($($argument),*))
    };
}

macro_rules! select {
    ($self:expr, $call:ident, $function:ident $arguments:tt) => {{
        // SAFETY: `Kernels` only exist for an instruction set that this processor has.
        unsafe {
            match $self.isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vbmi => $call!(Avx512Vbmi, $function $arguments),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => $call!(Avx512, $function $arguments),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => $call!(Avx2, $function $arguments),
                _ => $call!(Portable, $function $arguments),
            }
        }
    }};
}

macro_rules! traced {
    ($arch:ident, $function:ident $arguments:tt) => {{
        #[cfg(test)]
        super::tests::ran::record(<$arch as super::arch::Arch>::ISA);
        $function::<$arch> $arguments
    }};
}

macro_rules! plain {
    ($arch:ident, $function:ident $arguments:tt) => {
        $function::<$arch> $arguments
    };
}

pub(super) use {dispatch, plain, select, traced};
