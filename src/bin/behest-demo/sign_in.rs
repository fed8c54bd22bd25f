//! Signing in: two users, and the session cookie that each is given.
//!
//! The cookie is what an Auth.js v5 app sets over http: same name, same sealing, same attributes.
//! Its `sid` stays the same while the tier changes, as an app's `jwt` callback would have it.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::json;

use behest_gateway::clock::Now;

use crate::auth_js::AuthJs;

/// The cookie's name, as Auth.js v5 chooses it without https.
const COOKIE_NAME: &str = "authjs.session-token";
/// How long a session lasts, in seconds.
const LIFETIME: u64 = 8 * 60 * 60;

/// Who may sign in: id, name, e-mail address, tier at first.
const PEOPLE: [(&str, &str, &str, Tier); 2] = [
    ("ada", "Ada Lovelace", "ada@example.com", Tier::Free),
    ("grace", "Grace Hopper", "grace@example.com", Tier::Pro),
];

/// What a user has paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    /// Few requests.
    Free,
    /// Many.
    Pro,
}

/// Somebody who is signed in: what the cookie holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SignedIn {
    /// The app's id of the user.
    pub(crate) sub: String,
    name: String,
    email: String,
    tier: Tier,
    sid: String,
    exp: u64,
}

impl SignedIn {
    /// A new session of the user with this id; `None` if there is no such user.
    ///
    /// # Errors
    /// If there is no randomness.
    pub(crate) fn begin(id: &str, now: Now) -> Result<Option<Self>, Unspecified> {
        let Some((id, name, email, tier)) = PEOPLE.into_iter().find(|person| person.0 == id) else {
            return Ok(None);
        };
        Ok(Some(Self {
            sub: id.to_owned(),
            name: name.to_owned(),
            email: email.to_owned(),
            tier,
            sid: random_text::<16>()?,
            exp: now.unix_seconds() + LIFETIME,
        }))
    }

    /// The same session with another tier.
    pub(crate) fn with_tier(self, tier: Tier) -> Self {
        Self { tier, ..self }
    }

    /// What the page may know.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let next_tier = match self.tier {
            Tier::Free => Tier::Pro,
            Tier::Pro => Tier::Free,
        };
        json!({
            "id": self.sub, "name": self.name, "email": self.email,
            "tier": self.tier, "next_tier": next_tier,
        })
    }
}

/// Seals sessions into cookies and reads them back.
pub(crate) struct SignIn {
    seal: AuthJs,
}

impl SignIn {
    /// With the app's `AUTH_SECRET`.
    ///
    /// # Errors
    /// If the cryptography fails, which no input makes it do.
    pub(crate) fn new(secret: &str) -> Result<Self, Unspecified> {
        let seal = AuthJs::new(secret, COOKIE_NAME)?;
        Ok(Self { seal })
    }

    /// The `Set-Cookie` for this session: sealed anew, so that `iat` and `jti` are new as well.
    ///
    /// # Errors
    /// If there is no randomness.
    pub(crate) fn cookie(&self, session: &SignedIn, now: Now) -> Result<HeaderValue, Unspecified> {
        let issued = now.unix_seconds();
        let sealed = self.seal.seal(&json!({
            "name": session.name, "email": session.email, "sub": session.sub,
            "tier": session.tier, "sid": session.sid,
            "iat": issued, "exp": session.exp, "jti": random_text::<16>()?,
        }))?;
        let life = session.exp.saturating_sub(issued);
        set_cookie(&sealed, life)
    }

    /// The `Set-Cookie` that signs out.
    ///
    /// # Errors
    /// Never: the name is a constant.
    pub(crate) fn no_cookie() -> Result<HeaderValue, Unspecified> {
        set_cookie("", 0)
    }

    /// Who sent these headers, if anybody signed in; the first cookie of the name counts.
    pub(crate) fn read(&self, headers: &HeaderMap, now: Now) -> Option<SignedIn> {
        let sealed = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == COOKIE_NAME)?
            .1;
        let claims = self.seal.open(sealed)?;
        let session: SignedIn = serde_json::from_value(claims).ok()?;
        (session.exp > now.unix_seconds()).then_some(session)
    }
}

