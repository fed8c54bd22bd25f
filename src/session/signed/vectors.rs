//! Replays the vectors of JWTs in `tests/vectors/session-cookies.json`: made by the real libraries, and
//! what these made of them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::config::OutboundConfig;
use crate::generation::outbound;
use crate::secret::Secret;
use crate::session::{
    ClaimPaths, CookieName, FormatConfig, Front, ProviderConfig, ProviderKind, Session,
    SessionAuthenticator, SessionConfig, SessionError, Visit,
};

#[derive(Deserialize)]
struct VectorFile {
    vectors: Vec<Value>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    kind: String,
    cookie_header: String,
    config: Settings,
    now: u64,
    level: String,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Settings {
    jwks: Value,
    pem: Option<String>,
    certs: Value,
    hs256_secret: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    authorized_parties: Vec<String>,
    algorithms: Vec<String>,
    clock_tolerance: u64,
    cookie_name: String,
    cookie_suffix: Option<String>,
    user_claim: Vec<String>,
    tier_claim: Vec<String>,
    sid_claim: Vec<String>,
}

#[derive(Deserialize)]
struct Expect {
    ok: bool,
    #[serde(default)]
    user_id: Value,
    #[serde(default)]
    tier: Value,
    #[serde(default)]
    exp: Value,
    #[serde(default)]
    sid: Value,
    #[serde(default)]
    reason: String,
}

impl Settings {
    /// Every form in which the vector has the keys.
    fn sources(&self) -> Vec<Option<KeySource>> {
        let json = |value: &Value| KeySet::from_json(value.to_string().as_bytes());
        let all = [
            (!self.jwks.is_null()).then(|| json(&self.jwks)),
            (!self.certs.is_null()).then(|| json(&self.certs)),
            self.pem
                .as_ref()
                .map(|pem| KeySet::from_pem(pem.as_bytes())),
        ];
        let found: Vec<_> = all
            .into_iter()
            .flatten()
            .map(|keys| Some(KeySource::Held(Arc::new(keys.unwrap()))))
            .collect();
        if found.is_empty() { vec![None] } else { found }
    }

    fn provider(&self, kind: ProviderKind, keys: Option<KeySource>) -> ProviderConfig {
        let secrets = self.hs256_secret.iter();
        let config = SignedConfig {
            dialect: match kind {
                ProviderKind::Clerk => Dialect::Clerk,
                ProviderKind::Firebase => Dialect::Firebase,
                ProviderKind::Supabase => Dialect::Supabase,
                _ => Dialect::Plain,
            },
            algorithms: self
                .algorithms
                .iter()
                .map(|label| Algorithm::parse(label).unwrap())
                .collect(),
            keys,
            secrets: secrets.map(|secret| Secret::new(secret.as_str())).collect(),
            issuer: self.issuer.clone(),
            audiences: self.audience.iter().cloned().collect(),
            authorized_parties: self.authorized_parties.clone(),
            clock_tolerance: Duration::from_secs(self.clock_tolerance),
        };
        let mut provider = ProviderConfig::new(kind, FormatConfig::Signed(config));
        let suffixed = self.cookie_suffix.as_ref();
        let suffixed = suffixed.map(|suffix| format!("{}_{suffix}", self.cookie_name));
        provider.cookie_names = suffixed
            .iter()
            .chain([&self.cookie_name])
            .map(|name| CookieName::parse(name).unwrap())
            .collect();
        provider.claims.paths = ClaimPaths {
            user: self.user_claim.clone(),
            tier: self.tier_claim.clone(),
            session: self.sid_claim.clone(),
            ..ClaimPaths::default()
        };
        provider
    }
}

impl Vector {
    fn kind(&self) -> ProviderKind {
        match self.kind.as_str() {
            "jwt-jwks" => ProviderKind::Signed,
            kind => ProviderKind::parse(kind).unwrap(),
        }
    }

    fn check(&self, found: &Result<Session, SessionError>) -> Result<(), String> {
        match found {
            Ok(_) if self.level == "any" && !self.expect.ok => Ok(()),
            Ok(session) => {
                let user: Value = session.identity.user.as_str().into();
                let fits = self.expect.ok
                    && user == self.expect.user_id
                    && session.tier == self.expect.tier
                    && session.expires_at.clone().map(Value::Number)
                        == Some(self.expect.exp.clone())
                    && (self.expect.sid.is_null()
                        || session.claim.as_deref() == self.expect.sid.as_str());
                fits.then_some(()).ok_or_else(|| format!("{session:?}"))
            }
            Err(_) if self.level == "any" => Ok(()),
            Err(error) if self.expect.ok => Err(error.to_string()),
            Err(error) => {
                let expected = match self.expect.reason.as_str() {
                    "expired" => "session_expired",
                    _ => "session_invalid",
                };
                let fits = error.code() == expected;
                fits.then_some(())
                    .ok_or_else(|| format!("{expected} expected: {error}"))
            }
        }
    }
}

const KINDS: [&str; 4] = ["jwt-jwks", "clerk", "firebase", "supabase"];

#[tokio::test]
async fn every_vector_is_judged_as_its_library_does_and_again_from_memory() {
    let text = include_str!("../../../tests/vectors/session-cookies.json");
    let file: VectorFile = serde_json::from_str(text).unwrap();
    let ours = |vector: &Value| KINDS.iter().any(|kind| vector["kind"] == *kind);
    let vectors: Vec<Vector> = file
        .vectors
        .into_iter()
        .filter(ours)
        .map(|vector| serde_json::from_value(vector).unwrap())
        .collect();
    assert_eq!(vectors.len(), 38);
    let mut wrong = Vec::new();
    for vector in &vectors {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, vector.cookie_header.parse().unwrap());
        let visit = Visit {
            headers: &headers,
            front: Front::default(),
            now: Now {
                unix: Duration::from_secs(vector.now),
                elapsed: Duration::ZERO,
            },
        };
        for keys in vector.config.sources() {
            // A PEM has no key ids to miss.
            let nameless = matches!(&keys, Some(KeySource::Held(keys)) if keys.knows(Some("x")));
            if nameless && vector.expect.reason == "no key" {
                continue;
            }
            let config = SessionConfig {
                providers: vec![vector.config.provider(vector.kind(), keys)],
                ..SessionConfig::default()
            };
            let outbound = outbound(&OutboundConfig::default()).unwrap();
            let authenticator = SessionAuthenticator::new(&config, &outbound).unwrap();
            for _ in 0..2 {
                let found = authenticator.authenticate(&visit).await;
                if let Err(difference) = vector.check(&found) {
                    wrong.push(format!("{}: {difference}", vector.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
