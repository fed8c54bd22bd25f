//! The configuration: command line over environment over file over default.
//!
//! Guarantees: a [`Config`] has been checked whole; every problem is reported at once, each with its
//! key and the fix; no secret is in any text that is made here. This is the only place that reads the
//! environment, and only when [`process_environment`] is called.
//!
//! | file | what it does |
//! |---|---|
//! | `model`, `url` | the values |
//! | `sources`, `fields`, `values`, `bounds`, `secrets`, `unknown` | how a key is read |
//! | `sections`, `admin`, `app`, `headers`, `upstream`, `mint`, `sessions`, `metering`, `budgets`, `store`, `usage` | which keys there are |
//! | `warnings` | what works, but is probably not meant |
//! | `problem`, `report`, `reference`, `reload` | what people see |

mod admin;
mod app;
mod bounds;
mod budgets;
mod compat;
mod fields;
mod headers;
mod metering;
mod mint;
mod model;
mod problem;
#[cfg(test)]
mod reference;
mod rehearsal;
mod reload;
mod report;
mod secrets;
mod sections;
mod sessions;
mod sources;
mod store;
#[cfg(test)]
mod tests;
mod unknown;
mod upstream;
mod url;
mod usage;
mod values;
mod warnings;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use fields::Setting;
pub use model::{
    AdminConfig, CompatConfig, Config, LogFormat, OutboundConfig, RoutesConfig, ServerConfig,
    TelemetryConfig, TlsFiles, UpstreamConfig,
};
pub use problem::{ConfigProblems, Problem};
pub use reload::restart_only_changes;
pub use report::report;
pub use secrets::WatchedFile;
pub use sources::{Origin, Sources, arguments_hold_key, process_environment};
pub use url::{UpstreamUrl, check_origin};

use toml::Spanned;
use toml::de::DeTable;

use crate::session::SessionConfig;
use fields::Fields;
use sources::Layers;

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

/// The part of a configuration that opens sessions.
#[derive(Debug)]
pub struct LoadedSession {
    /// `[session]` and `[session_id]`.
    pub session: SessionConfig,
    /// How issuers of keys, and the app, are called.
    pub outbound: OutboundConfig,
    /// The app's own origins, the first of which is what the app is told.
    pub public_origins: Vec<String>,
    /// What works, but probably not as meant.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads, checks and resolves everything.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load(sources: Sources) -> Result<Loaded, ConfigProblems> {
        let mut fields = open(sources)?;
        let server = sections::server(&mut fields);
        let admin = admin::admin(&mut fields, server.listen);
        let upstream = upstream::upstream(&mut fields);
        let app = app::app(&mut fields, server.listen);
        let compat = compat::compat(&mut fields);
        let mint = mint::mint(&mut fields);
        let session = sessions::session(&mut fields, false);
        let cache = mint::cache(&mut fields, session.session_id.mix_client);
        let cross_origin = sections::cross_origin(&mut fields);
        let limits = sections::limits(&mut fields);
        let routes = sections::routes(&mut fields);
        let telemetry = sections::telemetry(&mut fields);
        let metering = metering::metering(&mut fields);
        let budgets = budgets::budgets(&mut fields);
        let store = store::store(&mut fields, &budgets.thresholds);
        let usage = usage::usage(&mut fields);
        fields.refuse_unknown(None);
        fields.refuse_shown_secrets();
        let (Some(upstream), Some(mint), Some(metering), true) =
            (upstream, mint, metering, fields.problems.is_empty())
        else {
            return Err(problems(fields));
        };
        let config = Self {
            server,
            admin,
            limits,
            cross_origin,
            routes,
            upstream,
            app,
            compat,
            session,
            mint,
            cache,
            telemetry,
            metering,
            budgets,
            store,
            usage,
        };
        fields.warnings.extend(warnings::of(&config));
        Ok(Loaded {
            config,
            provenance: fields.settings,
            warnings: fields.warnings,
            watched_files: fields.watched,
        })
    }

    /// Reads only where health and metrics are served: for `health`, which must be right while the
    /// rest of the file is being edited. Of a file that does not hold, what can be read counts; one
    /// that cannot be read at all is as none; no file that it names is opened.
    ///
    /// # Errors
    /// An address that is none, in one line.
    pub fn load_admin_address(sources: Sources) -> Result<SocketAddr, String> {
        let Sources { cli, env, file } = sources;
        let file = file.or_else(|| Some(PathBuf::from(env.get("GATEWAY_CONFIG")?)));
        let content = file.and_then(|path| secrets::read_bounded(&path).ok());
        let table = salvage_admin_address(&content.unwrap_or_default());
        let mut fields = Fields::new(Layers::new(cli, env, table));
        let address = admin::listen(&mut fields);
        match fields.problems.first() {
            None => Ok(address),
            Some(Problem { key, text }) => Err(format!("{key} {text}")),
        }
    }

    /// Reads only what opens sessions: for `inspect`, which needs no Behest key.
    ///
    /// # Errors
    /// Every problem with `[session]` and `[session_id]`.
    pub fn load_session(sources: Sources) -> Result<LoadedSession, ConfigProblems> {
        let mut fields = open(sources)?;
        let session = sessions::session(&mut fields, true);
        let outbound = upstream::outbound(&mut fields);
        let public_origins = sections::cross_origin(&mut fields).public_origins;
        fields.refuse_unknown(Some(&["session", "session_id"]));
        fields.refuse_shown_secrets();
        if fields.problems.is_empty() {
            let warnings = fields.warnings;
            return Ok(LoadedSession {
                session,
                outbound,
                public_origins,
                warnings,
            });
        }
        Err(problems(fields))
    }
}

