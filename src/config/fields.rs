//! Reads typed values by key, and keeps a record of every key that was asked for.
//!
//! That record is the only list of keys: the output of `check`, `reference.toml`, the names of
//! environment variables and the search for unknown keys all come from it.

use std::path::Path;

use super::problem::Problem;
use super::secrets::WatchedFile;
use super::sources::{Layers, Origin, Raw, derived_name, take};
use super::values::Value;
use crate::secret::Secret;

/// One key: where it stands and what it means.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// Path with dots; `session.providers[].kind` stands in each table of a list.
    pub(super) path: &'static str,
    /// One line for the reference.
    pub(super) doc: &'static str,
    /// Environment variables beside the one derived from the path.
    pub(super) names: &'static [&'static str],
    /// A value in TOML, for keys without a default.
    pub(super) example: &'static str,
    /// Whether the environment can hold it: not tables and claim paths.
    pub(super) in_env: bool,
}

/// A key with no other names and no example.
pub(super) const fn key(path: &'static str, doc: &'static str) -> Key {
    Key {
        path,
        doc,
        names: &[],
        example: "",
        in_env: true,
    }
}

impl Key {
    /// Also under these environment variables, which come first.
    pub(super) const fn named(mut self, names: &'static [&'static str]) -> Self {
        self.names = names;
        self
    }

    /// What the reference shows where there is no default.
    pub(super) const fn example(mut self, toml: &'static str) -> Self {
        self.example = toml;
        self
    }

    /// Only for the file.
    pub(super) const fn file_only(mut self) -> Self {
        self.in_env = false;
        self
    }

    /// The environment variables that set it, the first before the next.
    pub(super) fn variables(&self) -> Vec<String> {
        if !self.in_env {
            return Vec::new();
        }
        let derived = derived_name(self.path);
        let names = self.names.iter().map(|name| (*name).to_owned());
        names.chain([derived]).collect()
    }
}

/// One key and its value as it may be shown.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Path of the key, e.g. `upstream.idle_timeout` or `session.providers[0].kind`.
    pub key: String,
    /// What it means, in one line.
    pub doc: &'static str,
    /// The value in TOML, or for a secret its length: never a secret.
    pub shown: String,
    /// Where the value came from.
    pub origin: Origin,
    /// The default in TOML; `None` where there is none.
    pub default: Option<String>,
    /// A value in TOML for the reference, where there is no default.
    pub example: &'static str,
    /// The environment variables that set it.
    pub variables: Vec<String>,
}

/// Reads values from all layers; problems are collected and never end the reading.
pub(super) struct Fields {
    pub(super) layers: Layers,
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    pub(super) watched: Vec<WatchedFile>,
    /// Every secret that was read: nothing that is shown may hold one.
    pub(super) kept: Vec<Secret>,
    /// The table of a list that is being read, and its place in that list.
    entry: Option<(usize, toml::Table)>,
}

impl Fields {
    pub(super) fn new(layers: Layers) -> Self {
        Self {
            layers,
            settings: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            watched: Vec::new(),
            kept: Vec::new(),
            entry: None,
        }
    }

