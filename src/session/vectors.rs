//! Replays `tests/vectors/session-cookies.json`: cookies made by the real libraries, and what these
//! made of them.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::config::OutboundConfig;
use crate::generation::outbound;
use crate::secret::Secret;

#[derive(Deserialize)]
struct VectorFile {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    kind: String,
    cookie_header: String,
    cookie_headers: Option<Vec<String>>,
    config: VectorConfig,
    now: u64,
    level: String,
    expect: Expect,
    group: Option<String>,
}

/// Other kinds have other settings.
#[derive(Default, Deserialize)]
#[serde(default)]
struct VectorConfig {
    secrets: Vec<String>,
    passwords: BTreeMap<String, String>,
    strategy: String,
    token_cookie_name: String,
    cookie_name: String,
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

impl Vector {
    fn format(&self, kind: ProviderKind) -> FormatConfig {
        let secrets = self.config.secrets.iter();
        let secrets = secrets.map(|secret| Secret::new(secret.as_str())).collect();
        let sealed = |dialect, secrets| FormatConfig::Sealed { dialect, secrets };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "other kinds are not replayed here"
        )]
        match kind {
            ProviderKind::NextauthV4 => sealed(Dialect::NextauthV4, secrets),
            ProviderKind::Auth0V4 => sealed(Dialect::Auth0V4, secrets),
            ProviderKind::BetterAuthCache => FormatConfig::BetterAuthCache {
                secrets,
                strategy: CacheStrategy::ALL
                    .into_iter()
                    .find(|strategy| strategy.label() == self.config.strategy)
                    .unwrap(),
                token_cookie_names: vec![
                    CookieName::parse(&self.config.token_cookie_name).unwrap(),
                ],
            },
            ProviderKind::IronSession => {
                let passwords = self.config.passwords.iter();
                let passwords =
                    passwords.map(|(id, text)| (id.clone(), Secret::new(text.as_str())));
                FormatConfig::IronSession {
                    passwords: passwords.collect(),
                }
            }
            _ => sealed(Dialect::AuthjsV5, secrets),
        }
    }

    fn authenticator(&self, sid_claim: Vec<String>) -> SessionAuthenticator {
        let kind = ProviderKind::parse(&self.kind).unwrap();
        let mut provider = ProviderConfig::new(kind, self.format(kind));
        provider.cookie_names = vec![CookieName::parse(&self.config.cookie_name).unwrap()];
        provider.claims.paths = ClaimPaths {
            user: self.config.user_claim.clone(),
            tier: self.config.tier_claim.clone(),
            session: sid_claim,
            ..ClaimPaths::default()
        };
        let config = SessionConfig {
            providers: vec![provider],
            ..SessionConfig::default()
        };
        SessionAuthenticator::new(&config, &outbound(&OutboundConfig::default()).unwrap()).unwrap()
    }

    async fn authenticate(&self, sid_claim: Vec<String>) -> Result<Session, SessionError> {
        let joined = std::slice::from_ref(&self.cookie_header);
        let mut headers = HeaderMap::new();
        for field in self.cookie_headers.as_deref().unwrap_or(joined) {
            headers.append(header::COOKIE, field.parse().unwrap());
        }
        let now = Now {
            unix: Duration::from_secs(self.now),
            elapsed: Duration::ZERO,
        };
        let visit = Visit {
            headers: &headers,
            front: Front::default(),
            now,
        };
        self.authenticator(sid_claim).authenticate(&visit).await
    }

    fn check(&self, found: &Result<Session, SessionError>) -> Result<(), String> {
        match found {
            Ok(_) if self.level == "any" && !self.expect.ok => Ok(()),
            Ok(session) => self.check_session(session),
            Err(_) if self.level == "any" => Ok(()),
            Err(error) if self.expect.ok => Err(error.to_string()),
            Err(error) => {
                let expected = match self.expect.reason.as_str() {
                    "expired" => "session_expired",
                    "no cookie" => "session_missing",
                    _ => "session_invalid",
                };
                if error.code() == expected {
                    Ok(())
                } else {
                    Err(format!("{expected} expected: {error}"))
                }
            }
        }
    }

    fn check_session(&self, session: &Session) -> Result<(), String> {
        let user: Value = session.identity.user.as_str().into();
        let fits = self.expect.ok
            && user == self.expect.user_id
            && session.tier == self.expect.tier
            && session
                .expires_at
                .clone()
                .map_or(Value::Null, Value::Number)
                == self.expect.exp
            && session.carrier.as_str() == self.config.cookie_name
            && session.provider == self.kind;
        fits.then_some(()).ok_or_else(|| format!("{session:?}"))
    }
}

/// The kinds that are replayed here: those that only need secrets.
const KINDS: [ProviderKind; 5] = [
    ProviderKind::AuthjsV5,
    ProviderKind::NextauthV4,
    ProviderKind::Auth0V4,
    ProviderKind::BetterAuthCache,
    ProviderKind::IronSession,
];

/// Their vectors.
fn vectors() -> Vec<Vector> {
    let text = include_str!("../../tests/vectors/session-cookies.json");
    let mut file: VectorFile = serde_json::from_str(text).unwrap();
    file.vectors
        .retain(|vector| KINDS.iter().any(|kind| kind.label() == vector.kind));
    file.vectors
}

#[tokio::test]
async fn every_vector_is_judged_as_its_library_does() {
    let vectors = vectors();
    let mut wrong = Vec::new();
    for vector in &vectors {
        let found = vector.authenticate(vector.config.sid_claim.clone()).await;
        if let Err(difference) = vector.check(&found) {
            wrong.push(format!("{}: {difference}", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for kind in KINDS {
        let count = vectors.iter().filter(|v| v.kind == kind.label()).count();
        assert!(count >= 9, "{kind:?}: {count}");
    }
}

#[tokio::test]
async fn one_browser_session_keeps_its_id_while_its_cookie_rolls() {
    let rotation: Vec<_> = vectors()
        .into_iter()
        .filter(|vector| vector.group.as_deref() == Some("authjs-rotation"))
        .collect();
    assert!(rotation.len() >= 2);
    let mut ids = Vec::new();
    for vector in &rotation {
        assert!(vector.expect.sid.is_string());
        let with = vector.authenticate(vector.config.sid_claim.clone()).await;
        let without = vector.authenticate(Vec::new()).await;
        let id = |found: Result<Session, _>| found.unwrap().identity.session_id.unwrap();
        let (with, without) = (id(with), id(without));
        assert_ne!(with, without, "the claim counts");
        ids.push(with);
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
}
