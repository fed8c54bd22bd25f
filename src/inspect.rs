//! Answers "what does the gateway make of this cookie?" for `behest-gateway inspect`.
//!
//! It uses the very code that the request path uses, so its verdict is the gateway's. Names of
//! cookies appear in its answers, values and secrets never.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value, json};

use crate::clock::Now;
use crate::identity::SessionId;
use crate::session::{
    Carrier, CookieName, Front, Look, Session, SessionAuthenticator, SessionError, Visit,
    cookie_names,
};
use crate::telemetry;

/// How many names of cookies are listed.
const MAX_NAMES: usize = 10;

/// The longest that is shown, in bytes; no library writes a longer one.
const MAX_NAME: usize = 40;

/// Where the random user ids of Auth.js v5 come from, for an app that has them.
const RANDOM_USER_HINT: &str = "the user id is a UUID from `sub`: with an OAuth provider and no adapter, \
    Auth.js v5 makes a new one at each sign-in, so the same person becomes a new user each time; \
    put `account.providerAccountId` into `token.sub` in the `jwt` callback";

/// What to do about a cookie that names nobody.
const LOOKUP_HINT: &str = "the cookie is genuine, and only the app knows whose it is: the gateway asks it \
    once session.providers[].url is set, and without that it does not start";

/// Judges the session in `text` as of `now`: an object to print, and whether it is genuine.
///
/// `text` is the value of a Cookie header, or the whole line with its `Cookie:`, or several of them,
/// and an `Authorization:` line where a provider reads that; `front` is how the browser reaches the app.
///
/// There is always `ok`, and `looks`: which provider looked for which cookie, in order, and whether it
/// was there; the last one decided. A session gives `provider`, `cookie`, `user_id`, `tier` (as the
/// session holds it), `session_id` (as it would be sent; null if Behest chooses), `expires_at` (as it
/// stands; null if it does not say), `issued_at` and, where there is something to say, `hint`. A cookie
/// that is genuine and names nobody gives `"user_id": null` and `"needs": "lookup"`. Anything else gives
/// `code` and `reason`.
pub async fn inspect(
    authenticator: &SessionAuthenticator,
    text: &str,
    front: Front<'_>,
    now: Now,
) -> (Value, bool) {
    let Some(headers) = read_headers(text) else {
        let reason = "a header cannot hold control characters: paste it as the browser sends it";
        return (refusal("request_invalid", reason).into(), false);
    };
    let visit = Visit {
        headers: &headers,
        front,
        now,
    };
    let (mut answer, ok) = match authenticator.authenticate(&visit).await {
        Ok(session) => (describe(authenticator, &session), true),
        Err(SessionError::NeedsLookup { provider, carrier }) => (unnamed(provider, &carrier), true),
        Err(error) => {
            let reason = if let SessionError::Missing { .. } = error {
                explain_missing(authenticator, &headers)
            } else {
                telemetry::chain(&error)
            };
            (refusal(error.code(), &reason), false)
        }
    };
    let looks = authenticator.looks(&headers);
    let looks = looks.iter().map(describe_look).collect();
    answer.insert("looks".to_owned(), Value::Array(looks));
    (answer.into(), ok)
}

/// The headers in `text`, one a line, Cookie where a line does not say; `None` if a line cannot be one.
fn read_headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in text.lines().map(str::trim) {
        let (name, value) = split_header(line);
        if !value.is_empty() {
            let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            headers.append(name, value);
        }
    }
    Some(headers)
}

/// The header that `line` is, and its value.
fn split_header(line: &str) -> (HeaderName, &str) {
    for name in [header::COOKIE, header::AUTHORIZATION] {
        let start = line.split_at_checked(name.as_str().len());
        if let Some((start, rest)) = start
            && start.eq_ignore_ascii_case(name.as_str())
            && let Some(value) = rest.strip_prefix(':')
        {
            return (name, value.trim_start());
        }
    }
    (header::COOKIE, line)
}

fn refusal(code: &str, reason: &str) -> Map<String, Value> {
    object(json!({ "ok": false, "code": code, "reason": reason }))
}

/// The members of `value`, which is an object.
fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(object) = value {
        return object;
    }
    Map::new()
}

fn describe_look(look: &Look) -> Value {
    json!({
        "provider": look.provider,
        "cookie": look.carrier.as_str(),
        "there": look.is_there,
    })
}

fn unnamed(provider: &str, carrier: &Carrier) -> Map<String, Value> {
    object(json!({
        "ok": true,
        "provider": provider,
        "cookie": carrier.as_str(),
        "user_id": null,
        "tier": null,
        "session_id": null,
        "expires_at": null,
        "needs": "lookup",
        "hint": LOOKUP_HINT,
    }))
}

fn describe(authenticator: &SessionAuthenticator, session: &Session) -> Map<String, Value> {
    let identity = &session.identity;
    let session_id = identity.session_id.as_ref().map(SessionId::as_str);
    let mut object = object(json!({
        "ok": true,
        "provider": session.provider,
        "cookie": session.carrier.as_str(),
        "user_id": identity.user.as_str(),
        "tier": session.tier,
        "session_id": session_id,
        "expires_at": session.expires_at,
        "issued_at": session.issued_at.and_then(whole_seconds),
    }));
    if has_random_user(authenticator, session) {
        object.insert("hint".to_owned(), RANDOM_USER_HINT.into());
    }
    object
}

/// Whole seconds since 1970.
fn whole_seconds(seconds: f64) -> Option<u64> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    Some(since.as_secs())
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

/// The first few of `names`. One that is longer than any library's, or holds other characters than a
/// name may, is only counted: it may be a value that was pasted without its name.
fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let is_name = |name: &&str| name.len() <= MAX_NAME && CookieName::parse(name).is_some();
    let (mut shown, mut others) = (Vec::new(), 0);
    for name in names {
        if is_name(&name) && shown.len() < MAX_NAMES {
            shown.push(name);
        } else {
            others += 1;
        }
    }
    match (shown.join(", "), others) {
        (shown, 0) => shown,
        (shown, others) if shown.is_empty() => format!("{others} that are not shown here"),
        (shown, others) => format!("{shown} and {others} more"),
    }
}

#[cfg(test)]
mod tests;
