//! Reads `[session]` and `[session_id]`: which cookies are opened, with which secrets.
//!
//! Without a list of providers the app's secret opens the cookies of both Auth.js v5 and NextAuth v4.

use std::time::Duration;

use super::bounds::{any, lasting};
use super::fields::{Fields, Key, key};
use super::sources::{Origin, Raw};
use super::values::Value;
use crate::secret::Secret;
use crate::session::{
    ClaimPaths, CookieName, ProviderConfig, ProviderKind, SecretWeakness, SessionConfig,
    SessionIdConfig, SessionIdSource, secret_weakness,
};

/// `[session]` and `[session_id]`
pub(super) fn session(fields: &mut Fields) -> SessionConfig {
    let before = fields.problems.len();
    let secrets = judged(fields, &SECRETS, APP_SECRETS);
    let unread = fields.problems.len() > before;
    let claims = claims(
        fields,
        [&USER_CLAIM, &TIER_CLAIM, &SESSION_CLAIM],
        ClaimPaths::default(),
    );
    let listed = listed_providers(fields, &secrets, &claims, unread);
    let providers = listed.unwrap_or_else(|| {
        if secrets.is_empty() && !unread {
            missing_secret(fields);
        }
        let provider = |kind| ProviderConfig {
            kind,
            cookie_names: Vec::new(),
            secrets: secrets.clone(),
            claims: claims.clone(),
        };
        vec![
            provider(ProviderKind::AuthjsV5),
            provider(ProviderKind::NextauthV4),
        ]
    });
    let kinds: Vec<ProviderKind> = providers.iter().map(|provider| provider.kind).collect();
    fields.show(PROVIDERS.path, kinds.to_toml());
    SessionConfig {
        providers,
        session_id: session_id(fields),
        max_age: max_age(fields),
    }
}

/// How long a revocation is kept.
fn max_age(fields: &mut Fields) -> Duration {
    let bounds = lasting(Duration::from_mins(1)..=Duration::from_hours(400 * 24));
    fields.read(&MAX_AGE, SessionConfig::default().max_age, bounds)
}

const MAX_AGE: Key = key(
    "session.max_age",
    "The longest that the app lets a session live: so long a revocation is kept.",
);

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
    "The app's secrets, newest first, for every provider without its own. Also AUTH_SECRET (and _1 to _3) and NEXTAUTH_SECRET.",
)
.file_only()
.example("[{ env = \"AUTH_SECRET\" }]");
const USER_CLAIM: Key = key(
    "session.user_claim",
    "Path of the user id, as a list of keys.",
)
.file_only();
const TIER_CLAIM: Key = key("session.tier_claim", "Path of the tier.").file_only();
const SESSION_CLAIM: Key = key(
    "session.session_claim",
    "Path of the claim that is stable for one browser session.",
)
.file_only();

const PROVIDERS: Key = key("session.providers", "").file_only();
const KIND: Key = key(
    "session.providers[].kind",
    "\"authjs-v5\" or \"nextauth-v4\". Required.",
)
.file_only()
.example("\"authjs-v5\"");
const COOKIE_NAMES: Key = key(
    "session.providers[].cookie_names",
    "Names to look for, in order; default: the library's own.",
)
.file_only()
.example("[\"__Secure-authjs.session-token\"]");
const PROVIDER_SECRETS: Key = key(
    "session.providers[].secrets",
    "Its own secrets, newest first; default: session.secrets.",
)
.file_only()
.example("[{ file = \"/run/secrets/auth_secret\" }]");
const PROVIDER_USER: Key = key(
    "session.providers[].user_claim",
    "Default: session.user_claim.",
)
.file_only()
.example("[\"sub\"]");
const PROVIDER_TIER: Key = key(
    "session.providers[].tier_claim",
    "Default: session.tier_claim.",
)
.file_only()
.example("[\"tier\"]");
const PROVIDER_SESSION: Key = key(
    "session.providers[].session_claim",
    "Default: session.session_claim.",
)
.file_only()
.example("[\"sid\"]");

