//! Names a browser session for Behest: the same name across token renewals, cookie rolls, restarts
//! and replicas.
//!
//! The id is `gw_` and the base64url form of the first 16 bytes of
//! `HMAC-SHA256(key, sources ‖ field ‖ …)`. `sources` is one byte that says which fields follow:
//! bit 0 the stable claim, bit 1 the page's own id. Each field is its length in bytes as a 64-bit
//! big-endian number and then its UTF-8 bytes: the user id, always; the stable claim, with source
//! `claim`, where the session has one; the page's `X-Session-Id`, with `mix_client`, where there is
//! exactly one of visible ASCII and at most 128 bytes, and where it is not the id that the session has
//! without it. So no two different sets of sources can give the same message, and a page can name
//! nobody else's session.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use http::HeaderMap;

use super::{SessionIdConfig, SessionIdSource};
use crate::identity::{SessionId, UserId};

/// The key without `session_id.key`. It need not be secret: Behest scopes a session id by user, so
/// an id is a name and not a capability; and it must outlive every rotation of keys.
const DEFAULT_KEY: &[u8] = b"behest-gateway: session id, version 1";

/// What every id begins with.
const PREFIX: &str = "gw_";

const CLAIM: u8 = 1;
const CLIENT: u8 = 2;

/// Derives session ids.
pub(super) struct SessionIds {
    key: hmac::Key,
    source: SessionIdSource,
    mix_client: bool,
}

impl SessionIds {
    /// Takes the key that is configured, or ours.
    pub(super) fn new(config: &SessionIdConfig) -> Self {
        let key = config.key.as_ref();
        Self {
            key: hmac::Key::new(
                hmac::HMAC_SHA256,
                key.map_or(DEFAULT_KEY, |key| key.expose()),
            ),
            source: config.source,
            mix_client: config.mix_client,
        }
    }

    /// The id of the session of `user` whose stable claim is `claim`; none where Behest chooses.
    pub(super) fn derive(
        &self,
        user: &UserId,
        claim: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<SessionId> {
        if self.source == SessionIdSource::Minted {
            return None;
        }
        let client = client_id(headers).filter(|_| self.mix_client);
        // A page may have it from `compat.token_path`, and means no other session by it.
        let is_own = |client: &&str| {
            let own = client.starts_with(PREFIX).then(|| self.own(user, claim));
            own.flatten().is_some_and(|own| own.as_str() == *client)
        };
        self.sign(
            user,
            self.counted(claim),
            client.filter(|client| !is_own(client)),
        )
    }

    /// The id without any word of the page's; by the source `claim` where Behest chooses.
    pub(super) fn own(&self, user: &UserId, claim: Option<&str>) -> Option<SessionId> {
        self.sign(user, self.counted(claim), None)
    }

    /// The stable claim, where it counts.
    fn counted<'c>(&self, claim: Option<&'c str>) -> Option<&'c str> {
        claim.filter(|_| self.source != SessionIdSource::User)
    }

    fn sign(&self, user: &UserId, claim: Option<&str>, client: Option<&str>) -> Option<SessionId> {
        let sources = claim.map_or(0, |_| CLAIM) | client.map_or(0, |_| CLIENT);
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(&[sources]);
        for field in [Some(user.as_str()), claim, client].into_iter().flatten() {
            mac.update(&u64::try_from(field.len()).ok()?.to_be_bytes());
            mac.update(field.as_bytes());
        }
        let mac = mac.sign();
        let mut id = String::from(PREFIX);
        BASE64URL.encode_string(mac.as_ref().get(..16)?, &mut id);
        SessionId::parse(&id)
    }
}

