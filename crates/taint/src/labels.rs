//! Sets of labels, each kept once and named by sixteen bits.

use std::collections::HashMap;

use crate::Label;

/// The number of a set of labels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Set(u16);

impl Set {
    /// No label.
    pub(crate) const EMPTY: Self = Self(0);
    /// Any label: what comes when there are no numbers left for more sets.
    pub(crate) const ANY: Self = Self(u16::MAX);

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// All sets that there have been.
#[derive(Debug)]
pub(crate) struct Sets {
    /// The labels of each, in ascending order. The first is empty.
    sets: Vec<Box<[Label]>>,
    numbers: HashMap<Box<[Label]>, Set>,
    unions: HashMap<(Set, Set), Set>,
}

impl Sets {
    pub(crate) fn new() -> Self {
        Self { sets: vec![Box::default()], numbers: HashMap::new(), unions: HashMap::new() }
    }

    /// The set of one label.
    pub(crate) fn of(&mut self, label: Label) -> Set {
        self.number(Box::new([label]))
    }

    fn number(&mut self, labels: Box<[Label]>) -> Set {
        if let Some(set) = self.numbers.get(&labels) {
            return *set;
        }
        if self.sets.len() >= usize::from(u16::MAX) {
            return Set::ANY;
        }
        let set = Set(self.sets.len() as u16);
        self.sets.push(labels.clone());
        self.numbers.insert(labels, set);
        set
    }

    /// All labels of both.
    pub(crate) fn union(&mut self, first: Set, second: Set) -> Set {
        let (low, high) = (first.min(second), first.max(second));
        if low.is_empty() || low == high || high == Set::ANY {
            return high;
        }
        if let Some(union) = self.unions.get(&(low, high)) {
            return *union;
        }
        let mut labels = [self.labels(low), self.labels(high)].concat();
        labels.sort_unstable();
        labels.dedup();
        let union = self.number(labels.into());
        self.unions.insert((low, high), union);
        union
    }

    /// The labels of a set; none for [`Set::ANY`].
    pub(crate) fn labels(&self, set: Set) -> &[Label] {
        self.sets.get(usize::from(set.0)).map_or(&[], |labels| labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_kept_once_and_run_out_quietly() {
        let mut sets = Sets::new();
        let [one, two] = [1, 2].map(|number| sets.of(Label(number)));
        let both = sets.union(one, two);
        assert_eq!((sets.union(two, one), sets.union(both, one)), (both, both));
        assert_eq!(sets.labels(both), [Label(1), Label(2)]);
        assert_eq!(sets.union(Set::EMPTY, one), one);
        for number in 0..70_000 {
            sets.of(Label(number));
        }
        assert_eq!(sets.of(Label(69_999)), Set::ANY);
        assert_eq!(sets.union(one, Set::ANY), Set::ANY);
    }
}
