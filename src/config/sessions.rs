//! Reads `[session]` and `[session_id]`: which sessions are recognised, and how.
//!
//! Without a list of providers the app's secret opens the cookies of both Auth.js v5 and NextAuth v4.

mod claims;
mod lookup;
mod providers;
mod sealed;
mod signed;

use std::time::Duration;

use super::bounds::{any, lasting};
use super::fields::{Fields, Key, key};
use super::sources::Origin;
use super::values::Value;
use crate::secret::Secret;
use crate::session::{
    Dialect, FormatConfig, ProviderConfig, ProviderKind, SecretWeakness, SessionConfig,
    SessionIdConfig, SessionIdSource, secret_weakness,
};
use claims::Overrides;

/// What all providers have unless they say otherwise.
struct Shared {
    secrets: Vec<Secret>,
    /// Whether `session.secrets` has problems of its own, so that lacking them is not told again.
    unread: bool,
    claims: Overrides,
    /// Whether proof of a cookie is enough, and nobody need be asked whose it is.
    proves: bool,
}

/// `[session]` and `[session_id]`; `proves`: where a cookie can be proved, a session URL may lack.
pub(super) fn session(fields: &mut Fields, proves: bool) -> SessionConfig {
    let before = fields.problems.len();
    let secrets = judged(fields, &SECRETS, APP_SECRETS);
    let shared = Shared {
        secrets,
        unread: fields.problems.len() > before,
        claims: Overrides::of_all(fields),
        proves,
    };
    let max_age = fields.read(
        &MAX_AGE,
        DAY * 30,
        lasting(Duration::from_mins(1)..=DAY * 400),
    );
    let listed = providers::listed(fields, &shared);
    let providers = listed.unwrap_or_else(|| {
        if shared.secrets.is_empty() && !shared.unread {
            missing_secret(fields);
        }
        [
            (ProviderKind::AuthjsV5, Dialect::AuthjsV5),
            (ProviderKind::NextauthV4, Dialect::NextauthV4),
        ]
        .map(|(kind, dialect)| {
            let secrets = shared.secrets.clone();
            let mut provider = ProviderConfig::new(kind, FormatConfig::Sealed { dialect, secrets });
            provider.claims.paths = shared.claims.over(kind.default_claims());
            provider
        })
        .into()
    });
    providers::show(fields, &providers);
    SessionConfig {
        providers,
        max_age,
        session_id: session_id(fields),
    }
}

const DAY: Duration = Duration::from_hours(24);

/// In the order in which `@auth/core` takes them: the highest number first.
const APP_SECRETS: &[&str] = &[
    "AUTH_SECRET_3",
    "AUTH_SECRET_2",
    "AUTH_SECRET_1",
    "AUTH_SECRET",
    "NEXTAUTH_SECRET",
];
const SECRETS: Key = key(
    "session.secrets",
    "The app's secrets, newest first, for authjs-v5 and nextauth-v4 without their own. Also AUTH_SECRET (and _1 to _3) and NEXTAUTH_SECRET.",
)
.file_only()
.example("[{ env = \"AUTH_SECRET\" }]");
const MAX_AGE: Key = key(
    "session.max_age",
    "The longest that the app's sessions last: how long a revocation is kept.",
);

/// Secrets, each judged.
fn judged(fields: &mut Fields, key: &Key, variables: &[&str]) -> Vec<Secret> {
    let found = fields.secrets(key, variables);
    for (secret, origin) in &found {
        judge(fields, key, secret, origin);
    }
    found.into_iter().map(|(secret, _)| secret).collect()
}

/// Refuses a sample, and warns of a short secret.
fn judge(fields: &mut Fields, key: &Key, secret: &Secret, origin: &Origin) {
    match secret_weakness(secret.expose()) {
        None => {}
        Some(weak @ SecretWeakness::Sample) => {
            fields.problem_at(key, origin, format!("cannot be used: {weak}"));
        }
        Some(weak @ SecretWeakness::Short { .. }) => {
            let label = fields.label(key);
            fields.warnings.push(format!("{label} ({origin}): {weak}"));
        }
    }
}

fn missing_secret(fields: &mut Fields) {
    let empty = APP_SECRETS
        .iter()
        .find(|name| fields.layers.is_empty_env(name));
    let empty = empty.map_or_else(String::new, |name| format!(" ({name} is set, but empty)"));
    let text = format!(
        "is missing{empty}. Set AUTH_SECRET (or NEXTAUTH_SECRET, or AUTH_SECRET_FILE) to the app's \
         own secret (environment) or session.secrets = [{{ env = \"…\" }}] (file)."
    );
    fields.problem(SECRETS.path, text);
}

/// `[session_id]`
fn session_id(fields: &mut Fields) -> SessionIdConfig {
    SessionIdConfig {
        source: fields.read(&SOURCE, SessionIdSource::Claim, any),
        key: fields.secret(&ID_KEY).map(|(secret, _)| secret),
        mix_client: fields.read(&MIX_CLIENT, false, any),
    }
}

const SOURCE: Key = key(
    "session_id.source",
    "What X-Session-Id is derived from: \"claim\", \"user\" or \"minted\" (Behest's own).",
);
const ID_KEY: Key = key(
    "session_id.key",
    "HMAC key of the derivation; default: a constant (the id is a name and not a capability).",
)
.example("{ file = \"/run/secrets/session_id_key\" }");
const MIX_CLIENT: Key = key(
    "session_id.mix_client",
    "Mix a page's own X-Session-Id in, so that it can begin a fresh memory.",
);

/// A text, or a list of texts.
struct OneOrMore(Vec<String>);

impl Value for OneOrMore {
    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text).map(|one| Self(vec![one]))
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) => Self::from_text(text),
            None => Vec::from_toml(value).map(Self),
        }
    }

    fn to_toml(&self) -> String {
        match self.0.as_slice() {
            [one] => one.to_toml(),
            all => all.to_vec().to_toml(),
        }
    }
}