fn problems(fields: Fields) -> ConfigProblems {
    ConfigProblems {
        problems: fields.problems,
        warnings: fields.warnings,
        watched_files: fields.watched,
    }
}

/// The sources with the file parsed. A file that cannot be parsed is the only problem: everything
/// that it sets would seem to be missing.
fn open(sources: Sources) -> Result<Fields, ConfigProblems> {
    let Sources { cli, env, file } = sources;
    let named_by = if file.is_some() {
        "--config"
    } else {
        "GATEWAY_CONFIG"
    };
    let named = env.get("GATEWAY_CONFIG").filter(|path| !path.is_empty());
    let Some(path) = file.or_else(|| named.map(PathBuf::from)) else {
        return Ok(Fields::new(Layers::new(cli, env, toml::Table::new())));
    };
    let content = secrets::read_bounded(&path);
    let table = match &content {
        Ok(bytes) => parse(bytes),
        Err(fault) => Err(format!("cannot be read: {fault}")),
    };
    let (table, fault) = match table {
        Ok(table) => (table, None),
        Err(fault) => (toml::Table::new(), Some(fault)),
    };
    let mut fields = Fields::new(Layers::new(cli, env, table));
    fields.watch(&path, content.as_deref().ok().map(Vec::as_slice));
    match fault {
        None => Ok(fields),
        Some(fault) => {
            let text = format!("names {}, which {fault}", secrets::shown(&path));
            fields.problem(named_by, text);
            Err(problems(fields))
        }
    }
}

/// `admin.listen` of a file, and nothing else of it, whatever else may be wrong there.
fn salvage_admin_address(bytes: &[u8]) -> toml::Table {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let (table, _faults) = DeTable::parse_recoverable(text);
    let admin = table.get_ref().get("admin").map(Spanned::get_ref);
    let listen = admin.and_then(|admin| admin.get("listen"));
    let mut found = toml::Table::new();
    if let Some(listen) = listen.and_then(|listen| listen.get_ref().as_str()) {
        let admin = toml::Table::from_iter([("listen".to_owned(), listen.into())]);
        found.insert("admin".to_owned(), admin.into());
    }
    found
}

/// The file's tree. The error names the place and never the text, which may hold a secret.
fn parse(bytes: &[u8]) -> Result<toml::Table, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    text.parse::<toml::Table>().map_err(|fault| {
        let start = fault.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!(
            "is no TOML at line {line}, column {column}: {}",
            fault.message()
        )
    })
}
