//! The cookies of the real libraries, proved; and what answers mean.

use std::time::Duration;

use http::{HeaderMap, Response, header};
use serde_json::Value;

use super::answer::{Keeping, Known, Miss, Outcome, Paths};
use super::failure::AppFailure;
use super::*;
use crate::clock::{Clock, Now};
use crate::config::OutboundConfig;
use crate::generation::outbound;
use crate::secret::Secret;
use crate::session::{
    CookieName, FormatConfig, ProviderConfig, SessionAuthenticator, SessionConfig, SessionError,
};

fn path(keys: &[&str]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

fn authenticator(kind: ProviderKind, name: &str, proof: ProofConfig) -> SessionAuthenticator {
    let mut lookup = LookupConfig::new(kind, None);
    lookup.proof = Some(proof);
    let mut provider = ProviderConfig::new(kind, FormatConfig::Lookup(lookup));
    provider.cookie_names = vec![CookieName::parse(name).unwrap()];
    let config = SessionConfig {
        providers: vec![provider],
        ..SessionConfig::default()
    };
    SessionAuthenticator::new(&config, &outbound(&OutboundConfig::default()).unwrap()).unwrap()
}

/// A cookie that its library signed is genuine and names nobody; any other is none.
#[tokio::test]
async fn the_vectors_of_cookies_that_prove_nothing_but_themselves_are_judged_as_by_their_libraries()
{
    let text = include_str!("../../../tests/vectors/session-cookies.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let mut seen = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let secrets = || {
            let secrets = vector["config"]["secrets"].as_array().unwrap().iter();
            secrets.map(|secret| Secret::new(secret.as_str().unwrap()))
        };
        let (kind, proof) = match vector["kind"].as_str().unwrap() {
            "better-auth-token" => (
                ProviderKind::BetterAuth,
                ProofConfig::BetterAuth(secrets().next().unwrap()),
            ),
            "express-session" => (
                ProviderKind::ExpressSession,
                ProofConfig::Express(secrets().collect()),
            ),
            _ => continue,
        };
        seen += 1;
        let name = vector["config"]["cookie_name"].as_str().unwrap();
        let mut headers = HeaderMap::new();
        let cookie = vector["cookie_header"].as_str().unwrap();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        let visit = Visit {
            headers: &headers,
            front: Front::default(),
            now: Clock::manual(1_795_430_000).now(),
        };
        let judged = authenticator(kind, name, proof).authenticate(&visit).await;
        let expected = vector["expect"]["ok"].as_bool().unwrap();
        match judged.unwrap_err() {
            SessionError::NeedsLookup { .. } => assert!(expected, "{}", vector["name"]),
            SessionError::Invalid { .. } => assert!(!expected, "{}", vector["name"]),
            other @ (SessionError::Missing { .. }
            | SessionError::Expired { .. }
            | SessionError::NotAllowed { .. }
            | SessionError::Unavailable { .. }) => panic!("{}: {other}", vector["name"]),
        }
    }
    assert!(seen >= 10, "{seen}");
}

fn judge(kind: ProviderKind, status: u16, body: &str) -> Result<Known, Miss> {
    let config = LookupConfig::new(kind, None);
    let paths = Paths {
        user: kind.default_claims().user,
        expires: config.expires_claim,
        active: config.active_claim,
    };
    let response = Response::builder()
        .status(status)
        .header("retry-after", "7");
    let response = response.body(body.to_owned().into()).unwrap();
    paths.judge(&response, Clock::manual(1_795_430_000).now())
}

#[track_caller]
fn assert_reason(judged: Result<Known, Miss>, expected: InvalidReason) {
    match judged {
        Err(Miss::Session(Refusal::Invalid(reason))) => assert_eq!(reason, expected),
        other => panic!("{expected:?} expected: {other:?}"),
    }
}

