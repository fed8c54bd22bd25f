//! Reads how JWTs are checked.
//!
//! A preset derives what it can from one key; what is written out wins over what is derived.

mod address;
mod presets;
mod sources;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::sealed::OWN_SECRETS;
use super::{OneOrMore, judged};
use crate::config::bounds::{any, lasting};
use crate::config::fields::{Fields, Key, key};
use crate::config::sources::Origin;
use crate::config::values::{Value, quoted};
use crate::secret::Secret;
use crate::session::{
    Algorithm, ClaimRules, CookieName, FormatConfig, KeySource, ProviderKind, SignedConfig,
    SignedDialect,
};
use presets::Preset;
use sources::Source;

/// The format of a `kind` of this family; `None` if there is a problem with it. Where no cookie names
/// are set, the preset may know them.
pub(super) fn format(
    fields: &mut Fields,
    kind: ProviderKind,
    claims: &ClaimRules,
    cookie_names: &mut Vec<CookieName>,
) -> Option<FormatConfig> {
    let before = fields.problems.len();
    let preset = presets::read(fields, kind, cookie_names);
    if kind == ProviderKind::Supabase {
        presets::refuse_user_metadata(fields, claims);
    }
    let listed: Option<Vec<Algorithm>> = fields.optional(&ALGORITHMS, |listed: &Vec<Algorithm>| {
        check_algorithms(listed, &preset)
    });
    let secrets = if preset.may.contains(&Algorithm::Hs256) {
        judged(fields, &OWN_SECRETS, &[])
    } else {
        Vec::new()
    };
    let asymmetric = |listed: &Vec<Algorithm>| listed.iter().any(|one| !one.is_symmetric());
    let derive = listed.as_ref().is_none_or(asymmetric);
    let source = sources::read(fields, preset.jwks_url.clone().filter(|_| derive));
    let issuer: Option<String> = fields.optional(&ISSUER, any);
    let audiences: Option<OneOrMore> = fields.optional(&AUDIENCE, any);
    let authorized_parties: Option<Vec<String>> = fields.optional(&AUTHORIZED_PARTIES, any);
    let clock_tolerance = fields.read(
        &CLOCK_TOLERANCE,
        preset.tolerance,
        lasting(Duration::ZERO..=Duration::from_mins(5)),
    );
    let issuer = issuer.or(preset.issuer.clone());
    if fields.problems.len() == before && kind == ProviderKind::Supabase && issuer.is_none() {
        let label = fields.label(&presets::PROJECT_URL);
        let text =
            "is missing. Set it to the project's URL (https://<ref>.supabase.co), or set issuer";
        fields.problem(label, text);
    }
    if fields.problems.len() > before {
        return None;
    }
    let algorithms = algorithms(fields, listed, &preset, source.as_ref(), &secrets)?;
    let config = SignedConfig {
        dialect: preset.dialect,
        algorithms,
        keys: source.map(|source| source.keys),
        secrets,
        issuer,
        audiences: audiences.map_or(preset.audiences, |audiences| audiences.0),
        authorized_parties: authorized_parties.unwrap_or_default(),
        clock_tolerance,
    };
    warn(fields, &config);
    Some(FormatConfig::Signed(config))
}

/// An issuer signs for many: without these, whoever has any token of its has a session here.
fn warn(fields: &mut Fields, config: &SignedConfig) {
    let is_clerk = config.dialect == SignedDialect::Clerk;
    // Clerk's session tokens have no audience; their authorized party is the app's origin.
    let (key, is_open) = if is_clerk {
        (&AUTHORIZED_PARTIES, config.authorized_parties.is_empty())
    } else {
        (&AUDIENCE, config.audiences.is_empty())
    };
    let checks = [(&ISSUER, config.issuer.is_none()), (key, is_open)];
    for (key, is_missing) in checks {
        if is_missing && matches!(config.keys, Some(KeySource::Url { .. })) {
            let label = fields.label(key);
            fields.warnings.push(format!(
                "{label} is not set: tokens that the same keys sign for other apps or purposes are \
                 sessions here too"
            ));
        }
    }
}

/// Every key of a provider that this file reads.
pub(super) const KEYS: &[&Key] = &[
    &presets::PUBLISHABLE_KEY,
    &presets::PROJECT_ID,
    &presets::DOMAIN,
    &presets::PROJECT_URL,
    &ALGORITHMS,
    &sources::JWKS_URL,
    &sources::ALLOW_PLAINTEXT,
    &sources::JWKS_FILE,
    &sources::PEM_FILE,
    &sources::JWKS_REFRESH,
    &ISSUER,
    &AUDIENCE,
    &AUTHORIZED_PARTIES,
    &CLOCK_TOLERANCE,
];

