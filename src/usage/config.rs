//! What configuration says of usage records (`[usage]`).

use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};

use super::sink::{FileConfig, WebhookConfig};
use crate::secret::Secret;

/// `[usage]`, checked.
#[derive(Clone, Debug)]
pub struct UsageConfig {
    /// How users stand in records and on pages; default: hashed.
    pub users: Users,
    /// Keys the hashes of users in records and sums, and those by which stores know them
    /// (`usage.hash_key`, 32 bytes or more); `None`: records have the access log's hash, and stores one
    /// whose key is no secret.
    pub hash_key: Option<Secret>,
    /// How long records and sums are kept; default 35 days.
    pub retention: Duration,
    /// The file of records; `None`: none is written.
    pub file: Option<FileConfig>,
    /// Who is sent records; `None`: nobody.
    pub webhook: Option<(Target, WebhookConfig)>,
    /// Who is told of thresholds (`budgets.webhook`); `None`: nobody.
    pub thresholds: Option<Target>,
}

/// How users stand in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Users {
    /// As the app calls them.
    Plain,
    /// As a keyed hash.
    #[default]
    Hashed,
    /// Not at all.
    None,
}

impl Users {
    /// As configuration writes it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Hashed => "hashed",
            Self::None => "none",
        }
    }
}

/// Where something is posted to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The receiver.
    pub url: Uri,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
}
