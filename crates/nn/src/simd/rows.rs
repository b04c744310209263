//! Walking rows in vectors.
//!
//! These are macros, not functions of closures: a closure does not inherit the instruction set of the
//! function that it is inlined into.

/// `each_vector!(L, length, (x = slice, …), (name = expression, …), value, … => out, …)`: reads every
/// vector of the slices, names the expressions over them, writes the values. A slice that is written
/// may be read as well.
///
/// The caller vouches that every slice has `length` numbers.
macro_rules! each_vector {
    (
        $L:ident, $length:expr, ($($x:ident = $slice:expr),*), ($($name:ident = $expression:expr),*),
        $($value:expr),+ => $($out:expr),+
    ) => {{
        let (length, mut at) = ($length, 0);
        while at + LANES <= length {
            $(let $x = $L::read($slice.as_ptr().add(at));)*
            $(let $name = $expression;)*
            $($value.write($out.as_mut_ptr().add(at));)+
            at += LANES;
        }
        if at < length {
            $(let $x = $L::read_part(&$slice[at..length], 0.0);)*
            $(let $name = $expression;)*
            $($value.write_part(&mut $out[at..length]);)+
        }
    }};
}

/// `fold_vectors!(L, length, sum = start, (x = slice, …), fill, next, merge)`: four running values,
/// each over every fourth vector of the slices, merged in one order. `next` is an expression over `sum`
/// and the vectors read; lanes beyond the end are read as `fill`.
///
/// The caller vouches that every slice has `length` numbers.
macro_rules! fold_vectors {
    (
        $L:ident, $length:expr, $sum:ident = $start:expr, ($($x:ident = $slice:expr),*), $fill:expr,
        $next:expr, $merge:ident
    ) => {{
        let (length, mut at) = ($length, 0);
        let start = $start;
        let (mut first, mut second, mut third, mut fourth) = (start, start, start, start);
        while at + LANES <= length {
            $(let $x = $L::read($slice.as_ptr().add(at));)*
            let $sum = first;
            // What was added to last becomes the last in line.
            (first, second, third, fourth) = (second, third, fourth, $next);
            at += LANES;
        }
        if at < length {
            $(let $x = $L::read_part(&$slice[at..length], $fill);)*
            let $sum = first;
            first = $next;
        }
        first.$merge(second).$merge(third.$merge(fourth))
    }};
}

pub(super) use {each_vector, fold_vectors};
