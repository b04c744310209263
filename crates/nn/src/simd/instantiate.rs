//! The macros that compile one piece of code for each instruction set.

/// Functions of [`Lanes`](super::Lanes) that make a vector of something else, by intrinsics.
macro_rules! constructors {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $result:ty $body:block)*) => {
        $(
            #[inline(always)]
            unsafe fn $name($($argument: $kind),*) -> $result {
                // SAFETY: the caller has the features of these intrinsics and hands in valid pointers.
                unsafe { $body }
            }
        )*
    };
}

/// Methods of [`Lanes`](super::Lanes) made of intrinsics; the first argument is `self` by another name.
macro_rules! operations {
    ($(
        fn $name:ident($this:ident: self $(, $argument:ident: $kind:ty)*) -> $result:ty $body:block
    )*) => {
        $(
            #[inline(always)]
            unsafe fn $name(self $(, $argument: $kind)*) -> $result {
                let $this = self;
                // SAFETY: the caller has the features of these intrinsics and hands in valid pointers.
                unsafe { $body }
            }
        )*
    };
}

/// `simd_function! { /// … fn name(arguments) -> result = generic; }` makes a safe function that calls
/// `generic::<L>(arguments)` compiled for the processor's instruction set, chosen once for the process.
/// `generic` must be `#[inline(always)]`.
macro_rules! simd_function {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? = $generic:ident;
    )*) => {$(
        $(#[$attribute])*
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
            unsafe fn avx512($($argument: $kind),*) $(-> $result)? {
                // SAFETY: this function is only called where there are these features.
                unsafe { $generic::<$crate::simd::Avx512>($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($argument: $kind),*) $(-> $result)? {
                // SAFETY: this function is only called where there are these features.
                unsafe { $generic::<$crate::simd::Avx2>($($argument),*) }
            }
            // SAFETY: `active` only names an instruction set that this processor has.
            unsafe {
                match $crate::simd::active() {
                    #[cfg(target_arch = "x86_64")]
                    ternary_core::kernels::Isa::Avx512
                    | ternary_core::kernels::Isa::Avx512Vbmi => avx512($($argument),*),
                    #[cfg(target_arch = "x86_64")]
                    ternary_core::kernels::Isa::Avx2 => avx2($($argument),*),
                    _ => $generic::<$crate::simd::Portable>($($argument),*),
                }
            }
        }
    )*};
}

pub(crate) use {constructors, operations, simd_function};
