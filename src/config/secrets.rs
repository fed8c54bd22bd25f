//! Resolves secrets: from environment variables, from files, and from references in the TOML file.
//!
//! A secret is only ever shown as its length. A secret file is the whole file less one line break at
//! its end; a file behind a variable that holds a list has one secret a line.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::fields::{Fields, Key};
use super::sources::{Origin, Raw};
use crate::secret::Secret;

/// A file that the configuration was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its content when it was read; `None` if it could not be read.
    pub hash: Option<[u8; 32]>,
}

impl WatchedFile {
    /// Whether the file's content is other than it was. Reads the file: not for a request's path.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let now = read_bounded(&self.path).ok();
        now.as_deref().map(|bytes| sha256(bytes)) != self.hash
    }
}

/// No file that the configuration names is larger than this.
const MAX_FILE: u64 = 1 << 20;

/// How a secret is written in the file.
const FORMS: &str = "{ env = \"NAME\" } or { file = \"/run/secrets/name\" }";

impl Fields {
    /// One secret; `None` where there is none, or it cannot be read (then a problem says so).
    pub(super) fn secret(&mut self, key: &Key) -> Option<(Secret, Origin)> {
        let set = self.variable_secret(key, key.variables());
        let file = self.layers.take_file(key.path);
        // Also where a variable wins: the secret would stand in the file all the same.
        let referred = file.and_then(|value| self.refer(key, &value, set.is_none()));
        let found = match set {
            Some((name, secret)) => secret.map(|secret| (secret, Origin::Env(name))),
            None => referred.map(|secret| (secret, Origin::File)),
        };
        let (shown, origin) = match &found {
            Some((secret, origin)) => (length(secret), origin.clone()),
            None => (String::new(), Origin::Default),
        };
        self.record(key, None, shown, origin);
        found
    }

    /// A list of secrets in the order of `variables`, or of the file where no variable is set or the
    /// file's own list names one of them.
    pub(super) fn secrets(&mut self, key: &Key, variables: &[&str]) -> Vec<(Secret, Origin)> {
        let mut found = Vec::new();
        for name in variables {
            let lines = self.variable_secrets(key, name);
            found.extend(
                lines
                    .into_iter()
                    .map(|(secret, name)| (secret, Origin::Env(name))),
            );
        }
        if let Some((Raw::Toml(value), _)) = self.find(&key.file_only()) {
            // A list that names the variable itself knows of it, and says more.
            let complete = names_one_of(&value, variables);
            if found.is_empty() || complete {
                found = self.refer_all(key, &value);
            } else {
                self.warnings.push(format!(
                    "{} of the file is not used: the environment sets it ({})",
                    key.path,
                    variables.join(", ")
                ));
            }
        }
        let mut seen: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        found.retain(|(secret, _)| {
            let new = !seen.iter().any(|other| other.as_slice() == secret.expose());
            seen.push(Zeroizing::new(secret.expose().to_vec()));
            new
        });
        let lengths: Vec<String> = found.iter().map(|(secret, _)| length(secret)).collect();
        let origin = found.first().map_or(Origin::Default, |(_, o)| o.clone());
        self.record(key, None, lengths.join(", "), origin);
        found
    }

    /// A table of secrets, by their ids.
    pub(super) fn secret_table(&mut self, key: &Key) -> Vec<(String, Secret)> {
        let Some((Raw::Toml(value), origin)) = self.find(key) else {
            self.record(key, None, String::new(), Origin::Default);
            return Vec::new();
        };
        let Some(table) = value.as_table().filter(|table| !table.is_empty()) else {
            let text = format!("must be a table of references: {{ 1 = {FORMS} }}");
            self.problem_at(key, &origin, text);
            return Vec::new();
        };
        let found: Vec<(String, Secret)> = table
            .iter()
            .filter_map(|(id, value)| Some((id.clone(), self.refer(key, value, true)?)))
            .collect();
        let lengths: Vec<String> = found.iter().map(|(_, secret)| length(secret)).collect();
        self.record(key, None, lengths.join(", "), origin);
        found
    }

