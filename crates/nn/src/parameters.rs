//! What a model can learn: names, shapes and identities.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{Error, Result};

/// The identity of a parameter. Whoever shares an identity (a tied head, say) shares one gradient and
/// one state of the optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId {
    index: usize,
    stream: usize,
    is_frozen: bool,
}

impl ParameterId {
    /// Its place among the parameters of the model.
    pub fn index(self) -> usize {
        self.index
    }

    /// Whether it stays as it is: backwards spend nothing on it, and no store has room for its gradient.
    pub fn is_frozen(self) -> bool {
        self.is_frozen
    }

    /// The number that its noise is keyed by: its place among those that have noise at all, so that a
    /// method which needs parameters without starts from the same weights as one that does not.
    pub(crate) fn stream(self) -> usize {
        self.stream
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    id: ParameterId,
    name: String,
    shape: Vec<usize>,
    range: Range<usize>,
}

/// The parameters of a model, in the order in which its layers declared them.
///
/// ```
/// use nn::Parameters;
///
/// let mut parameters = Parameters::new();
/// let weight = parameters.declare("head.weight", &[3, 2])?;
/// let bias = parameters.declare("head.bias", &[3])?;
/// assert_eq!(parameters.name(weight), "head.weight");
/// assert_eq!(parameters.range(bias), 6..9);
/// assert_eq!(parameters.numbers(), 9);
/// # Ok::<(), nn::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    entries: Vec<Entry>,
    by_name: HashMap<String, ParameterId>,
    noiseless: usize,
    is_freezing: bool,
}

impl Parameters {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is declared from now on is frozen.
    pub fn freeze(&mut self) {
        self.is_freezing = true;
    }

    /// What is declared from now on can learn, as from the start.
    pub fn thaw(&mut self) {
        self.is_freezing = false;
    }

    /// The same parameters, all of them frozen. Whoever keeps identities of these is told those of the copy by
    /// [`Parameters::current`].
    #[must_use]
    pub fn frozen(&self) -> Self {
        let mut frozen = self.clone();
        for Entry { id, range, .. } in &mut frozen.entries {
            id.is_frozen = true;
            *range = 0..0;
        }
        frozen.by_name.values_mut().for_each(|id| id.is_frozen = true);
        frozen
    }

    /// The identity that a parameter has here, given that which it has in a copy with other parts frozen.
    ///
    /// # Panics
    /// For an identity of other parameters.
    pub fn current(&self, id: ParameterId) -> ParameterId {
        self.entries[id.index].id
    }

    /// Adds a parameter; one that is frozen has a name and a shape, and an empty range.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a name that is taken, or a shape beyond the address space.
    pub fn declare(&mut self, name: impl Into<String>, shape: &[usize]) -> Result<ParameterId> {
        let name = name.into();
        if self.by_name.contains_key(&name) {
            return Err(Error::Parameter { name, problem: "is declared twice" });
        }
        let start = self.numbers();
        let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
        let Some(end) = count
            .and_then(|count| start.checked_add(count))
            .filter(|&end| end <= isize::MAX as usize / size_of::<f64>())
        else {
            return Err(Error::Parameter { name, problem: "does not fit the address space" });
        };
        let id = self.next();
        let range = if id.is_frozen { start..start } else { start..end };
        self.by_name.insert(name.clone(), id);
        self.entries.push(Entry { id, name, shape: shape.to_vec(), range });
        Ok(id)
    }

    /// Adds a parameter for which nothing is drawn at random: what the levels of a quantiser are learned
    /// by, or a place for gradients that belong to other parameters.
    ///
    /// # Errors
    /// As [`Parameters::declare`].
    pub(crate) fn declare_noiseless(
        &mut self,
        name: String,
        shape: &[usize],
    ) -> Result<ParameterId> {
        let id = self.declare(name, shape)?;
        self.noiseless += 1;
        Ok(id)
    }

    /// The identity that the next declaration gets.
    pub fn next(&self) -> ParameterId {
        let index = self.entries.len();
        ParameterId { index, stream: index - self.noiseless, is_frozen: self.is_freezing }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Numbers in all of them together that are not frozen.
    pub fn numbers(&self) -> usize {
        self.entries.last().map_or(0, |entry| entry.range.end)
    }

    /// All identities, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = ParameterId> + use<> {
        self.entries.iter().map(|entry| entry.id).collect::<Vec<_>>().into_iter()
    }

    /// The identity behind a name.
    pub fn find(&self, name: &str) -> Option<ParameterId> {
        self.by_name.get(name).copied()
    }

    /// The name of a parameter.
    ///
    /// # Panics
    /// For an identity of other parameters, as are the next two.
    pub fn name(&self, id: ParameterId) -> &str {
        &self.entries[id.index].name
    }

    /// Its shape, rows first.
    pub fn shape(&self, id: ParameterId) -> &[usize] {
        &self.entries[id.index].shape
    }

    /// Where its numbers lie in a flat store such as [`Gradients`](crate::Gradients).
    pub fn range(&self, id: ParameterId) -> Range<usize> {
        self.entries[id.index].range.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_declared_once_and_found_again() {
        let mut parameters = Parameters::new();
        let id = parameters.declare("a", &[2, 3]).unwrap();
        assert_eq!(parameters.find("a"), Some(id));
        assert_eq!(parameters.find("b"), None);
        assert_eq!(parameters.shape(id), [2, 3]);
        let error = parameters.declare("a", &[1]).unwrap_err();
        assert_eq!(error.to_string(), "parameter \"a\" is declared twice");
        assert_eq!(parameters.len(), 1);
    }

    #[test]
    fn what_is_frozen_has_a_name_and_a_shape_but_no_room_for_a_gradient() {
        let mut parameters = Parameters::new();
        let first = parameters.declare("a", &[2]).unwrap();
        parameters.freeze();
        let frozen = parameters.declare("b", &[5, 7]).unwrap();
        parameters.thaw();
        let last = parameters.declare("c", &[3]).unwrap();
        assert_eq!([first, frozen, last].map(ParameterId::is_frozen), [false, true, false]);
        assert_eq!([first, frozen, last].map(|id| parameters.range(id)), [0..2, 2..2, 2..5]);
        assert_eq!((parameters.shape(frozen), parameters.numbers()), (&[5, 7][..], 5));
    }

    #[test]
    fn a_frozen_copy_has_the_same_names_and_room_only_for_what_is_declared_later() {
        let mut parameters = Parameters::new();
        let own = parameters.declare("a", &[2, 3]).unwrap();
        let mut frozen = parameters.frozen();
        assert_eq!((frozen.numbers(), frozen.shape(own)), (0, &[2, 3][..]));
        let id = frozen.current(own);
        assert!(id.is_frozen() && !own.is_frozen());
        assert_eq!((frozen.find("a"), parameters.current(id)), (Some(id), own));
        let later = frozen.declare("b", &[5]).unwrap();
        assert_eq!((frozen.range(later), later.is_frozen(), later.index()), (0..5, false, 1));
    }

    #[test]
    fn a_shape_beyond_the_address_space_is_refused() {
        let mut parameters = Parameters::new();
        for shape in [&[usize::MAX, 2][..], &[usize::MAX / 2]] {
            assert!(matches!(parameters.declare("a", shape), Err(Error::Parameter { .. })));
        }
    }
}
