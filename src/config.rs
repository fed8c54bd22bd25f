//! The configuration: command line over environment over file over default.
mod model;
mod url;

pub use model::{
    AdminConfig, Config, CrossOriginConfig, DEFAULT_ROUTES, LimitsConfig, LogFormat, RoutePattern,
    RoutesConfig, ServerConfig, TelemetryConfig, TlsFiles, UpstreamConfig,
};
pub use url::{UpstreamUrl, check_origin};

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a configuration comes from. Nothing else is read but the files that it names.
#[derive(Default)]
pub struct Sources {
    /// Key path (`server.listen`) to the text given on the command line.
    pub cli: BTreeMap<String, String>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The TOML file; else `GATEWAY_CONFIG` of `env` names it, else there is none.
    pub file: Option<PathBuf>,
}

/// A configuration that holds, and what else its making showed.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every key: its value as it may be shown, and where it came from.
    pub provenance: Vec<Setting>,
    /// What works, but probably not as meant.
    pub warnings: Vec<String>,
    /// Every file that was read, for noticing that one has changed.
    pub watched_files: Vec<WatchedFile>,
}

/// One key and its value as it may be shown.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Path of the key, e.g. `upstream.idle_timeout`.
    pub key: String,
}

/// A file that the configuration was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its content when it was read.
    pub hash: [u8; 32],
}
