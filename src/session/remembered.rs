//! What was found out about a session, kept until there is too much of it.
//!
//! Guarantees: at most so many entries and so many bytes, whoever fills it; whether an entry still
//! holds is for its owner to say, and to keep within it.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::fingerprint::Fingerprint;

/// Values by the fingerprint of what they were found from; to be shared between threads.
pub(super) struct Remembered<V> {
    cache: Cache<Fingerprint, Entry<V>, ByWeight>,
    least: u64,
}

/// What an entry takes beside the value's own bytes: the key, the weight, and the map's own share.
const OVERHEAD: u64 = 128;

#[derive(Clone)]
struct Entry<V> {
    value: V,
    weight: u64,
}

#[derive(Clone)]
struct ByWeight;

impl<V> Weighter<Fingerprint, Entry<V>> for ByWeight {
    fn weight(&self, _key: &Fingerprint, entry: &Entry<V>) -> u64 {
        entry.weight
    }
}

impl<V: Clone> Remembered<V> {
    /// Keeps at most `entries` values, of at most `bytes` bytes in sum.
    pub(super) fn new(entries: usize, bytes: usize) -> Self {
        Self {
            cache: Cache::with_weighter(entries, bytes as u64, ByWeight),
            // No entry weighs less than its share, so that the bytes bound the entries too.
            least: (bytes / entries.max(1)) as u64,
        }
    }

    /// What is remembered under `key`.
    pub(super) fn get(&self, key: &Fingerprint) -> Option<V> {
        self.cache.get(key).map(|entry| entry.value)
    }

    /// Remembers `value`, which holds `bytes` bytes, unless it is too large for that; what has not
    /// been asked for in a long time may be forgotten in its place.
    pub(super) fn insert(&self, key: Fingerprint, value: V, bytes: usize) {
        let weight = (bytes as u64 + OVERHEAD).max(self.least);
        self.cache.insert(key, Entry { value, weight });
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::Fingerprints;
    use super::*;

    #[test]
    fn what_was_inserted_last_is_found() {
        let names = Fingerprints::new().unwrap();
        let remembered = Remembered::new(100, 100_000);
        let name = names.of(&[b"one"]);
        assert_eq!(remembered.get(&name), None);
        remembered.insert(name, 1, 8);
        remembered.insert(name, 2, 8);
        assert_eq!(remembered.get(&name), Some(2));
        assert_eq!(remembered.get(&names.of(&[b"two"])), None);
    }

    #[test]
    fn neither_entries_nor_bytes_go_over_their_bounds() {
        let names = Fingerprints::new().unwrap();
        for (bytes, most) in [(0, 1_000), (20_000, 50)] {
            let remembered = Remembered::new(1_000, 1_000_000);
            for at in 0..5_000_u32 {
                remembered.insert(names.of(&[&at.to_be_bytes()]), at, bytes);
            }
            let kept = remembered.cache.len();
            assert!((most / 4..=most).contains(&kept), "{kept} of {bytes} bytes");
            assert!(remembered.cache.weight() <= 1_000_000);
        }
    }

    #[test]
    fn what_is_larger_than_all_may_be_is_not_kept() {
        let names = Fingerprints::new().unwrap();
        let remembered = Remembered::new(10, 10_000);
        remembered.insert(names.of(&[b"large"]), (), 20_000);
        assert_eq!(remembered.cache.len(), 0);
    }
}