    /// The first of `names` that is set, by itself or as `<name>_FILE`; the secret is `None` if it
    /// cannot be read.
    fn variable_secret(
        &mut self,
        key: &Key,
        names: Vec<String>,
    ) -> Option<(String, Option<Secret>)> {
        let mut found = None;
        for name in names {
            let by_file = format!("{name}_FILE");
            let value = self.layers.env(&name);
            let path = self.layers.env(&by_file);
            if found.is_some() {
                continue;
            }
            found = match (value, path) {
                (Some(_), Some(_)) => {
                    self.both_set(key, &name);
                    Some((name, None))
                }
                (Some(text), None) => Some((name, Some(self.keep(text.into_bytes())))),
                (None, Some(path)) => {
                    let origin = Origin::Env(by_file.clone());
                    let secret = self.read_secret(key, &origin, &path);
                    Some((by_file, secret))
                }
                (None, None) => None,
            };
        }
        found
    }

    /// All secrets of the variable `name`, or the lines of the file that `<name>_FILE` names.
    fn variable_secrets(&mut self, key: &Key, name: &str) -> Vec<(Secret, String)> {
        let by_file = format!("{name}_FILE");
        match (self.layers.env(name), self.layers.env(&by_file)) {
            (Some(_), Some(_)) => {
                self.both_set(key, name);
                Vec::new()
            }
            (Some(text), None) => vec![(self.keep(text.into_bytes()), name.to_owned())],
            (None, Some(path)) => {
                let origin = Origin::Env(by_file.clone());
                let Some(all) = self.read_secret(key, &origin, &path) else {
                    return Vec::new();
                };
                let lines = all.expose().split(|byte| *byte == b'\n');
                let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                let lines: Vec<Vec<u8>> = lines
                    .filter(|line| !line.is_empty())
                    .map(<[u8]>::to_vec)
                    .collect();
                lines
                    .into_iter()
                    .map(|line| (self.keep(line), by_file.clone()))
                    .collect()
            }
            (None, None) => Vec::new(),
        }
    }

    fn both_set(&mut self, key: &Key, name: &str) {
        let text = format!("is set by both {name} and {name}_FILE. Unset one of them.");
        self.problem(key.path, text);
    }

    fn refer_all(&mut self, key: &Key, value: &toml::Value) -> Vec<(Secret, Origin)> {
        let items = match value.as_array() {
            Some(items) => items.clone(),
            None => vec![value.clone()],
        };
        items
            .iter()
            .filter_map(|item| Some((self.refer(key, item, true)?, Origin::File)))
            .collect()
    }

    /// What a reference in the file leads to. Unless it is `used`, only its form is looked at.
    fn refer(&mut self, key: &Key, value: &toml::Value, used: bool) -> Option<Secret> {
        let origin = Origin::File;
        let Some(table) = value.as_table() else {
            let text = format!("must be a reference, never the secret itself: write {FORMS}");
            self.problem_at(key, &origin, text);
            return None;
        };
        let one = |name: &str| table.get(name).and_then(toml::Value::as_str);
        match (one("env"), one("file"), table.len()) {
            (Some(name), None, 1) if used => {
                let value = self.layers.env(name);
                if value.is_none() {
                    let text = format!("names {}, which is not set", shown_variable(name));
                    self.problem_at(key, &origin, text);
                }
                value.map(|text| self.keep(text.into_bytes()))
            }
            (None, Some(path), 1) if used => self.read_secret(key, &origin, path),
            (Some(_), None, 1) | (None, Some(_), 1) => None,
            _ => {
                self.problem_at(key, &origin, format!("must be a reference: {FORMS}"));
                None
            }
        }
    }

    fn read_secret(&mut self, key: &Key, origin: &Origin, path: &str) -> Option<Secret> {
        let bytes = self.read_file(key, origin, Path::new(path))?;
        self.warn_if_open(key, origin, Path::new(path));
        let whole = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
        if whole.is_empty() {
            self.problem_at(
                key,
                origin,
                format!("names {}, which is empty", shown(Path::new(path))),
            );
            return None;
        }
        Some(self.keep(whole.to_vec()))
    }