/// The page's own `X-Session-Id`: exactly one, visible ASCII, at most 128 bytes.
fn client_id(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("x-session-id").iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let text = value.to_str().ok()?;
    SessionId::parse(text).map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn ids(source: SessionIdSource, mix_client: bool) -> SessionIds {
        SessionIds::new(&SessionIdConfig {
            source,
            key: None,
            mix_client,
        })
    }

    fn derive(ids: &SessionIds, user: &str, claim: Option<&str>, client: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in client {
            headers.append("x-session-id", value.parse().unwrap());
        }
        let user = UserId::parse(user).unwrap();
        let id = ids.derive(&user, claim, &headers).unwrap();
        id.as_str().to_owned()
    }

    #[test]
    fn an_id_is_what_its_description_says_and_stays_so() {
        let mut message = vec![CLAIM];
        message.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 3]);
        message.extend_from_slice(b"ada");
        message.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2]);
        message.extend_from_slice(b"s1");
        let key = hmac::Key::new(hmac::HMAC_SHA256, DEFAULT_KEY);
        let expected = BASE64URL.encode(&hmac::sign(&key, &message).as_ref()[..16]);
        let id = derive(&ids(SessionIdSource::Claim, false), "ada", Some("s1"), &[]);
        assert_eq!(id, format!("gw_{expected}"));
        assert_eq!(id.len(), 25);
    }

    #[test]
    fn users_claims_and_sources_never_share_an_id() {
        let claim = ids(SessionIdSource::Claim, true);
        let all = [
            derive(&claim, "ada", None, &[]),
            derive(&claim, "ada", Some("s1"), &[]),
            derive(&claim, "ada", None, &["s1"]),
            derive(&claim, "adas", Some("1"), &[]),
            derive(&claim, "ad", Some("as1"), &[]),
            derive(&claim, "ada", Some("s1"), &["s1"]),
            derive(&claim, "eve", Some("s1"), &["s1"]),
        ];
        for (at, id) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(id), "{at}");
        }
    }

    #[test]
    fn the_source_user_looks_at_no_claim_and_minted_gives_none() {
        let user = ids(SessionIdSource::User, false);
        let without = derive(&ids(SessionIdSource::Claim, false), "ada", None, &[]);
        assert_eq!(derive(&user, "ada", Some("s1"), &[]), without);
        let minted = ids(SessionIdSource::Minted, true);
        let ada = UserId::parse("ada").unwrap();
        assert_eq!(minted.derive(&ada, Some("s1"), &HeaderMap::new()), None);
    }

    #[test]
    fn a_pages_own_id_counts_only_when_mixed_single_and_well_formed() {
        let mixed = ids(SessionIdSource::User, true);
        let plain = derive(&mixed, "ada", None, &[]);
        assert_ne!(derive(&mixed, "ada", None, &["chat-2"]), plain);
        let long = "x".repeat(129);
        for ignored in [&["a", "b"][..], &[""], &["a b"], &[&long]] {
            assert_eq!(derive(&mixed, "ada", None, ignored), plain, "{ignored:?}");
        }
        let unmixed = ids(SessionIdSource::User, false);
        assert_eq!(derive(&unmixed, "ada", None, &["chat-2"]), plain);
    }

    #[test]
    fn a_sessions_own_id_is_not_mixed_with_itself_and_is_nothing_to_others() {
        let mixed = ids(SessionIdSource::Claim, true);
        let plain = derive(&mixed, "ada", Some("s1"), &[]);
        assert_eq!(derive(&mixed, "ada", Some("s1"), &[&plain]), plain);
        assert_ne!(derive(&mixed, "ada", Some("s2"), &[&plain]), plain);
        assert_ne!(derive(&mixed, "eve", Some("s1"), &[&plain]), plain);
    }

    #[test]
    fn where_behest_chooses_the_page_has_a_name_of_its_own() {
        let ada = UserId::parse("ada").unwrap();
        let own = |source| ids(source, true).own(&ada, Some("s1")).unwrap();
        let minted = own(SessionIdSource::Minted);
        assert_eq!(minted.as_str(), own(SessionIdSource::Claim).as_str());
        assert_ne!(minted.as_str(), own(SessionIdSource::User).as_str());
    }

    #[test]
    fn a_configured_key_gives_other_ids() {
        let keyed = SessionIds::new(&SessionIdConfig {
            source: SessionIdSource::User,
            key: Some(Secret::new("k")),
            mix_client: false,
        });
        let ours = derive(&ids(SessionIdSource::User, false), "ada", None, &[]);
        assert_ne!(derive(&keyed, "ada", None, &[]), ours);
    }
}
