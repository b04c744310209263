//! What an optimiser keeps from step to step, and how a checkpoint takes and gives it.

use ternary_core::Real;

/// Some arrays and a time for each tensor.
///
/// A time counts the updates that this tensor had, so that one which is unfrozen late is corrected as one at its
/// beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct State<T = f32> {
    tensors: Vec<TensorState<T>>,
}

#[derive(Debug, Clone, PartialEq)]
struct TensorState<T> {
    name: String,
    time: u32,
    names: &'static [&'static str],
    arrays: Vec<Vec<T>>,
}

/// An array of the state, under a name that no other one has.
#[derive(Debug, Clone, PartialEq)]
pub struct StateArray<'a, T = f32> {
    /// The tensor and what is kept of it: `head.weight/mean`.
    pub name: String,
    /// One number for each weight.
    pub values: &'a [T],
}

/// A state of another model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Times of more or fewer tensors.
    #[error(
        "state of the optimiser: expected {expected} times, one for each tensor, found {found}"
    )]
    Times {
        /// Tensors.
        expected: usize,
        /// Times.
        found: usize,
    },
}

impl<T: Real> State<T> {
    /// Zeros for tensors, given by name, numbers, and what is kept of them.
    pub(super) fn new(
        tensors: impl IntoIterator<Item = (String, usize, &'static [&'static str])>,
    ) -> Self {
        let zeros =
            |(name, numbers, names): (String, usize, &'static [&'static str])| TensorState {
                name,
                time: 0,
                names,
                arrays: names.iter().map(|_| vec![T::ZERO; numbers]).collect(),
            };
        Self { tensors: tensors.into_iter().map(zeros).collect() }
    }

    /// Moves a tensor on to its next update: its time, and the N arrays that are kept of it.
    pub(super) fn advance<const N: usize>(&mut self, tensor: usize) -> (u32, [&mut [T]; N]) {
        let TensorState { time, arrays, .. } = &mut self.tensors[tensor];
        // A run of four thousand million steps would stand still in its corrections, which are 1 by then.
        *time = time.saturating_add(1);
        let mut arrays = arrays.iter_mut();
        let arrays = std::array::from_fn(|_| {
            &mut arrays.next().expect("as many arrays as this optimiser declared")[..]
        });
        (*time, arrays)
    }

    /// The updates that each tensor had.
    pub fn times(&self) -> Vec<u32> {
        self.tensors.iter().map(|tensor| tensor.time).collect()
    }

    /// Every array, in a fixed order; none for tensors without numbers, which are frozen.
    pub fn arrays(&self) -> Vec<StateArray<'_, T>> {
        let of = |tensor: &'_ TensorState<T>| -> Vec<_> {
            let names = tensor.names.iter().map(|what| format!("{}/{what}", tensor.name));
            names.collect()
        };
        let arrays =
            self.tensors.iter().flat_map(|tensor| of(tensor).into_iter().zip(&tensor.arrays));
        arrays
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| StateArray { name, values })
            .collect()
    }

    /// Takes what [`times`](Self::times) gave; `read` gets the name of every one of [`arrays`](Self::arrays), in their
    /// order, and room for its numbers.
    ///
    /// # Errors
    /// [`StateError`] for times of other tensors, before anything is read; the first of `read`, after which nothing
    /// more is read. The state is not to be used then.
    pub fn restore<E: From<StateError>>(
        &mut self,
        times: &[u32],
        read: &mut impl FnMut(&str, &mut [T]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (expected, found) = (self.tensors.len(), times.len());
        if found != expected {
            return Err(StateError::Times { expected, found }.into());
        }
        for (TensorState { name, time, names, arrays }, &restored) in
            self.tensors.iter_mut().zip(times)
        {
            *time = restored;
            for (what, values) in names.iter().zip(arrays) {
                if !values.is_empty() {
                    read(&format!("{name}/{what}"), values)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State::new([
            ("a".to_owned(), 2, &["mean", "square"][..]),
            ("frozen".to_owned(), 0, &["mean", "square"]),
            ("b".to_owned(), 3, &["momentum"]),
        ])
    }

    #[test]
    fn what_was_taken_is_given_back_by_name() {
        let mut state = state();
        let (time, [mean, _]) = state.advance::<2>(0);
        assert_eq!(time, 1);
        mean[1] = 4.0;
        state.advance::<1>(2).1[0][2] = 5.0;
        assert_eq!(state.times(), [1, 0, 1]);
        let arrays = state.arrays();
        let names: Vec<_> = arrays.iter().map(|array| &*array.name).collect();
        assert_eq!(names, ["a/mean", "a/square", "b/momentum"]);
        let mut fresh = super::tests::state();
        let read = &mut |name: &str, room: &mut [f32]| {
            room.copy_from_slice(arrays.iter().find(|array| array.name == name).unwrap().values);
            Ok::<_, StateError>(())
        };
        fresh.restore(&state.times(), read).unwrap();
        assert_eq!(fresh, state);
    }

    #[test]
    fn times_of_other_tensors_and_what_cannot_be_read_are_errors() {
        let mut reads = 0;
        let read = &mut |_: &str, _: &mut [f32]| {
            reads += 1;
            Err(StateError::Times { expected: 0, found: 9 })
        };
        let error = state().restore(&[1, 2], read).unwrap_err().to_string();
        assert!(error.contains("expected 3 times, one for each tensor, found 2"), "{error}");
        let error = state().restore(&[1, 2, 3], read).unwrap_err().to_string();
        assert!(error.contains("found 9"), "{error}");
        assert_eq!(reads, 1);
    }
}