const ALGORITHMS: Key = key(
    "session.providers[].algorithms",
    "How a JWT may be signed: RS256/384/512, PS256/384/512, ES256/384, EdDSA, HS256 (secrets); default: by kind.",
)
.file_only()
.example("[\"RS256\"]");
const ISSUER: Key = key(
    "session.providers[].issuer",
    "What a JWT's iss must be, to the last slash.",
)
.file_only()
.example("\"https://tenant.eu.auth0.com/\"");
const AUDIENCE: Key = key(
    "session.providers[].audience",
    "What a JWT's aud must be or hold; a list: one of these.",
)
.file_only()
.example("\"https://api.example\"");
const AUTHORIZED_PARTIES: Key = key(
    "session.providers[].authorized_parties",
    "Origins of the app, one of which a JWT's azp must be; a JWT without one passes.",
)
.file_only()
.example("[\"https://app.example\"]");
const CLOCK_TOLERANCE: Key = key(
    "session.providers[].clock_tolerance",
    "How far the issuer's clock may be off; default 0s, clerk 5s.",
)
.file_only()
.example("\"5s\"");

fn check_algorithms(listed: &[Algorithm], preset: &Preset) -> Result<(), String> {
    if listed.is_empty() {
        return Err("is empty: then no token passes".to_owned());
    }
    match listed.iter().find(|one| !preset.may.contains(one)) {
        None => Ok(()),
        Some(other) => Err(format!(
            "holds {}, which this kind of session never has: leave algorithms out",
            other.label()
        )),
    }
}

/// The algorithms, each with a key or a secret, and each key and secret with an algorithm.
fn algorithms(
    fields: &mut Fields,
    listed: Option<Vec<Algorithm>>,
    preset: &Preset,
    source: Option<&Source>,
    secrets: &[Secret],
) -> Option<Vec<Algorithm>> {
    if source.is_none() && secrets.is_empty() {
        let label = fields.label(preset.needs);
        fields.problem(label, preset.without_keys);
        return None;
    }
    let has_key = |algorithm: Algorithm| match source.map(|source| &source.keys) {
        _ if algorithm.is_symmetric() => !secrets.is_empty(),
        None => false,
        Some(KeySource::Url { .. }) => true,
        Some(KeySource::Held(keys)) => keys.has_key_for(algorithm),
    };
    let Some(listed) = listed else {
        let all = preset.unless_told.iter().copied();
        let found: Vec<Algorithm> = all.filter(|algorithm| has_key(*algorithm)).collect();
        let symmetric = |one: &Algorithm| one.is_symmetric();
        if let Some(source) = source
            && found.iter().all(symmetric)
        {
            let label = fields.label(source.key);
            let text = "holds no key for an algorithm that this kind of session has by default: set algorithms";
            fields.problem(label, text);
            return None;
        }
        return Some(found);
    };
    if let Some(lacking) = listed.iter().find(|algorithm| !has_key(**algorithm)) {
        let label = fields.label(&ALGORITHMS);
        let fix = if lacking.is_symmetric() {
            "set secrets to what the app signs with, or take it out"
        } else {
            "set jwks_url, jwks_file or pem_file to where a key for it is, or take it out"
        };
        let text = format!(
            "holds {}, for which there is no key: {fix}",
            lacking.label()
        );
        fields.problem(label, text);
        return None;
    }
    let unused = if !secrets.is_empty() && !listed.iter().any(|one| one.is_symmetric()) {
        Some((
            &OWN_SECRETS,
            "is for HS256, which algorithms does not hold: add it, or take the secrets out",
        ))
    } else if let Some(source) = source
        && !listed.iter().any(|one| !one.is_symmetric())
    {
        Some((
            source.key,
            "is for no algorithm that algorithms holds: add one, or take it out",
        ))
    } else {
        None
    };
    if let Some((key, text)) = unused {
        let label = fields.label(key);
        fields.problem(label, text);
        return None;
    }
    Some(listed)
}

/// Whether the value that was read last was set.
fn was_set(fields: &Fields) -> bool {
    fields.last_origin() != Origin::Default
}

impl Value for Algorithm {
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            let labels: Vec<_> = Self::ALL.iter().map(|one| one.label()).collect();
            format!("is none of {}", labels.join(", "))
        })
    }

    fn to_toml(&self) -> String {
        quoted(self.label())
    }
}