    /// Warns of a file that holds a secret, and that every user of the machine can read.
    pub(super) fn warn_if_open(&mut self, key: &Key, origin: &Origin, path: &Path) {
        const OTHERS_READ: u32 = 0o004;
        let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode());
        if mode & OTHERS_READ != 0 {
            self.warnings.push(format!(
                "{} ({origin}) names {}, which every user of this machine can read: chmod 640 it, \
                 for the gateway's group (in Kubernetes, the volume's defaultMode and fsGroup)",
                self.label(key),
                shown(path)
            ));
        }
    }

    /// The content of a file, which is then watched.
    pub(super) fn read_file(
        &mut self,
        key: &Key,
        origin: &Origin,
        path: &Path,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let read = read_bounded(path);
        self.watch(path, read.as_deref().ok().map(Vec::as_slice));
        match read {
            Ok(bytes) => Some(bytes),
            Err(fault) => {
                let text = format!("names {}: {fault}", shown(path));
                self.problem_at(key, origin, text);
                None
            }
        }
    }

    /// Remembers the file, unless its path may be a secret in the wrong place.
    pub(super) fn watch(&mut self, path: &Path, content: Option<&[u8]>) {
        let known = content.is_some() || is_place(path);
        if known && !self.watched.iter().any(|file| file.path == path) {
            self.watched.push(WatchedFile {
                path: path.to_owned(),
                hash: content.map(sha256),
            });
        }
    }

    /// Remembers the secret, so that nothing that is shown can hold it.
    fn keep(&mut self, bytes: Vec<u8>) -> Secret {
        let secret = Secret::new(bytes);
        self.kept.push(secret.clone());
        secret
    }
}

/// Whether a list of references names one of `variables`.
fn names_one_of(value: &toml::Value, variables: &[&str]) -> bool {
    let items = value.as_array().map_or(&[] as &[_], Vec::as_slice);
    let mut names = items
        .iter()
        .filter_map(|item| item.get("env").and_then(toml::Value::as_str));
    names.any(|name| variables.contains(&name))
}

/// How a secret is shown.
fn length(secret: &Secret) -> String {
    format!("(set, {} bytes)", secret.len())
}

/// Whether `path` leads through a folder that exists; a secret in the place of a path does not.
fn is_place(path: &Path) -> bool {
    let folders = || path.ancestors().skip(1);
    let mut known =
        folders().filter(|folder| *folder != Path::new("/") && *folder != Path::new(""));
    known.any(Path::is_dir)
}

/// `path` in an error: not shown where it may be the secret itself.
pub(super) fn shown(path: &Path) -> String {
    if is_place(path) {
        format!("the file {}", path.display())
    } else {
        "a file (not shown here, in case it is the secret itself)".to_owned()
    }
}

/// The name of a variable in an error: not shown where it may be the secret itself.
fn shown_variable(name: &str) -> String {
    let usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.bytes().all(usual) {
        format!("the environment variable {name}")
    } else {
        "an environment variable (not shown here, in case it is the secret itself)".to_owned()
    }
}

/// The file's bytes, up to [`MAX_FILE`].
pub(super) fn read_bounded(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let file = std::fs::File::open(path).map_err(|fault| in_words(&fault))?;
    // Of the right size at once: a vector that grows leaves copies behind that nobody wipes.
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let room = usize::try_from(length.min(MAX_FILE)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|fault| in_words(&fault))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("it is larger than 1 MiB".to_owned());
    }
    Ok(bytes)
}

fn in_words(fault: &std::io::Error) -> String {
    let words = [
        (ErrorKind::NotFound, "there is no such file"),
        (
            ErrorKind::PermissionDenied,
            "it may not be read by this user",
        ),
        (ErrorKind::IsADirectory, "it is a directory"),
    ];
    let known = words.into_iter().find(|(kind, _)| *kind == fault.kind());
    known.map_or_else(|| fault.to_string(), |(_, words)| words.to_owned())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let whole = digest(&SHA256, bytes);
    for (to, from) in hash.iter_mut().zip(whole.as_ref()) {
        *to = *from;
    }
    hash
}
