//! A log of entries that all replicas read: each has a name and an end, and can be taken back.
//!
//! Kept in sorted sets with a version that is asked for, and not told by channels: whoever was cut off, or
//! starts later, learns of everything in the same way, and it is the same for Cluster and Sentinel.

use std::sync::Arc;

use ::redis::from_redis_value;

use super::Inner;
use super::link::Failed;
use super::script::{PUBLISH, SINCE, Script};

/// The log, in the store of budgets.
#[derive(Clone, Debug)]
pub struct SharedLog {
    pub(super) inner: Arc<Inner>,
    pub(super) name: &'static str,
}

/// How far a log is known. One that knows nothing asks with the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Which log: the store begins another one when it has forgotten the last.
    pub log: String,
    /// Its version.
    pub version: u64,
}

/// What was new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// To ask with the next time.
    pub known: Known,
    /// In their order; of another log than the known one, all.
    pub entries: Vec<String>,
}

impl SharedLog {
    /// Waits until the store answers.
    pub async fn established(&self) {
        self.inner.link.established().await;
    }

    /// Which connection it is, counted from 1; 0 while the store is away. Where it has changed, the store
    /// may be another one, which knows less.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.inner.link.generation()
    }

    /// Writes `entry` until `ends_at` (Unix seconds): one that begins with `+` unless there is one of this
    /// name, one that begins with `-` in its place. Whether the store has it now.
    pub async fn publish(&self, name: &str, entry: &str, ends_at: u64) -> bool {
        let arguments = [name.to_owned(), entry.to_owned(), ends_at.to_string()];
        let arguments = arguments.map(String::into_bytes);
        self.call(&PUBLISH, &arguments).await.is_some()
    }

    /// What came after `known`, up to 500 entries; none while the store is away.
    pub async fn since(&self, known: &Known) -> Option<News> {
        let arguments = [
            known.log.clone().into_bytes(),
            known.version.to_string().into_bytes(),
        ];
        let answer = self.call(&SINCE, &arguments).await?;
        let texts: Vec<String> = from_redis_value(answer).ok()?;
        let mut texts = texts.into_iter();
        let known = Known {
            log: texts.next()?,
            version: texts.next()?.parse().ok()?,
        };
        let entries = texts.collect();
        Some(News { known, entries })
    }

    async fn call(&self, script: &Script, arguments: &[Vec<u8>]) -> Option<::redis::Value> {
        let link = &self.inner.link;
        let mut live = link.live()?;
        let prefix = &self.inner.config.prefix;
        let key = |part| format!("{prefix}:{{{}}}:{part}", self.name);
        let keys = ["entries", "versions", "ends", "log"].map(key);
        let answer = link
            .call(&mut live, script, &keys, arguments, link.patience())
            .await;
        match answer {
            Ok(value) => Some(value),
            Err(Failed::Away) => None,
            Err(Failed::Refused(error)) => {
                tracing::error!(%error, log = self.name, "the shared store refuses a log");
                None
            }
        }
    }
}
