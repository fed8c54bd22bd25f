//! What a JWT gives, whatever is in it: a genuine one what it says, one under another header no more
//! than the header allows, and a damaged or forged one nothing.
//!
//! Input: a byte that chooses the provider, the case and who signs; then for a damaged token two bytes
//! (where, and what is changed), for an odd or a forged one a line with its header's JSON; and then
//! the claims' JSON.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::Value;

use super::gateway::secret::Secret;
use super::gateway::session::{
    Algorithm, CookieName, FormatConfig, KeySet, KeySource, ProviderConfig, ProviderKind,
    Requirement, Session, SessionAuthenticator, SessionError, SignedConfig, SignedDialect,
};
use super::input::{choice, line};
use super::rules::{self, INVALID, Rules};
use super::sessions;
use super::writers::{Signer, percent_encode};

/// Who signs, with the name of the key; the last of two secrets.
pub static SIGNERS: LazyLock<[(&str, Signer); 3]> = LazyLock::new(|| {
    [
        ("ed", Signer::ed25519(5)),
        ("es", Signer::p256(6)),
        (
            "hs",
            Signer::Secret(b"a secret of the app's, 32 bytes+".to_vec()),
        ),
    ]
});

/// Whose keys nobody knows, and who names them as he likes: two of his own, what everybody knows of
/// the others as secrets, and no secret at all.
static FORGERS: LazyLock<[Signer; 5]> = LazyLock::new(|| {
    let public = |at: usize| SIGNERS[at].1.public().to_vec();
    [
        Signer::ed25519(7),
        Signer::p256(7),
        Signer::Secret(public(0)),
        Signer::Secret(public(1)),
        Signer::Secret(Vec::new()),
    ]
});

/// One provider's cookie, what it takes, and its rules.
struct Stand {
    cookie: &'static str,
    kind: ProviderKind,
    algorithms: &'static [&'static str],
    rules: Rules,
}

static STANDS: LazyLock<[Stand; 4]> = LazyLock::new(|| {
    let plain = || Rules {
        user: &["sub"],
        tier: &["tier"],
        session: &["sid"],
        ..Rules::default()
    };
    [
        Stand {
            cookie: "all",
            kind: ProviderKind::Signed,
            algorithms: &["EdDSA", "ES256", "HS256"],
            rules: plain(),
        },
        Stand {
            cookie: "secret",
            kind: ProviderKind::Signed,
            algorithms: &["HS256"],
            rules: Rules {
                prefix: "hs:",
                tolerance: 15.0,
                issuer: Some("https://id.example/"),
                audiences: &["app", "api"],
                ..plain()
            },
        },
        Stand {
            cookie: "__session",
            kind: ProviderKind::Clerk,
            algorithms: &["EdDSA", "ES256"],
            rules: Rules {
                tier: &["pla"],
                tolerance: 5.0,
                refuses_future: true,
                parties: &["https://app.example"],
                most_of_subject: Some(usize::MAX),
                pending: Some("pending"),
                ..plain()
            },
        },
        Stand {
            cookie: "session",
            kind: ProviderKind::Firebase,
            algorithms: &["EdDSA", "ES256"],
            rules: Rules {
                audiences: &["app"],
                most_of_subject: Some(128),
                wants_verified: true,
                ..plain()
            },
        },
    ]
});

static AUTHENTICATOR: LazyLock<SessionAuthenticator> =
    LazyLock::new(|| sessions::authenticator(STANDS.iter().map(Stand::provider).collect()));

