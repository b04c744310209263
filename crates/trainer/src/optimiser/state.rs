//! What an optimiser keeps from step to step, and how a checkpoint takes and gives it.

/// Some arrays and a time for each tensor.
///
/// A time counts the updates that this tensor had, so that one which is unfrozen late is corrected as one at its
/// beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    tensors: Vec<TensorState>,
}

#[derive(Debug, Clone, PartialEq)]
struct TensorState {
    name: String,
    time: u32,
    names: &'static [&'static str],
    arrays: Vec<Vec<f32>>,
}

/// An array of the state, under a name that no other one has.
#[derive(Debug, Clone, PartialEq)]
pub struct StateArray<'a> {
    /// The tensor and what is kept of it: `head.weight/mean`.
    pub name: String,
    /// One number for each weight.
    pub values: &'a [f32],
}

/// A state of another optimiser, or of another model.
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
    /// More or fewer arrays.
    #[error("state of the optimiser: expected {expected} arrays, found {found}")]
    Arrays {
        /// Arrays it keeps.
        expected: usize,
        /// Arrays given.
        found: usize,
    },
    /// An array that is not there.
    #[error("state of the optimiser: expected an array {name:?}, found none")]
    Missing {
        /// Its name.
        name: String,
    },
    /// An array of another length.
    #[error("state of the optimiser: {name:?}: expected {expected} numbers, found {found}")]
    Length {
        /// Its name.
        name: String,
        /// Numbers it has.
        expected: usize,
        /// Numbers given.
        found: usize,
    },
}

impl State {
    /// Zeros for tensors, given by name, numbers, and what is kept of them.
    pub(super) fn new(
        tensors: impl IntoIterator<Item = (String, usize, &'static [&'static str])>,
    ) -> Self {
        let zeros =
            |(name, numbers, names): (String, usize, &'static [&'static str])| TensorState {
                name,
                time: 0,
                names,
                arrays: names.iter().map(|_| vec![0.0; numbers]).collect(),
            };
        Self { tensors: tensors.into_iter().map(zeros).collect() }
    }

    /// Moves a tensor on to its next update: its time, and the N arrays that are kept of it.
    pub(super) fn advance<const N: usize>(&mut self, tensor: usize) -> (u32, [&mut [f32]; N]) {
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
    pub fn arrays(&self) -> Vec<StateArray<'_>> {
        let of = |tensor: &'_ TensorState| -> Vec<_> {
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

    /// Takes what [`times`](Self::times) and [`arrays`](Self::arrays) gave, the arrays in any order.
    ///
    /// # Errors
    /// [`StateError`] for a state of other tensors; then nothing was changed.
    pub fn restore(&mut self, times: &[u32], arrays: &[StateArray<'_>]) -> Result<(), StateError> {
        if times.len() != self.tensors.len() {
            let expected = self.tensors.len();
            return Err(StateError::Times { expected, found: times.len() });
        }
        let given: std::collections::HashMap<&str, &[f32]> =
            arrays.iter().map(|array| (&*array.name, array.values)).collect();
        let mut restored = Vec::new();
        let own = self.arrays();
        if own.len() != arrays.len() {
            return Err(StateError::Arrays { expected: own.len(), found: arrays.len() });
        }
        for StateArray { name, values } in own {
            let Some(&found) = given.get(&*name) else {
                return Err(StateError::Missing { name });
            };
            if found.len() != values.len() {
                let (expected, found) = (values.len(), found.len());
                return Err(StateError::Length { name, expected, found });
            }
            restored.push(found);
        }
        let kept = self.tensors.iter_mut().flat_map(|tensor| &mut tensor.arrays);
        for (kept, values) in kept.filter(|kept| !kept.is_empty()).zip(restored) {
            kept.copy_from_slice(values);
        }
        for (tensor, &time) in self.tensors.iter_mut().zip(times) {
            tensor.time = time;
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
    fn what_was_taken_is_given_back_in_any_order() {
        let mut state = state();
        let (time, [mean, _]) = state.advance::<2>(0);
        assert_eq!(time, 1);
        mean[1] = 4.0;
        state.advance::<1>(2).1[0][2] = 5.0;
        assert_eq!(state.times(), [1, 0, 1]);
        let mut arrays = state.arrays();
        let names: Vec<_> = arrays.iter().map(|array| array.name.clone()).collect();
        assert_eq!(names, ["a/mean", "a/square", "b/momentum"]);
        arrays.reverse();
        let mut fresh = super::tests::state();
        fresh.restore(&state.times(), &arrays).unwrap();
        assert_eq!(fresh, state);
    }

    #[test]
    fn a_state_of_other_tensors_is_refused_and_changes_nothing() {
        let mut other = state();
        other.advance::<2>(0).1[0][0] = 7.0;
        let (times, arrays) = (other.times(), other.arrays());
        let mut state = state();
        let fresh = state.clone();
        let with = |index: usize, array: StateArray<'static>| {
            let mut arrays = arrays.clone();
            arrays[index] = array;
            arrays
        };
        let renamed = with(0, StateArray { name: "c/mean".into(), values: &[0.0; 2] });
        let longer = with(1, StateArray { name: "a/square".into(), values: &[0.0; 5] });
        for (times, arrays, message) in [
            (&times[1..], &arrays[..], "expected 3 times, one for each tensor, found 2"),
            (&times, &arrays[1..], "expected 3 arrays, found 2"),
            (&times, &renamed, "expected an array \"a/mean\", found none"),
            (&times, &longer, "\"a/square\": expected 2 numbers, found 5"),
        ] {
            let error = state.restore(times, arrays).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert_eq!(state, fresh);
        }
    }
}