#[test]
fn only_200_with_a_user_in_a_json_object_is_a_session() {
    let database = ProviderKind::AuthjsDatabase;
    let known = judge(
        database,
        200,
        r#"{"user":{"id":"ada"},"expires":"2026-11-23T20:00:00.500Z"}"#,
    );
    assert_eq!(known.unwrap().ends, Some(1_795_464_000.5));
    let known = judge(database, 200, r#"{"user":{"id":7},"expires":"soon"}"#);
    assert_eq!(known.unwrap().ends, None);
    for (status, body, reason) in [
        (200, "null", InvalidReason::AppKnowsNot),
        (200, "{}", InvalidReason::AppKnowsNot),
        (200, " { }\n", InvalidReason::AppKnowsNot),
        (200, "[]", InvalidReason::AppKnowsNot),
        (200, "", InvalidReason::AppNotJson),
        (200, "<!doctype html>", InvalidReason::AppNotJson),
        (200, r#"{"user":{"id":"a"}"#, InvalidReason::AppNotJson),
        (
            200,
            r#"{"user":{"name":"Ada"}}"#,
            InvalidReason::AppNamesNoUser,
        ),
        (
            200,
            r#"{"user":{"id":null}}"#,
            InvalidReason::AppNamesNoUser,
        ),
        (201, r#"{"user":{"id":"ada"}}"#, InvalidReason::AppNotJson),
        (401, r#"{"user":{"id":"ada"}}"#, InvalidReason::AppRefuses),
        (403, "", InvalidReason::AppRefuses),
        (302, r#"{"user":{"id":"ada"}}"#, InvalidReason::AppRedirects),
        (304, "", InvalidReason::AppRedirects),
    ] {
        assert_reason(judge(database, status, body), reason);
    }
}

#[test]
fn an_answer_that_says_nothing_of_the_session_is_the_apps_failure() {
    for status in [400, 404, 405, 429, 500, 502, 503, 504] {
        let judged = judge(ProviderKind::Lookup, status, r#"{"user":{"id":"ada"}}"#);
        match judged {
            Err(Miss::App(AppFailure::Status(is), Some(wait))) => {
                assert_eq!((is.as_u16(), wait), (status, Duration::from_secs(7)));
            }
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[test]
fn a_session_that_has_ended_or_is_not_active_is_none() {
    let ended = judge(
        ProviderKind::BetterAuth,
        200,
        r#"{"user":{"id":"a"},"session":{"expiresAt":"2026-11-23T10:00:00Z"}}"#,
    );
    assert!(
        matches!(ended, Err(Miss::Session(Refusal::Expired))),
        "{ended:?}"
    );
    let kratos = |active| {
        let body = format!(r#"{{"active":{active},"identity":{{"id":"a"}}}}"#);
        judge(ProviderKind::Kratos, 200, &body)
    };
    assert!(kratos("true").is_ok());
    for inactive in ["false", "null", "\"true\"", "1"] {
        assert_reason(kratos(inactive), InvalidReason::AppKnowsNot);
    }
}

#[test]
fn a_coded_answer_cannot_be_read() {
    let paths = Paths {
        user: path(&["id"]),
        expires: Vec::new(),
        active: Vec::new(),
    };
    let mut response = Response::new(r#"{"id":"ada"}"#.into());
    let now = Clock::manual(0).now();
    assert!(paths.judge(&response, now).is_ok());
    let headers = response.headers_mut();
    headers.insert("content-encoding", "gzip".parse().unwrap());
    assert_reason(paths.judge(&response, now), InvalidReason::AppNotJson);
}

#[test]
fn outcomes_are_kept_each_for_its_time() {
    let second = Duration::from_secs(1);
    let keeping = Keeping {
        known: 10 * second,
        refused: second,
    };
    let until = |outcome: &Outcome| keeping.until(outcome, 100 * second, 102 * second);
    let known = Known {
        payload: "{}".into(),
        ends: None,
    };
    assert_eq!(until(&Ok(known)), 110 * second, "from when it was asked");
    assert_eq!(until(&Err(Refusal::Expired)), 103 * second);
    let failed = AppFailure::Busy.refusal(None);
    assert_eq!(until(&Err(failed)), Duration::from_millis(102_500));
}

#[test]
fn the_app_gets_the_cookies_and_the_front_and_nothing_else() {
    let name = CookieName::parse("sid").unwrap();
    let pairs: [&[u8]; 2] = [b"sid.0=a%20b", b"sid.1=\"c\""];
    let front = Front {
        is_https: true,
        host: "app.example:8443",
    };
    let question = Question::new(&pairs, &name, front);
    let request = question.request(&Uri::from_static("/me?a=b")).unwrap();
    assert_eq!(
        (request.method().as_str(), request.uri().to_string()),
        ("GET", "/me?a=b".into())
    );
    let mut lines: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    let agent = format!("user-agent: behest-gateway/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        lines,
        [
            "accept: application/json",
            "cookie: sid.0=a%20b; sid.1=\"c\"",
            &agent,
            "x-forwarded-host: app.example:8443",
            "x-forwarded-proto: https",
        ]
    );
    assert!(request.headers()["cookie"].is_sensitive());
}

#[test]
fn where_nobody_knows_the_front_the_cookies_name_tells() {
    let proto = |name: &str, host| {
        let name = CookieName::parse(name).unwrap();
        let front = Front {
            is_https: false,
            host,
        };
        let request = Question::new(&[b"a=b"], &name, front).request(&Uri::from_static("/"));
        let headers = request.unwrap().into_parts().0.headers;
        assert_eq!(headers.contains_key("x-forwarded-host"), !host.is_empty());
        headers["x-forwarded-proto"].to_str().unwrap().to_owned()
    };
    assert_eq!(proto("__Secure-s", ""), "https");
    assert_eq!(proto("s", ""), "http");
    assert_eq!(proto("__Secure-s", "localhost:3000"), "http");
}

#[test]
fn an_end_is_shown_in_whole_seconds() {
    assert_eq!(
        whole_seconds(1_795_464_000.5),
        Some(1_795_464_000_u64.into())
    );
    for odd in [-1.0, 1e300, f64::NAN] {
        assert_eq!(whole_seconds(odd), None);
    }
}

#[test]
fn an_ended_session_is_asked_about_again() {
    let now = Now {
        unix: Duration::from_secs(1000),
        elapsed: Duration::ZERO,
    };
    let config = LookupConfig::new(ProviderKind::Lookup, None);
    let url = Uri::from_static("http://127.0.0.1:1/me");
    let outbound = crate::generation::outbound(&OutboundConfig::default()).unwrap();
    let user = path(&["id"]);
    let app = App::new(ProviderKind::Lookup, &config, &url, &user, &outbound).unwrap();
    let outcome = Ok(Known {
        payload: r#"{"id":"ada"}"#.into(),
        ends: Some(1003.0),
    });
    let name = CookieName::parse("s").unwrap();
    let pairs: [&[u8]; 1] = [b"s=1"];
    let question = Question::new(&pairs, &name, Front::default());
    app.land_as(&question, &outcome, now.elapsed);
    let later = |seconds| Now {
        unix: now.unix + Duration::from_secs(seconds),
        elapsed: Duration::from_secs(seconds),
    };
    assert!(app.remembers(&question, later(2)));
    assert!(!app.remembers(&question, later(3)), "it has ended");
    let other = Front {
        is_https: true,
        host: "",
    };
    let other = Question::new(&pairs, &name, other);
    assert!(!app.remembers(&other, later(2)), "another front");
}