/// How JWTs of [`SIGNERS`] are checked that are signed by one of `algorithms`.
#[must_use]
pub fn config(algorithms: &[&str]) -> SignedConfig {
    let jwks: Vec<String> = SIGNERS.iter().map(|(kid, key)| key.jwk(kid)).collect();
    let set = format!(r#"{{"keys":[{}]}}"#, jwks.join(","));
    let keys = Arc::new(KeySet::from_json(set.as_bytes()).unwrap());
    let has_key = algorithms.iter().any(|name| *name != "HS256");
    let Signer::Secret(secret) = &SIGNERS[2].1 else {
        panic!("the last one is a secret");
    };
    let secrets = if algorithms.contains(&"HS256") {
        vec![
            Secret::new("the newer secret of the two"),
            Secret::new(secret.clone()),
        ]
    } else {
        Vec::new()
    };
    SignedConfig {
        algorithms: algorithms
            .iter()
            .map(|name| Algorithm::parse(name).unwrap())
            .collect(),
        keys: has_key.then_some(KeySource::Held(keys)),
        secrets,
        ..SignedConfig::default()
    }
}

impl Stand {
    fn provider(&self) -> ProviderConfig {
        let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        let signed = SignedConfig {
            dialect: match self.kind.label() {
                "clerk" => SignedDialect::Clerk,
                "firebase" => SignedDialect::Firebase,
                _ => SignedDialect::Plain,
            },
            issuer: self.rules.issuer.map(str::to_owned),
            audiences: texts(self.rules.audiences),
            authorized_parties: texts(self.rules.parties),
            clock_tolerance: Duration::from_secs_f64(self.rules.tolerance),
            ..config(self.algorithms)
        };
        let mut provider = ProviderConfig::new(self.kind, FormatConfig::Signed(signed));
        provider.cookie_names = vec![CookieName::parse(self.cookie).unwrap()];
        self.rules
            .prefix
            .clone_into(&mut provider.claims.user_prefix);
        if self.rules.wants_verified {
            provider.claims.required = vec![Requirement {
                claim: texts(&["email_verified"]),
                one_of: vec![Value::Bool(true)],
            }];
        }
        provider
    }

    fn open(&self, token: &[u8]) -> Result<Session, SessionError> {
        let headers = sessions::cookies(&[(self.cookie, percent_encode(token))]);
        sessions::authenticate_by(&AUTHENTICATOR, &headers)
    }

    /// Whether this header, above a token of the signer `kid`, lets it be opened.
    fn allows(&self, header: &Value, kid: &str, signer: &Signer) -> bool {
        let own = signer.algorithm();
        let names_key = match header.get("kid") {
            None => self.kind != ProviderKind::Firebase,
            // Secrets have no names.
            Some(name) => *name == kid || (own == "HS256" && name.is_string()),
        };
        let is_jwt = match header.get("typ") {
            None => true,
            Some(name) if self.kind == ProviderKind::Clerk => name == "JWT",
            Some(name) => name.is_string(),
        };
        header.is_object()
            && header["alg"] == own
            && self.algorithms.contains(&own)
            && names_key
            && is_jwt
            && header.get("crit").is_none()
    }
}

/// Checks one token.
pub fn check(data: &[u8]) {
    let Some((choice, rest)) = choice(data) else {
        return;
    };
    let stand = &STANDS[usize::from(choice % 4)];
    let signer = usize::from(choice / 16);
    match choice / 4 % 4 {
        0 => genuine(stand, &SIGNERS[signer % 3], rest),
        1 => odd(stand, &SIGNERS[signer % 3], rest),
        2 => damaged(stand, &SIGNERS[signer % 3], rest),
        _ => forged(stand, &FORGERS[signer % 5], rest),
    }
}

/// Signed with a key that is held, as issuers do: judged by what it says.
fn genuine(stand: &Stand, (kid, signer): &(&str, Signer), payload: &[u8]) {
    let Ok(payload) = std::str::from_utf8(payload) else {
        return;
    };
    let header = usual_header(kid, signer);
    judge(stand, kid, signer, &header, payload);
}

/// Signed under another header: it opens if the header is one for this key, and no other is needed.
fn odd(stand: &Stand, (kid, signer): &(&str, Signer), rest: &[u8]) {
    let (header, payload) = line(rest);
    if let (Ok(header), Ok(payload)) = (std::str::from_utf8(header), std::str::from_utf8(payload)) {
        judge(stand, kid, signer, header, payload);
    }
}

fn judge(stand: &Stand, kid: &str, signer: &Signer, header: &str, payload: &str) {
    let token = signer.token(header, payload);
    let verdict = stand.open(token.as_bytes());
    // What is remembered is judged as it was.
    assert!(sessions::same(&verdict, &stand.open(token.as_bytes())));
    if let Ok(session) = &verdict {
        rules::check_session(session);
        assert_eq!(session.provider, stand.kind.label());
        assert_eq!(session.carrier.as_str(), stand.cookie);
    }
    // What cannot be read here has parts that nobody asks for.
    let (Ok(header), Ok(claims)) = (
        serde_json::from_str::<Value>(header),
        serde_json::from_str::<Value>(payload),
    ) else {
        return;
    };
    let expected = if stand.allows(&header, kid, signer) {
        stand.rules.judge_jwt(&claims)
    } else {
        Err(INVALID)
    };
    rules::compare(&verdict, &expected);
}

/// Changed in one byte after it was signed: invalid, and nothing is said about its content.
fn damaged(stand: &Stand, (kid, signer): &(&str, Signer), rest: &[u8]) {
    let [place, change, payload @ ..] = rest else {
        return;
    };
    let Ok(payload) = std::str::from_utf8(payload) else {
        return;
    };
    let mut token = signer
        .token(&usual_header(kid, signer), payload)
        .into_bytes();
    let at = usize::from(*place) * token.len() / 256;
    token[at] ^= change | 1;
    assert_refused(&stand.open(&token));
}

/// Signed with a key that is not held, whatever the header says of it.
fn forged(stand: &Stand, forger: &Signer, rest: &[u8]) {
    let (header, payload) = line(rest);
    if let (Ok(header), Ok(payload)) = (std::str::from_utf8(header), std::str::from_utf8(payload)) {
        assert_refused(&stand.open(forger.token(header, payload).as_bytes()));
    }
}

fn assert_refused(verdict: &Result<Session, SessionError>) {
    rules::compare(verdict, &Err(INVALID));
}

/// The header that issuers write.
#[must_use]
pub fn usual_header(kid: &str, signer: &Signer) -> String {
    let alg = signer.algorithm();
    format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"JWT"}}"#)
}
