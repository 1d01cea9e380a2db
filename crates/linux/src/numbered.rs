//! Tasks and processes by number: read where they lie, without a search.

use core::marker::PhantomData;
use core::ops::Index;

use crate::ids::{ProcessId, TaskId};

/// Numbers in one row of a table.
const ROW: usize = 64;

/// One row of a table. Values have boxes of their own, so that a row is small whatever they are.
type Row<V> = [Option<Box<V>>; ROW];

/// What a [`Numbered`] is indexed by.
pub(crate) trait Key: Copy {
    /// The key with this number.
    fn from_number(number: u32) -> Self;
    /// Its number.
    fn to_number(self) -> u32;
}

impl Key for TaskId {
    fn from_number(number: u32) -> Self {
        Self(number)
    }
    fn to_number(self) -> u32 {
        self.0
    }
}

impl Key for ProcessId {
    fn from_number(number: u32) -> Self {
        Self(number)
    }
    fn to_number(self) -> u32 {
        self.0
    }
}

/// Values by number, in order of the numbers. Finding one takes two steps into arrays. The first of
/// these has a place for every 64 numbers up to the highest that was ever used, so numbers are to be
/// small: the kernel's end at 32,767.
#[derive(Clone)]
pub(crate) struct Numbered<K, V> {
    rows: Vec<Option<Box<Row<V>>>>,
    len: usize,
    keys: PhantomData<fn(K)>,
}

impl<K, V> Default for Numbered<K, V> {
    fn default() -> Self {
        Self { rows: Vec::new(), len: 0, keys: PhantomData }
    }
}

impl<K: Key, V> Numbered<K, V> {
    /// Adds a value; one that had its number is gone.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let (row, column) = position(key);
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, || None);
        }
        if let Some(row) = self.rows.get_mut(row) {
            let row = row.get_or_insert_with(|| Box::new([const { None }; ROW]));
            self.len += usize::from(row[column].replace(Box::new(value)).is_none());
        }
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (row, column) = position(*key);
        let value = self.rows.get_mut(row)?.as_mut()?[column].take()?;
        self.len -= 1;
        Some(*value)
    }

    /// The value of a number.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (row, column) = position(*key);
        self.rows.get(row)?.as_ref()?[column].as_deref()
    }

    /// The value of a number, to change.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (row, column) = position(*key);
        self.rows.get_mut(row)?.as_mut()?[column].as_deref_mut()
    }

    /// Whether a value has this number.
    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// All values with their keys, in order of the numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let rows = self.rows.iter().enumerate().filter_map(|(row, values)| Some((row, values.as_ref()?)));
        rows.flat_map(|(row, values)| {
            values.iter().enumerate().filter_map(move |(column, value)| {
                Some((K::from_number((row * ROW + column) as u32), value.as_deref()?))
            })
        })
    }

    /// The keys, in order of the numbers.
    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in order of the numbers.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

/// The row and column of a key.
fn position(key: impl Key) -> (usize, usize) {
    let number = key.to_number() as usize;
    (number / ROW, number % ROW)
}

impl<K: Key, V> Index<&K> for Numbered<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        match self.get(key) {
            Some(value) => value,
            None => unreachable!("nothing has the number {}", key.to_number()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Numbered;
    use crate::ids::TaskId;

    #[test]
    fn values_come_in_order_and_go_one_by_one() {
        let mut numbered = Numbered::<TaskId, &str>::default();
        for (number, value) in [(32_767, "last"), (3, "three"), (64, "row"), (3, "again")] {
            numbered.insert(TaskId(number), value);
        }
        let all = |numbered: &Numbered<TaskId, &'static str>| {
            numbered.iter().map(|(key, value)| (key.0, *value)).collect::<Vec<_>>()
        };
        assert_eq!(all(&numbered), [(3, "again"), (64, "row"), (32_767, "last")]);
        assert_eq!((numbered.remove(&TaskId(64)), numbered.remove(&TaskId(64))), (Some("row"), None));
        // Numbers that a guest makes up.
        assert_eq!((numbered.get(&TaskId(4)), numbered.get(&TaskId(u32::MAX))), (None, None));
        assert_eq!(numbered.remove(&TaskId(u32::MAX)), None);
        assert_eq!((all(&numbered).len(), numbered.len()), (2, 2));
    }
}