fn set_cookie(content: &str, seconds: u64) -> Result<HeaderValue, Unspecified> {
    let line =
        format!("{COOKIE_NAME}={content}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    HeaderValue::try_from(line).map_err(|_| Unspecified)
}

/// `BYTES` random bytes as base64url.
///
/// # Errors
/// If there is no randomness.
pub(crate) fn random_text<const BYTES: usize>() -> Result<String, Unspecified> {
    let mut random = [0; BYTES];
    rand::fill(&mut random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use behest_gateway::clock::Clock;
    use behest_gateway::config::{Config, OutboundConfig, Sources};
    use behest_gateway::generation::outbound;
    use behest_gateway::session::{Front, Session, SessionAuthenticator, Visit};

    use super::*;

    const SECRET: &str = "Zk3vQm1x8sT0pYw5cRb7uHn2eLa9dGj4";

    fn gateway() -> SessionAuthenticator {
        let env = BTreeMap::from([("AUTH_SECRET".to_owned(), SECRET.to_owned())]);
        let sources = Sources {
            env,
            ..Sources::default()
        };
        let session = Config::load_session(sources).unwrap().session;
        SessionAuthenticator::new(&session, &outbound(&OutboundConfig::default()).unwrap()).unwrap()
    }

    fn sent_back(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(pair).unwrap())])
    }

    async fn opened_by_the_gateway(cookie: &HeaderValue, now: Now) -> Session {
        let visit = Visit {
            headers: &sent_back(cookie),
            front: Front::default(),
            now,
        };
        gateway().authenticate(&visit).await.unwrap()
    }

    #[tokio::test]
    async fn the_gateway_opens_the_cookie_as_an_auth_js_session() {
        let (sign_in, now) = (SignIn::new(SECRET).unwrap(), Clock::system().now());
        let ada = SignedIn::begin("ada", now).unwrap().unwrap();
        let cookie = sign_in.cookie(&ada, now).unwrap();
        let session = opened_by_the_gateway(&cookie, now).await;
        assert_eq!(session.provider, "authjs-v5");
        assert_eq!(session.identity.user.as_str(), "ada");
        assert_eq!(session.tier, json!("free"));
        assert_eq!(session.expires_at.unwrap().as_u64(), Some(ada.exp));
    }

    #[tokio::test]
    async fn another_tier_is_the_same_session() {
        let (sign_in, now) = (SignIn::new(SECRET).unwrap(), Clock::system().now());
        let ada = SignedIn::begin("ada", now).unwrap().unwrap();
        let before = opened_by_the_gateway(&sign_in.cookie(&ada, now).unwrap(), now).await;
        let cookie = sign_in.cookie(&ada.with_tier(Tier::Pro), now).unwrap();
        let after = opened_by_the_gateway(&cookie, now).await;
        assert_eq!(after.tier, json!("pro"));
        assert_eq!(after.identity.session_id, before.identity.session_id);
        assert!(after.identity.session_id.is_some());
    }

    #[test]
    fn the_app_reads_its_own_cookie_until_it_ends() {
        let (sign_in, clock) = (SignIn::new(SECRET).unwrap(), Clock::manual(1_800_000_000));
        let grace = SignedIn::begin("grace", clock.now()).unwrap().unwrap();
        let headers = sent_back(&sign_in.cookie(&grace, clock.now()).unwrap());
        assert_eq!(sign_in.read(&headers, clock.now()), Some(grace));
        clock.advance(std::time::Duration::from_secs(LIFETIME));
        assert_eq!(sign_in.read(&headers, clock.now()), None);
        let signed_out = sent_back(&SignIn::no_cookie().unwrap());
        assert_eq!(sign_in.read(&signed_out, clock.now()), None);
    }

    #[test]
    fn nobody_else_can_sign_in() {
        let now = Clock::system().now();
        assert_eq!(SignedIn::begin("mallory", now).unwrap(), None);
    }
}
