//! What `inspect` prints.

use super::*;
use crate::config::OutboundConfig;
use crate::generation::outbound;
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
    let outbound = outbound(&OutboundConfig::default()).unwrap();
    let authenticator = SessionAuthenticator::new(&config, &outbound).unwrap();
    let now = Now {
        unix: Duration::from_secs(1_795_430_000),
        elapsed: Duration::ZERO,
    };
    inspect(&authenticator, text, Front::default(), now).await
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
            "issued_at": null,
            "looks": [{ "provider": "authjs-v5", "cookie": NAME, "there": true }],
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
async fn a_value_that_was_pasted_without_its_name_is_not_shown() {
    let value = "abcdefghijklmnopqrstuvwxyz012345.q1w2e3r4t5z6u7i8o9p0a1s2d3f4g5h6j7k8l9y0x1c";
    let (_, reason) = refused(&format!("{value}=")).await;
    assert!(reason.contains("1 that are not shown here"), "{reason}");
    let (_, reason) = refused(&format!("theme=dark; {value}=; {value}token=")).await;
    assert!(!reason.contains("abcdef"), "{reason}");
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

#[tokio::test]
async fn several_providers_are_named_up_to_the_one_that_decides() {
    let sealed = |dialect| FormatConfig::Sealed {
        dialect,
        secrets: vec![Secret::new(SECRET)],
    };
    let config = SessionConfig {
        providers: vec![
            ProviderConfig::new(ProviderKind::AuthjsV5, sealed(Dialect::AuthjsV5)),
            ProviderConfig::new(ProviderKind::Auth0V4, sealed(Dialect::Auth0V4)),
            ProviderConfig::new(ProviderKind::NextauthV4, sealed(Dialect::NextauthV4)),
        ],
        ..SessionConfig::default()
    };
    let outbound = outbound(&OutboundConfig::default()).unwrap();
    let authenticator = SessionAuthenticator::new(&config, &outbound).unwrap();
    let now = Now {
        unix: Duration::from_secs(1_795_430_000),
        elapsed: Duration::ZERO,
    };
    let text = "next-auth.session-token=x; __session=SHOWN";
    let (answer, ok) = inspect(&authenticator, text, Front::default(), now).await;
    assert!(!ok);
    let look = |provider: &str, cookie: &str, there: bool| json!({ "provider": provider, "cookie": cookie, "there": there });
    let expected = json!([
        look("authjs-v5", "__Secure-authjs.session-token", false),
        look("authjs-v5", "authjs.session-token", false),
        look("auth0-v4", "__session", true),
    ]);
    assert_eq!(answer["looks"], expected);
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.starts_with("the session in the cookie __session (auth0-v4) is invalid"));
    assert!(!answer.to_string().contains("SHOWN"));
}

#[test]
fn headers_are_read_by_their_names() {
    let headers = read_headers("a=1\ncookie: b=2\nAUTHORIZATION:Bearer x\ncookies=c").unwrap();
    let all = |name| {
        let values = headers.get_all(name).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(all(header::COOKIE), ["a=1", "b=2", "cookies=c"]);
    assert_eq!(all(header::AUTHORIZATION), ["Bearer x"]);
}