/// Secrets, less the samples; short ones are warned of.
fn judged(fields: &mut Fields, key: &Key, variables: &[&str]) -> Vec<Secret> {
    let found = fields.secrets(key, variables);
    for (secret, origin) in &found {
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
    found.into_iter().map(|(secret, _)| secret).collect()
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

/// `[[session.providers]]`; `None` if there are none in the file.
fn listed_providers(
    fields: &mut Fields,
    secrets: &[Secret],
    claims: &ClaimPaths,
    unread: bool,
) -> Option<Vec<ProviderConfig>> {
    let Some((Raw::Toml(value), origin)) = fields.find(&PROVIDERS) else {
        let keys = [
            &KIND,
            &COOKIE_NAMES,
            &PROVIDER_SECRETS,
            &PROVIDER_USER,
            &PROVIDER_TIER,
            &PROVIDER_SESSION,
        ];
        fields.record(&PROVIDERS, None, String::new(), Origin::Default);
        for key in keys {
            fields.record(key, None, String::new(), Origin::Default);
        }
        return None;
    };
    fields.record(&PROVIDERS, None, String::new(), origin.clone());
    let tables: Option<Vec<toml::Table>> = value
        .as_array()
        .and_then(|items| items.iter().map(|item| item.as_table().cloned()).collect());
    let Some(tables) = tables.filter(|tables| !tables.is_empty()) else {
        let text = "must be a list of tables, one [[session.providers]] for each format";
        fields.problem_at(&PROVIDERS, &origin, text);
        return Some(Vec::new());
    };
    let mut providers = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let read = |fields: &mut Fields| provider(fields, secrets, claims, unread);
        providers.extend(fields.in_entry(index, table, read));
    }
    Some(providers)
}

fn provider(
    fields: &mut Fields,
    shared: &[Secret],
    claims_of_all: &ClaimPaths,
    unread: bool,
) -> Option<ProviderConfig> {
    let before = fields.problems.len();
    let kind: Option<ProviderKind> = fields.optional(&KIND, any);
    if kind.is_none() && fields.problems.len() == before {
        let label = fields.label(&KIND);
        fields.problem(
            label,
            "is missing. Set it to \"authjs-v5\" or \"nextauth-v4\".",
        );
    }
    let cookie_names: Option<Vec<CookieName>> = fields.optional(&COOKIE_NAMES, any);
    let before = fields.problems.len();
    let mut secrets = judged(fields, &PROVIDER_SECRETS, &[]);
    if secrets.is_empty() {
        secrets = shared.to_vec();
    }
    if secrets.is_empty() && !unread && fields.problems.len() == before {
        let label = fields.label(&PROVIDER_SECRETS);
        fields.problem(
            label,
            "is missing, and so is session.secrets. Set one of them, or AUTH_SECRET.",
        );
    }
    let keys = [&PROVIDER_USER, &PROVIDER_TIER, &PROVIDER_SESSION];
    let claims = claims(fields, keys, claims_of_all.clone());
    Some(ProviderConfig {
        kind: kind?,
        cookie_names: cookie_names.unwrap_or_default(),
        secrets,
        claims,
    })
}

fn claims(fields: &mut Fields, keys: [&Key; 3], default: ClaimPaths) -> ClaimPaths {
    let [user, tier, session] = keys;
    let mut read = |key, default: Vec<String>| fields.read(key, default, |path| claim_path(path));
    ClaimPaths {
        user: read(user, default.user),
        tier: read(tier, default.tier),
        session: read(session, default.session),
    }
}

fn claim_path(path: &[String]) -> Result<(), String> {
    if path.is_empty() || path.len() > 16 {
        return Err(
            "must be a list of 1 to 16 keys such as [\"app_metadata\", \"tier\"]".to_owned(),
        );
    }
    Ok(())
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

impl Value for ProviderKind {
    fn from_text(text: &str) -> Result<Self, String> {
        let kind = Self::parse(text);
        kind.ok_or_else(|| "must be \"authjs-v5\" or \"nextauth-v4\"".to_owned())
    }

    fn to_toml(&self) -> String {
        super::values::quoted(self.label())
    }
}

impl Value for CookieName {
    fn from_text(text: &str) -> Result<Self, String> {
        let name = Self::parse(text);
        name.ok_or_else(|| "must be a cookie name: no spaces, no ; = or quotes".to_owned())
    }

    fn to_toml(&self) -> String {
        super::values::quoted(self.as_str())
    }
}
