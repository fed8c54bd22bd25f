//! Where values come from: the command line over the environment over the file.
//!
//! A value that is found is taken out of the file's tree, so that what remains at the end is what no
//! key asked for. Empty environment variables count as not set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use zeroize::{Zeroize as _, Zeroizing};

use crate::token::KeyMode;

/// Where a configuration comes from. Nothing else is read but the files that it names.
#[derive(Clone, Default)]
pub struct Sources {
    /// Key path (`server.listen`) to the text given on the command line.
    pub cli: BTreeMap<String, String>,
    /// The environment; see [`process_environment`].
    pub env: BTreeMap<String, String>,
    /// The TOML file; else `GATEWAY_CONFIG` of `env` names it, else there is none.
    pub file: Option<PathBuf>,
}

/// The environment of this process, less what is not UTF-8.
#[must_use]
pub fn process_environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Whether this process was started with a Behest key among its arguments, where every user of the
/// machine can read it.
#[must_use]
pub fn arguments_hold_key() -> bool {
    let prefixes = [KeyMode::Exchange, KeyMode::Sign].map(KeyMode::prefix);
    std::env::args_os().any(|argument| {
        let argument = Zeroizing::new(argument.to_string_lossy().into_owned());
        prefixes.iter().any(|prefix| argument.contains(prefix))
    })
}

/// Which source a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was set.
    Default,
    /// The configuration file.
    File,
    /// The environment variable of this name.
    Env(String),
    /// The command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Env(name) => f.write_str(name),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// A value as its source holds it.
pub(super) enum Raw {
    /// From the command line or the environment.
    Text(String),
    /// From the file.
    Toml(toml::Value),
}

/// The environment variable of a key path: `server.h2_max_streams` is `GATEWAY_SERVER__H2_MAX_STREAMS`.
pub(super) fn derived_name(path: &str) -> String {
    format!("GATEWAY_{}", path.to_ascii_uppercase().replace('.', "__"))
}

/// All sources in one.
pub(super) struct Layers {
    cli: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    file: toml::Table,
    /// Every environment variable that some key asked for, set or not.
    asked: BTreeSet<String>,
}

impl Layers {
    pub(super) fn new(
        cli: BTreeMap<String, String>,
        env: BTreeMap<String, String>,
        file: toml::Table,
    ) -> Self {
        let asked = BTreeSet::from(["GATEWAY_CONFIG".to_owned()]);
        Self {
            cli,
            env,
            file,
            asked,
        }
    }

    /// What the command line says of `path`; at most once.
    pub(super) fn take_cli(&mut self, path: &str) -> Option<String> {
        self.cli.remove(path)
    }

    /// What the file says of `path`; at most once.
    pub(super) fn take_file(&mut self, path: &str) -> Option<toml::Value> {
        take(&mut self.file, path)
    }

    /// The variable `name`, unless it is empty.
    pub(super) fn env(&mut self, name: &str) -> Option<String> {
        self.asked.insert(name.to_owned());
        self.env.get(name).filter(|text| !text.is_empty()).cloned()
    }

    /// Whether the variable `name` is set to nothing.
    pub(super) fn is_empty_env(&self, name: &str) -> bool {
        self.env.get(name).is_some_and(String::is_empty)
    }

    /// What no key asked for: of the command line, and of the file's tree.
    pub(super) fn leftovers(&mut self) -> (Vec<String>, toml::Table) {
        let cli = std::mem::take(&mut self.cli).into_keys().collect();
        (cli, std::mem::take(&mut self.file))
    }

    /// The `GATEWAY_` variables that no key asked for.
    pub(super) fn unknown_variables(&self) -> Vec<&str> {
        let names = self.env.keys().filter(|name| name.starts_with("GATEWAY_"));
        names
            .filter(|name| !self.asked.contains(*name))
            .map(String::as_str)
            .collect()
    }

    /// Every variable that some key asked for.
    pub(super) fn asked_variables(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().map(String::as_str)
    }
}

impl Drop for Layers {
    /// Both may hold secrets, and each reload has a copy of its own.
    fn drop(&mut self) {
        for text in self.env.values_mut().chain(self.cli.values_mut()) {
            text.zeroize();
        }
    }
}

/// Takes the value at `path` (keys joined by dots) out of `table`.
pub(super) fn take(table: &mut toml::Table, path: &str) -> Option<toml::Value> {
    match path.split_once('.') {
        None => table.remove(path),
        Some((head, rest)) => take(table.get_mut(head)?.as_table_mut()?, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_path_has_an_environment_name() {
        let name = derived_name("upstream.idle_timeout");
        assert_eq!(name, "GATEWAY_UPSTREAM__IDLE_TIMEOUT");
        assert_eq!(
            derived_name("server.tls.cert_file"),
            "GATEWAY_SERVER__TLS__CERT_FILE"
        );
    }

    #[test]
    fn a_taken_value_is_gone_and_its_neighbours_stay() {
        let mut table: toml::Table = "a = { b = { c = 1, d = 2 } }".parse().unwrap();
        assert_eq!(take(&mut table, "a.b.c"), Some(toml::Value::Integer(1)));
        assert_eq!(take(&mut table, "a.b.c"), None);
        assert_eq!(take(&mut table, "a.b.d.e"), None);
        assert_eq!(table, "a = { b = { d = 2 } }".parse().unwrap());
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let env = BTreeMap::from([("A".to_owned(), String::new())]);
        let mut layers = Layers::new(BTreeMap::new(), env, toml::Table::new());
        assert_eq!(layers.env("A"), None);
        assert!(layers.is_empty_env("A"));
        assert!(!layers.is_empty_env("B"));
    }
}
