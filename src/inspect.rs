//! Answers "what does the gateway make of this cookie?" for `behest-gateway inspect`.
//!
//! It uses the very code that the request path uses, so its verdict is the gateway's. Names of
//! cookies appear in its answers, values and secrets never.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value, json};

use crate::clock::Now;
use crate::identity::SessionId;
use crate::session::{Front, Session, SessionAuthenticator, SessionError, Visit, cookie_names};

/// How many names of cookies are listed.
const MAX_NAMES: usize = 10;

/// How much of each is shown, in characters.
const MAX_NAME: usize = 80;

/// Where the random user ids of Auth.js v5 come from, for an app that has them.
const RANDOM_USER_HINT: &str = "the user id is a UUID from `sub`: with an OAuth provider and no adapter, \
    Auth.js v5 makes a new one at each sign-in, so the same person becomes a new user each time; \
    put `account.providerAccountId` into `token.sub` in the `jwt` callback";

/// Judges `cookie_header` as of `now`: an object to print, and whether it is a valid session.
///
/// The text is the value of a Cookie header, or the whole line with its `Cookie:`, or several of
/// them. A session gives `ok`, `provider`, `cookie`, `user_id`, `tier` (as the session holds it),
/// `session_id` (as it would be sent; null if Behest chooses), `expires_at` (as it stands) and, where
/// there is something to say, `hint`; anything else gives `ok`, `code` and `reason`.
pub async fn inspect(
    authenticator: &SessionAuthenticator,
    cookie_header: &str,
    now: Now,
) -> (Value, bool) {
    let Some(headers) = read_headers(cookie_header) else {
        let reason =
            "a Cookie header cannot hold control characters: paste it as the browser sends it";
        return (refusal("request_invalid", reason), false);
    };
    let visit = Visit {
        headers: &headers,
        front: Front::default(),
        now,
    };
    match authenticator.authenticate(&visit).await {
        Ok(session) => (describe(authenticator, &session), true),
        Err(error) => {
            let reason = match &error {
                SessionError::Missing { .. } => explain_missing(authenticator, &headers),
                SessionError::Expired { .. }
                | SessionError::Invalid { .. }
                | SessionError::NotAllowed { .. }
                | SessionError::NeedsLookup { .. }
                | SessionError::Unavailable { .. } => error.to_string(),
            };
            (refusal(error.code(), &reason), false)
        }
    }
}

/// The Cookie fields in `text`, one a line; `None` if a line cannot be one.
fn read_headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in text.lines().map(str::trim) {
        let value = match line.split_at_checked("cookie:".len()) {
            Some((name, value)) if name.eq_ignore_ascii_case("cookie:") => value.trim_start(),
            Some(_) | None => line,
        };
        if !value.is_empty() {
            let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            headers.append(header::COOKIE, value);
        }
    }
    Some(headers)
}

fn refusal(code: &str, reason: &str) -> Value {
    json!({ "ok": false, "code": code, "reason": reason })
}

fn describe(authenticator: &SessionAuthenticator, session: &Session) -> Value {
    let identity = &session.identity;
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| object.insert(key.to_owned(), value);
    set("ok", true.into());
    set("provider", session.provider.into());
    set("cookie", session.carrier.as_str().into());
    set("user_id", identity.user.as_str().into());
    set("tier", session.tier.clone());
    let session_id = identity.session_id.as_ref();
    set("session_id", session_id.map(SessionId::as_str).into());
    set("expires_at", session.expires_at.clone().into());
    if has_random_user(authenticator, session) {
        set("hint", RANDOM_USER_HINT.into());
    }
    Value::Object(object)
}

/// Whether the user id looks like one that Auth.js v5 made up at sign-in.
fn has_random_user(authenticator: &SessionAuthenticator, session: &Session) -> bool {
    session.provider == "authjs-v5"
        && authenticator
            .user_claim(session)
            .is_some_and(|path| path == ["sub"])
        && is_uuid(session.identity.user.as_str())
}

/// Whether `text` is written as a UUID (RFC 9562 section 4).
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What was looked for, and what was there instead.
fn explain_missing(authenticator: &SessionAuthenticator, headers: &HeaderMap) -> String {
    let names: Vec<_> = authenticator.cookie_names().collect();
    let looked_for: Vec<_> = names
        .iter()
        .map(|(provider, name)| format!("{name} ({provider})"))
        .collect();
    let seen: BTreeSet<_> = cookie_names(headers)
        .filter(|name| !name.is_empty())
        .collect();
    let empty = |name: &&str| {
        names
            .iter()
            .any(|(_, looked_for)| looked_for.as_str() == *name)
    };
    let there = if let Some(name) = seen.iter().copied().find(empty) {
        format!("{name} is there, and empty: the user has signed out, or the cookie was cleared")
    } else if seen.is_empty() {
        "there is no cookie at all".to_owned()
    } else if seen.iter().any(|name| is_like_session(name)) {
        format!(
            "there is {}: if that is the app's session cookie, configure its format and its name \
             (without the .0, .1, … of its chunks)",
            list(seen.iter().copied().filter(|name| is_like_session(name)))
        )
    } else {
        format!("there are only: {}", list(seen.iter().copied()))
    };
    format!(
        "no session cookie: looked for {}; {there}",
        looked_for.join(", ")
    )
}

/// Whether a cookie's name looks like that of a session, and not like the sign-in's own cookies.
fn is_like_session(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    has(&["sess", "auth", "token", "sid", "jwt"])
        && !has(&[
            "csrf",
            "xsrf",
            "callback-url",
            "pkce",
            "state",
            "nonce",
            "challenge",
        ])
}

