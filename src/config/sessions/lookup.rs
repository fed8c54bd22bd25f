//! Reads how the app is asked.

use std::time::Duration;

use http::Uri;

use super::sealed::OWN_SECRETS;
use super::{Shared, judged};
use crate::config::bounds::lasting;
use crate::config::fields::{Fields, Key, key};
use crate::config::url::split_host;
use crate::session::{FormatConfig, LookupConfig, ProofConfig, ProviderKind};

/// The format of a `kind` of this family.
pub(super) fn format(fields: &mut Fields, kind: ProviderKind, shared: &Shared) -> FormatConfig {
    let before = fields.problems.len();
    let text = fields.optional(&URL, |text: &String| url(kind, text).map(drop));
    let url = text.and_then(|text| url(kind, &text).ok());
    let default = LookupConfig::new(kind, url);
    let proof = proof(fields, kind);
    let may_lack_url = shared.proves && proof.is_some();
    if default.url.is_none() && !may_lack_url && fields.problems.len() == before {
        let label = fields.label(&URL);
        fields.problem(label, format!("is missing. Set it to {}.", example(kind)));
    }
    FormatConfig::Lookup(LookupConfig {
        cache: fields.read(
            &CACHE,
            default.cache,
            lasting(Duration::ZERO..=Duration::from_mins(5)),
        ),
        negative_cache: fields.read(
            &NEGATIVE_CACHE,
            default.negative_cache,
            lasting(Duration::ZERO..=Duration::from_mins(1)),
        ),
        timeout: fields.read(
            &TIMEOUT,
            default.timeout,
            lasting(Duration::from_millis(10)..=Duration::from_secs(30)),
        ),
        expires_claim: fields.read(&EXPIRES_CLAIM, default.expires_claim, |path| {
            check_path(path)
        }),
        proof,
        ..default
    })
}

/// Every key of a provider that this file reads.
pub(super) const KEYS: &[&Key] = &[&URL, &CACHE, &NEGATIVE_CACHE, &TIMEOUT, &EXPIRES_CLAIM];

const URL: Key = key(
    "session.providers[].url",
    "Kinds that ask the app: where it says whose session a cookie is. Without a path, its library's own.",
)
.file_only()
.example("\"http://app:3000/api/auth/session\"");
const CACHE: Key = key(
    "session.providers[].cache",
    "How long an answer with a user is kept, and so how late a sign-out is noticed; default 10s, 0s: not at all.",
)
.file_only()
.example("\"10s\"");
const NEGATIVE_CACHE: Key = key(
    "session.providers[].negative_cache",
    "How long an answer without a user is kept; default 1s.",
)
.file_only()
.example("\"1s\"");
const TIMEOUT: Key = key(
    "session.providers[].timeout",
    "How long the app may take to answer; default 2s.",
)
.file_only()
.example("\"2s\"");
const EXPIRES_CLAIM: Key = key(
    "session.providers[].expires_claim",
    "Path of the session's end in the answer (seconds, milliseconds or RFC 3339); default: by kind.",
)
.file_only()
.example("[\"expires\"]");

/// `better-auth` and `express-session` sign their cookies: with their secrets, made-up ones are
/// refused before the app is asked. Elsewhere the key is not read, and so an unknown one.
fn proof(fields: &mut Fields, kind: ProviderKind) -> Option<ProofConfig> {
    if kind == ProviderKind::BetterAuth {
        let secrets = judged(fields, &OWN_SECRETS, &[]);
        return secrets.into_iter().next().map(ProofConfig::BetterAuth);
    }
    if kind == ProviderKind::ExpressSession {
        let secrets = judged(fields, &OWN_SECRETS, &[]);
        return (!secrets.is_empty()).then_some(ProofConfig::Express(secrets));
    }
    None
}

/// The session URL that `text` says for a `kind`.
fn url(kind: ProviderKind, text: &str) -> Result<Uri, String> {
    let form = || {
        format!(
            "must be an http:// or https:// URL such as {}",
            example(kind)
        )
    };
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .ok_or_else(form)?;
    if rest.contains('#') {
        return Err("must not hold a fragment".to_owned());
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not hold a user or a password".to_owned());
    }
    let own = rest.strip_prefix(authority).unwrap_or_default();
    let whole = match own {
        "" | "/" => format!("{}{}", text.trim_end_matches('/'), default_path(kind)),
        _ => text.to_owned(),
    };
    split_host(authority).ok_or_else(form)?;
    whole.parse().map_err(|_| form())
}

/// Where the library has its session URL.
fn default_path(kind: ProviderKind) -> &'static str {
    if kind == ProviderKind::AuthjsDatabase {
        "/api/auth/session"
    } else if kind == ProviderKind::BetterAuth {
        // A fresh tier, and no write for a look.
        "/api/auth/get-session?disableCookieCache=true&disableRefresh=true"
    } else if kind == ProviderKind::Kratos {
        "/sessions/whoami"
    } else {
        "/"
    }
}

fn example(kind: ProviderKind) -> &'static str {
    if kind == ProviderKind::Kratos {
        "\"http://kratos:4433\""
    } else if default_path(kind) == "/" {
        "\"http://app:3000/session\""
    } else {
        "\"http://app:3000\""
    }
}

fn check_path(path: &[String]) -> Result<(), String> {
    if path.len() > 16 {
        return Err("must be a list of at most 16 keys such as [\"expires\"]".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_path_the_librarys_own_is_asked() {
        for (kind, text, expected) in [
            (
                ProviderKind::AuthjsDatabase,
                "http://app:3000",
                "http://app:3000/api/auth/session",
            ),
            (
                ProviderKind::AuthjsDatabase,
                "http://app:3000/auth/session",
                "http://app:3000/auth/session",
            ),
            (
                ProviderKind::BetterAuth,
                "https://app.example/",
                "https://app.example/api/auth/get-session?disableCookieCache=true&disableRefresh=true",
            ),
            (
                ProviderKind::BetterAuth,
                "https://app.example/get-session",
                "https://app.example/get-session",
            ),
            (
                ProviderKind::Kratos,
                "http://kratos:4433/",
                "http://kratos:4433/sessions/whoami",
            ),
            (ProviderKind::Lookup, "http://[::1]:80", "http://[::1]:80/"),
            (
                ProviderKind::Lookup,
                "http://app/me?fields=a",
                "http://app/me?fields=a",
            ),
        ] {
            assert_eq!(url(kind, text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_url_is_http_with_a_host_and_nothing_secret() {
        for (text, fix) in [
            ("", "must be an http"),
            ("app:3000", "must be an http"),
            ("ftp://app/", "must be an http"),
            ("http://", "must be an http"),
            ("http:///session", "must be an http"),
            ("http://app:/session", "must be an http"),
            ("http://app:99999/", "must be an http"),
            ("http://a b/", "must be an http"),
            ("http://me:pw@app/", "user or a password"),
            ("http://app/#x", "fragment"),
        ] {
            let fault = url(ProviderKind::Lookup, text).unwrap_err();
            assert!(fault.contains(fix), "{text}: {fault}");
        }
    }
}
