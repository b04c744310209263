//! Wrong formulas, planted beside the right ones, that the gradient check must catch.
//!
//! [`mutant!`](crate::mutant) is the right expression in every normal build. With the feature `mutants`
//! it is the wrong one while `activate` names it. `cargo xtask gradcheck --mutants` reads the names
//! from the source, activates one after the other, and fails when the check does not notice.

/// `mutant!("item/what is wrong", right, wrong)`: the expression `right`, unless the build has the
/// feature `mutants` and this mutant is active. `mutant!("item/what is wrong", { wrong })`: a statement
/// that only the active mutant runs. The item is the op or type whose check must fail.
#[cfg(feature = "mutants")]
#[macro_export]
macro_rules! mutant {
    ($name:literal, $wrong:block) => {
        if $crate::mutants::is_active(const { $crate::mutants::identity($name) }) $wrong
    };
    ($name:literal, $right:expr, $wrong:expr $(,)?) => {
        if $crate::mutants::is_active(const { $crate::mutants::identity($name) }) {
            $wrong
        } else {
            $right
        }
    };
}

/// `mutant!("item/what is wrong", right, wrong)`: the expression `right`;
/// `mutant!("item/what is wrong", { wrong })`: nothing. What is wrong exists only in builds with the
/// feature `mutants`.
#[cfg(not(feature = "mutants"))]
#[macro_export]
macro_rules! mutant {
    ($name:literal, $wrong:block) => {};
    ($name:literal, $right:expr, $wrong:expr $(,)?) => {
        $right
    };
}

#[cfg(feature = "mutants")]
mod active {
    use std::sync::atomic::{AtomicU64, Ordering};

    static ACTIVE: AtomicU64 = AtomicU64::new(0);

    /// The mutant that is wrong from now on, in every thread of the process; none for `None`.
    pub fn activate(name: Option<&str>) {
        ACTIVE.store(name.map_or(0, identity), Ordering::SeqCst);
    }

    /// Whether the mutant with this [`identity`] is active.
    #[inline]
    pub fn is_active(identity: u64) -> bool {
        ACTIVE.load(Ordering::Relaxed) == identity
    }

    /// A number for a mutant's name.
    pub use crate::noise::name_hash as identity;
}

#[cfg(feature = "mutants")]
pub use active::{activate, identity, is_active};

#[cfg(test)]
mod tests {
    #[test]
    fn a_mutant_is_the_right_expression_until_it_is_active() {
        let sum = |a: i32, b: i32| crate::mutant!("test/sign", a + b, a - b);
        assert_eq!(sum(5, 3), 8);
        #[cfg(feature = "mutants")]
        {
            super::activate(Some("test/sign"));
            assert_eq!(sum(5, 3), 2);
            super::activate(None);
            assert_eq!(sum(5, 3), 8);
        }
    }
}