/// The first few of `names`, each cut to a readable length.
fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names = names.map(|name| name.chars().take(MAX_NAME).collect::<String>());
    let shown: Vec<_> = names.by_ref().take(MAX_NAMES).collect();
    let shown = shown.join(", ");
    match names.count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::generation::built_in_outbound;
    use crate::secret::Secret;
    use crate::session::sealer::Sealer;
    use crate::session::{
        CookieName, Dialect, FormatConfig, ProviderConfig, ProviderKind, SessionConfig,
        SessionIdConfig, SessionIdSource,
    };

    const SECRET: &str = "a secret of the app for these tests";
    const NAME: &str = "authjs.session-token";

    async fn look_at(text: &str, source: SessionIdSource) -> (Value, bool) {
        let format = FormatConfig::Sealed {
            dialect: Dialect::AuthjsV5,
            secrets: vec![Secret::new(SECRET)],
        };
        let mut provider = ProviderConfig::new(ProviderKind::AuthjsV5, format);
        provider.cookie_names = vec![CookieName::parse(NAME).unwrap()];
        let config = SessionConfig {
            providers: vec![provider],
            session_id: SessionIdConfig {
                source,
                ..SessionIdConfig::default()
            },
            ..SessionConfig::default()
        };
        let outbound = built_in_outbound().unwrap();
        let authenticator = SessionAuthenticator::new(&config, &outbound).unwrap();
        let now = Now {
            unix: Duration::from_secs(1_795_430_000),
            elapsed: Duration::ZERO,
        };
        inspect(&authenticator, text, now).await
    }

    async fn refused(text: &str) -> (String, String) {
        let (answer, ok) = look_at(text, SessionIdSource::Claim).await;
        assert!(!ok && answer["ok"] == false, "{answer}");
        let text = |key: &str| answer[key].as_str().unwrap().to_owned();
        (text("code"), text("reason"))
    }

    fn cookie(sub: &str) -> String {
        let payload = format!(r#"{{"sub":"{sub}","tier":null,"exp":1795440000}}"#);
        format!("{NAME}={}", Sealer::v5(SECRET, NAME).seal(&payload))
    }

    #[tokio::test]
    async fn a_valid_session_is_described_however_the_header_was_pasted() {
        let cookie = cookie("ada");
        for text in [
            format!("{cookie}\n"),
            format!("Cookie: {cookie}\r\n"),
            format!("cookie:{cookie}"),
            format!("a=b\nCOOKIE: c=d; {cookie}; e=f\n\n"),
        ] {
            let (answer, ok) = look_at(&text, SessionIdSource::User).await;
            assert!(ok, "{answer}");
            let session_id = answer["session_id"].as_str().unwrap();
            assert!(session_id.starts_with("gw_"));
            let expected = json!({
                "ok": true, "provider": "authjs-v5", "cookie": NAME, "user_id": "ada",
                "tier": null, "session_id": session_id, "expires_at": 1_795_440_000,
            });
            assert_eq!(answer, expected);
        }
    }

    #[tokio::test]
    async fn a_session_id_that_behest_chooses_is_null() {
        let (answer, _) = look_at(&cookie("ada"), SessionIdSource::Minted).await;
        assert_eq!(answer["session_id"], Value::Null);
        assert!(answer.as_object().unwrap().contains_key("session_id"));
    }

    #[tokio::test]
    async fn a_random_user_id_gets_a_hint() {
        let random = cookie("0b0e8f2c-3a52-4d5c-9a2f-5a3a4a1fd0c1");
        let (answer, ok) = look_at(&random, SessionIdSource::User).await;
        assert!(
            ok && answer["hint"]
                .as_str()
                .unwrap()
                .contains("providerAccountId")
        );
    }

    #[tokio::test]
    async fn a_missing_session_names_what_was_looked_for_and_what_was_there() {
        let (code, reason) = refused("").await;
        assert_eq!(code, "session_missing");
        assert!(
            reason.contains("authjs.session-token (authjs-v5)"),
            "{reason}"
        );
        assert!(reason.contains("no cookie at all"), "{reason}");

        let (_, reason) = refused("theme=dark; authjs.csrf-token=SHOWN").await;
        assert!(
            reason.contains("only: authjs.csrf-token, theme"),
            "{reason}"
        );

        let (_, reason) = refused(&format!("{NAME}=; {NAME}.0=")).await;
        assert!(
            reason.contains("authjs.session-token is there, and empty"),
            "{reason}"
        );

        let (_, reason) = refused("theme=dark; __Host-app.sid=SHOWN").await;
        assert!(reason.contains("there is __Host-app.sid:"), "{reason}");
        assert!(
            !reason.contains("SHOWN") && !reason.contains("dark"),
            "{reason}"
        );

        let many: Vec<_> = (0..50).map(|n| format!("c{n}=v")).collect();
        let (_, reason) = refused(&many.join("; ")).await;
        assert!(reason.contains("and 40 more"), "{reason}");
    }

    #[tokio::test]
    async fn a_foreign_secret_is_explained_without_showing_the_cookie() {
        let token = Sealer::v5("another", NAME).seal("{}");
        let (code, reason) = refused(&format!("{NAME}={token}")).await;
        assert_eq!(code, "session_invalid");
        assert!(
            reason.contains("decrypts under no configured secret"),
            "{reason}"
        );
        let (header, _) = token.split_once('.').unwrap();
        assert!(!reason.contains(header), "{reason}");
    }

    #[tokio::test]
    async fn text_that_cannot_be_a_header_is_refused() {
        let (code, _) = refused("a=\u{1}b").await;
        assert_eq!(code, "request_invalid");
    }
}
