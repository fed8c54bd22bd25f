//! Sums that replicas add up together: buckets of time with figures by name, in the store of budgets.
//!
//! Guarantees: a batch is added whole or not at all, and once, however often it is told; nothing here
//! waits long, and a slow answer does not count against the connection that budgets are counted over.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Value, from_redis_value};
use tokio::time::timeout;

use super::script::{ADD, MOVE, READ, Script};
use super::{Inner, Operation};
use crate::clock::monotonic;

/// Figures of one name.
pub const FIGURES: usize = 9;

/// The largest that a figure can be: the store counts in doubles.
const MOST: u64 = (1 << 53) - 1;

/// For one call.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sums of one name, `behest:{name}:…`.
#[derive(Clone, Debug)]
pub struct SharedSums {
    pub(super) inner: Arc<Inner>,
    pub(super) name: &'static str,
}

/// What is added at once.
#[derive(Clone, Debug, Default)]
pub struct SumsBatch {
    /// Its number: each gateway's batches are told in their order, each until it is answered.
    pub number: u64,
    /// Where to.
    pub buckets: Vec<SumsBucket>,
}

/// What is added to one bucket.
#[derive(Clone, Debug)]
pub struct SumsBucket {
    /// The end of its key.
    pub key: String,
    /// It ends so long after it was last added to.
    pub expiry: Duration,
    /// Names and figures.
    pub rows: Vec<(String, [u64; FIGURES])>,
}

impl SharedSums {
    /// Waits until the store answers.
    pub async fn established(&self) {
        self.inner.link.established().await;
    }

    /// Adds `batch`, unless it was before; how many names each of its buckets has now. `None`: the store
    /// did not answer, and may have added it or not: it is to be told again.
    pub async fn add(&self, batch: &SumsBatch) -> Option<Vec<usize>> {
        let buckets = batch.buckets.iter();
        let names = std::iter::once("batches").chain(buckets.map(|bucket| bucket.key.as_str()));
        let keys: Vec<_> = names.map(|name| self.key(name)).collect();
        let mut arguments = vec![
            self.inner.instance.clone().into_bytes(),
            batch.number.to_string().into_bytes(),
        ];
        for bucket in &batch.buckets {
            let expiry = bucket.expiry.as_secs().max(1);
            let head = [expiry.to_string(), bucket.rows.len().to_string()];
            arguments.extend(head.map(String::into_bytes));
            for (name, figures) in &bucket.rows {
                arguments.push(name.clone().into_bytes());
                arguments.push(packed(figures).into_bytes());
            }
        }
        let start = monotonic();
        let answer = self.call(&ADD, &keys, &arguments).await;
        let took = start.elapsed();
        let observer = &self.inner.observer;
        observer.operation(Operation::Sync, answer.is_some(), took);
        from_redis_value(answer?).ok()
    }

    /// In the bucket of `key`, adds the first of each pair of names to the second; whether it did.
    pub async fn fold(&self, key: &str, pairs: &[(String, String)]) -> bool {
        let names = pairs.iter().flat_map(|(from, to)| [from, to]);
        let names: Vec<_> = names.map(|name| name.clone().into_bytes()).collect();
        self.call(&MOVE, &[self.key(key)], &names).await.is_some()
    }

    /// What the buckets of `keys` hold; `None`: the store does not answer.
    pub async fn read(&self, keys: &[String]) -> Option<Vec<Vec<(String, [u64; FIGURES])>>> {
        let keys: Vec<_> = keys.iter().map(|key| self.key(key)).collect();
        let answer = self.call(&READ, &keys, &[]).await?;
        let buckets: Vec<Vec<String>> = from_redis_value(answer).ok()?;
        let rows = |fields: Vec<String>| {
            let mut fields = fields.into_iter();
            let pairs = std::iter::from_fn(|| Some((fields.next()?, fields.next()?)));
            pairs.map(|(name, held)| (name, unpacked(&held))).collect()
        };
        Some(buckets.into_iter().map(rows).collect())
    }

    fn key(&self, key: &str) -> String {
        format!("{}:{{{}}}:{key}", self.inner.config.prefix, self.name)
    }

    async fn call(&self, script: &Script, keys: &[String], arguments: &[Vec<u8>]) -> Option<Value> {
        let mut live = self.inner.link.live()?;
        match timeout(PATIENCE, live.call(script, keys, arguments)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                tracing::debug!(%error, sums = self.name, "the shared store does not take sums");
                None
            }
            Err(_) => None,
        }
    }
}

fn packed(figures: &[u64; FIGURES]) -> String {
    let mut text = String::new();
    for figure in figures {
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = write!(text, "{gap}{}", (*figure).min(MOST));
    }
    text
}

fn unpacked(text: &str) -> [u64; FIGURES] {
    let mut figures = [0; FIGURES];
    for (figure, text) in figures.iter_mut().zip(text.split(' ')) {
        *figure = text.parse().unwrap_or(0);
    }
    figures
}
