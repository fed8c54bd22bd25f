//! What configuration says of usage records (`[usage]`).

use std::time::Duration;

use http::Uri;

use super::sink::{FileConfig, WebhookConfig};
use crate::secret::Secret;

/// `[usage]`, checked.
#[derive(Clone, Debug)]
pub struct UsageConfig {
    /// How users stand in records and on pages; default: hashed.
    pub users: Users,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Users {
    /// As the app calls them.
    Plain,
    /// As a keyed hash, the same as in the access log.
    #[default]
    Hashed,
    /// Not at all.
    None,
}

/// Where something is posted to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The receiver.
    pub url: Uri,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
}
