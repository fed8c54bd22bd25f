//! Where an issuer's public keys come from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::address::Address;
use super::was_set;
use crate::config::bounds::{any, lasting};
use crate::config::fields::{Fields, Key, key};
use crate::session::{KeySet, KeySetError, KeySource};

/// Public keys, and the key of the configuration that says where they are.
pub(super) struct Source {
    pub(super) keys: KeySource,
    pub(super) key: &'static Key,
}

/// The one source that is set, else the `derived` one; `None` also if there is a problem.
pub(super) fn read(fields: &mut Fields, derived: Option<Uri>) -> Option<Source> {
    let before = fields.problems.len();
    let url: Option<Address> = fields.optional(&JWKS_URL, any);
    let is_derived = !was_set(fields);
    let allow_plaintext = fields.read(&ALLOW_PLAINTEXT, false, any);
    if let Some(url) = &url {
        check_plaintext(fields, url, allow_plaintext);
    }
    let jwks = held(fields, &JWKS_FILE, KeySet::from_json);
    let pem = held(fields, &PEM_FILE, KeySet::from_pem);
    let refresh = fields.read(
        &JWKS_REFRESH,
        Duration::from_mins(10),
        lasting(Duration::from_secs(10)..=Duration::from_hours(24)),
    );
    let refreshes = was_set(fields);
    if fields.problems.len() > before {
        return None;
    }
    let url = url.map(|url| url.uri().clone());
    let url = url.map(|url| (KeySource::Url { url, refresh }, &JWKS_URL));
    let mut set = [url, jwks, pem].into_iter().flatten();
    let first = set.next();
    if let (Some((_, first)), Some((_, second))) = (&first, set.next()) {
        let (label, other) = (fields.label(second), fields.label(first));
        fields.problem(label, format!("and {other} are both set: keep one of them"));
    }
    let derived = derived.filter(|_| is_derived);
    let derived = derived.map(|url| (KeySource::Url { url, refresh }, &JWKS_URL));
    let found = first.or(derived);
    if refreshes && !matches!(found, Some((KeySource::Url { .. }, _))) {
        let label = fields.label(&JWKS_REFRESH);
        fields.problem(label, "has no meaning without jwks_url: a file is watched");
    }
    found.map(|(keys, key)| Source { keys, key })
}

/// The keys in the file that `key` names.
fn held(
    fields: &mut Fields,
    key: &'static Key,
    parse: impl FnOnce(&[u8]) -> Result<KeySet, KeySetError>,
) -> Option<(KeySource, &'static Key)> {
    let path: PathBuf = fields.optional(key, any)?;
    let origin = fields.last_origin();
    let content = fields.read_file(key, &origin, &path)?;
    match parse(&content) {
        Ok(keys) => Some((KeySource::Held(Arc::new(keys)), key)),
        Err(fault) => {
            fields.problem_at(key, &origin, format!("names a file that {fault}"));
            None
        }
    }
}

/// Whoever can change the keys on the way can sign in as anybody.
fn check_plaintext(fields: &mut Fields, url: &Address, allowed: bool) {
    if !url.is_open {
        return;
    }
    let label = fields.label(&JWKS_URL);
    if allowed {
        fields.warnings.push(format!(
            "{label} begins with http://: whoever is on the way can put in keys, and sign in as anybody"
        ));
    } else {
        let text = "must begin with https:// unless the host is loopback; where the network itself \
                    is private, set allow_plaintext = true beside it";
        fields.problem(label, text);
    }
}

pub(super) const JWKS_URL: Key = key(
    "session.providers[].jwks_url",
    "Where the issuer's public keys are: a JWK set, or a map of certificates.",
)
.file_only()
.example("\"https://tenant.eu.auth0.com/.well-known/jwks.json\"");
pub(super) const ALLOW_PLAINTEXT: Key = key(
    "session.providers[].allow_plaintext",
    "Allow http:// to a host that is not loopback.",
)
.file_only()
.example("false");
pub(super) const JWKS_FILE: Key = key(
    "session.providers[].jwks_file",
    "The same in a file, which is watched.",
)
.file_only()
.example("\"/etc/behest-gateway/jwks.json\"");
pub(super) const PEM_FILE: Key = key(
    "session.providers[].pem_file",
    "The issuer's public keys or certificates in PEM, in a file, which is watched.",
)
.file_only()
.example("\"/etc/behest-gateway/issuer.pem\"");
pub(super) const JWKS_REFRESH: Key = key(
    "session.providers[].jwks_refresh",
    "How often jwks_url is called; for a key that is not known also in between. Default 10m.",
)
.file_only()
.example("\"10m\"");