    /// The value of `key`, else `default`; `check` says what is wrong with a value that can be read.
    pub(super) fn read<T: Value>(
        &mut self,
        key: &Key,
        default: T,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> T {
        let written = Some(default.to_toml());
        self.found(key, written, check).unwrap_or(default)
    }

    /// The value of `key`, for which there is no default.
    pub(super) fn optional<T: Value>(
        &mut self,
        key: &Key,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Option<T> {
        self.found(key, None, check)
    }

    fn found<T: Value>(
        &mut self,
        key: &Key,
        default: Option<String>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Option<T> {
        let Some((raw, origin)) = self.find(key) else {
            let shown = default.clone().unwrap_or_default();
            self.record(key, default, shown, Origin::Default);
            return None;
        };
        let value = match &raw {
            Raw::Text(text) => T::from_text(text),
            Raw::Toml(value) => T::from_toml(value),
        };
        let value = value.and_then(|value| {
            refuse_key_material(&value.to_toml())?;
            check(&value).map(|()| value)
        });
        match value {
            Ok(value) => {
                self.record(key, default, value.to_toml(), origin);
                Some(value)
            }
            Err(fault) => {
                self.problem_at(key, &origin, fault);
                self.record(key, default, String::new(), origin);
                None
            }
        }
    }

    /// The value of `key` in the first layer that has one.
    pub(super) fn find(&mut self, key: &Key) -> Option<(Raw, Origin)> {
        if key.path.contains("[]") {
            let (_, table) = self.entry.as_mut()?;
            let value = take(table, last_segment(key.path))?;
            return Some((Raw::Toml(value), Origin::File));
        }
        // Taken in any case: an overridden value is not an unknown one.
        let file = self.layers.take_file(key.path);
        let variables = key.variables();
        let mut set: Vec<(Raw, Origin)> = Vec::new();
        for name in variables {
            if let Some((text, name)) = self.variable_text(key, name) {
                set.push((Raw::Text(text), Origin::Env(name)));
            }
        }
        if set.len() > 1 {
            let names: Vec<String> = set.iter().map(|(_, origin)| origin.to_string()).collect();
            let used = names.first().map_or("", String::as_str);
            self.warnings.push(format!(
                "{} is set more than once ({}): {used} is used",
                key.path,
                names.join(", ")
            ));
        }
        // What only the file can hold stays there, to be refused with all that nobody asked for.
        if key.in_env
            && let Some(text) = self.layers.take_cli(key.path)
        {
            return Some((Raw::Text(text), Origin::CommandLine));
        }
        let first = set.into_iter().next();
        first.or_else(|| file.map(|value| (Raw::Toml(value), Origin::File)))
    }

    /// The variable `name`, or for Behest's own names the content of the file that `<name>_FILE` names;
    /// and which of the two it was.
    fn variable_text(&mut self, key: &Key, name: String) -> Option<(String, String)> {
        if let Some(text) = self.layers.env(&name) {
            return Some((text, name));
        }
        let by_file = format!("{name}_FILE");
        if !name.starts_with("BEHEST_") {
            return None;
        }
        let path = self.layers.env(&by_file)?;
        let origin = Origin::Env(by_file.clone());
        let content = self.read_file(key, &origin, Path::new(&path))?;
        let text = std::str::from_utf8(&content).unwrap_or_default();
        Some((text.trim_end().to_owned(), by_file))
    }

    /// Reads one table of a list by `read`, and reports what `read` did not ask for.
    pub(super) fn in_entry<T>(
        &mut self,
        index: usize,
        table: toml::Table,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.entry = Some((index, table));
        let value = read(self);
        if let Some((_, rest)) = self.entry.take() {
            for name in rest.keys() {
                let key = format!("session.providers[{index}].{name}");
                self.unknown_key(key);
            }
        }
        value
    }

    /// Forgets what is left of the table that is being read.
    pub(super) fn skip_entry(&mut self) {
        if let Some((_, table)) = &mut self.entry {
            table.clear();
        }
    }

    /// The path of `key` with the place in its list.
    pub(super) fn label(&self, key: &Key) -> String {
        match &self.entry {
            Some((index, _)) => key.path.replace("[]", &format!("[{index}]")),
            None => key.path.to_owned(),
        }
    }

    pub(super) fn record(
        &mut self,
        key: &Key,
        default: Option<String>,
        shown: String,
        origin: Origin,
    ) {
        self.settings.push(Setting {
            key: self.label(key),
            doc: key.doc,
            shown,
            origin,
            default,
            example: key.example,
            variables: key.variables(),
        });
    }

    /// Shows `value`, in TOML, for the key at `path`.
    pub(super) fn show(&mut self, path: &str, value: String) {
        if let Some(setting) = self.settings.iter_mut().find(|s| s.key == path) {
            setting.shown = value;
        }
    }

    /// Where the value came from that was read last.
    pub(super) fn last_origin(&self) -> Origin {
        let last = self.settings.last();
        last.map_or(Origin::Default, |setting| setting.origin.clone())
    }

    pub(super) fn problem(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem {
            key: key.into(),
            text: text.into(),
        });
    }

    /// A problem with a value that came from `origin`.
    pub(super) fn problem_at(&mut self, key: &Key, origin: &Origin, text: impl Into<String>) {
        let place = format!("{} ({origin})", self.label(key));
        self.problem(place, text);
    }

    /// Whether a problem with `path` is already known.
    pub(super) fn has_problem(&self, path: &str) -> bool {
        let names = |key: &str| {
            key.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        self.problems.iter().any(|problem| names(&problem.key))
    }

    /// Nothing is set for `key`, which has no default; `why` is the rest of the first sentence.
    pub(super) fn missing(&mut self, key: &Key, value: &str, why: &str) {
        let variables = key.variables();
        let empty = variables
            .iter()
            .find(|name| self.layers.is_empty_env(name))
            .map(|name| format!(" ({name} is set, but empty)"));
        let variable = variables.first().map_or("", String::as_str);
        let text = format!(
            "is missing{}{why}. Set {variable}={value} (environment) or {} (file).",
            empty.unwrap_or_default(),
            key.path
        );
        self.problem(key.path, text);
    }
}

/// A key pasted into the wrong place would be shown by `check`.
fn refuse_key_material(written: &str) -> Result<(), String> {
    let marks = ["behest_sk_", "behest_pk_", "PRIVATE KEY"];
    if marks.iter().any(|mark| written.contains(mark)) {
        return Err("holds a key: keys belong in BEHEST_KEY only".to_owned());
    }
    Ok(())
}

pub(super) fn last_segment(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, last)| last)
}
