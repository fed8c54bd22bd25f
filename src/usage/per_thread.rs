//! One value for each of a few groups of threads, so that workers do not wait for each other.
//!
//! Guarantees: a thread always has the same one, and with at most sixteen threads nobody else's.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many there are; threads beyond that share.
const SHARDS: usize = 16;

/// A value for each group of threads.
pub(super) struct PerThread<T> {
    shards: [Shard<T>; SHARDS],
}

/// Apart in memory from its neighbours: two processors do not fight for one cache line.
#[derive(Default)]
#[repr(align(128))]
struct Shard<T>(Mutex<T>);

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

impl<T: Default> Default for PerThread<T> {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Shard::default());
        Self { shards }
    }
}

impl<T> PerThread<T> {
    /// This thread's value, and which one it is.
    pub(super) fn own(&self) -> (usize, MutexGuard<'_, T>) {
        let number = number();
        (number, self.at(number))
    }

    /// Value `number`, as [`PerThread::own`] said.
    pub(super) fn at(&self, number: usize) -> MutexGuard<'_, T> {
        let [first, ..] = &self.shards;
        let shard = self.shards.get(number).unwrap_or(first);
        shard.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each, one after the other; no two are held at once.
    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        (0..SHARDS).map(|number| self.at(number))
    }
}

fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let fresh = || NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    // While a thread ends its locals may be gone: any shard is right.
    let own = NUMBER.try_with(|number| {
        let own = number.get().unwrap_or_else(fresh);
        number.set(Some(own));
        own
    });
    own.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_own_and_all_are_found() {
        let counts = PerThread::<u64>::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let (first, mut count) = counts.own();
                    *count += 1;
                    drop(count);
                    let (second, mut count) = counts.own();
                    *count += 1;
                    assert_eq!(first, second);
                });
            }
        });
        assert_eq!(counts.each().map(|count| *count).sum::<u64>(), 40);
    }
}
