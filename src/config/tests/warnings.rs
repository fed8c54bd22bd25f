//! What is warned of, in which words, and what is not.

use std::os::unix::fs::PermissionsExt;

use super::*;

const LONG: &str = "Zq8vN1xT4mB7cK0pW3yR6sD9fG2hJ5lA";

fn warnings(toml: &str, more: &[(&str, &str)]) -> Vec<String> {
    load_file(toml, more).unwrap().warnings
}

/// The only warning.
fn warned(toml: &str, more: &[(&str, &str)]) -> String {
    let warnings = warnings(toml, more);
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    warnings.concat()
}

#[test]
fn a_usual_configuration_is_not_warned_of() {
    let usual = [
        ("GATEWAY_ALLOWED_ORIGINS", "https://chat.app.example"),
        ("GATEWAY_ADMIN_TOKEN", LONG),
        (
            "GATEWAY_ROUTES__EXTRA",
            "GET /v1/files/{id},POST /v1/rerank",
        ),
        ("GATEWAY_ROUTES__REQUEST_HEADERS", "x-request-tag"),
    ];
    assert_eq!(warnings("", &usual), [""; 0]);
    let at_home = [(
        "GATEWAY_PUBLIC_ORIGIN",
        "http://localhost:3000,http://127.0.0.1:3000",
    )];
    assert_eq!(warnings("", &at_home), [""; 0]);
}

#[test]
fn a_public_admin_listener_is_warned_of_with_what_it_shows() {
    let open = ("GATEWAY_ADMIN_LISTEN", "0.0.0.0:9090");
    let text = warned("", &[open]);
    assert!(
        text.starts_with("admin.listen is 0.0.0.0:9090: health and metrics can be"),
        "{text}"
    );
    assert!(
        text.contains("GATEWAY_ADMIN_LISTEN=127.0.0.1:9090"),
        "{text}"
    );
    let text = warned("", &[open, ("GATEWAY_ADMIN_TOKEN", LONG)]);
    assert!(
        text.contains("with admin.token the configuration"),
        "{text}"
    );
}

#[test]
fn unencrypted_origins_are_warned_of() {
    let text = warned("", &[("GATEWAY_PUBLIC_ORIGIN", "http://app.example")]);
    assert!(
        text.starts_with("cross_origin.public_origins holds http://app.example"),
        "{text}"
    );
    let text = warnings("", &[("GATEWAY_ALLOWED_ORIGINS", "http://app.example")]).join("\n");
    assert!(
        text.contains("cross_origin.allowed_origins holds http://app.example"),
        "{text}"
    );
    assert!(
        text.contains("another site"),
        "the scheme is part of the site: {text}"
    );
}

#[test]
fn an_allowed_origin_of_another_site_is_warned_of() {
    let allowed = |origin| warnings("", &[("GATEWAY_ALLOWED_ORIGINS", origin)]);
    for same in ["https://chat.app.example", "https://app.example:8443"] {
        assert_eq!(allowed(same), [""; 0], "{same}");
    }
    for other in [
        "https://chat.example",
        "https://app.example.org",
        "https://127.0.0.1",
    ] {
        let text = allowed(other).concat();
        assert!(
            text.contains(other) && text.contains("SameSite=Lax"),
            "{other}: {text}"
        );
    }
}

#[test]
fn cookie_names_without_a_prefix_are_warned_of_over_https() {
    let toml = "[[session.providers]]\nkind = \"authjs-v5\"\ncookie_names = [\"app-session\"]\n";
    let text = warned(toml, &[]);
    assert!(
        text.contains("holds app-session") && text.contains("__Host-app-session"),
        "{text}"
    );
    let at_home = [("GATEWAY_PUBLIC_ORIGIN", "http://localhost:3000")];
    assert_eq!(warnings(toml, &at_home), [""; 0]);
    let prefixed = toml.replace("app-session", "__Host-app-session");
    assert_eq!(warnings(&prefixed, &[]), [""; 0]);
}

#[test]
fn routes_that_offer_too_much_are_warned_of() {
    for (route, word) in [
        ("GET /v1/models", "always offered"),
        ("GET /v1/x/{id}/{id}", "any two names"),
        ("DELETE /v1/projects/{id}", "administers nothing"),
    ] {
        let text = warned("", &[("GATEWAY_ROUTES__EXTRA", route)]);
        assert!(text.contains(route) && text.contains(word), "{text}");
    }
}

#[test]
fn headers_that_a_server_would_trust_are_warned_of() {
    let text = warned("", &[("GATEWAY_ROUTES__REQUEST_HEADERS", "x-api-key")]);
    assert!(
        text.contains("routes.request_headers holds x-api-key"),
        "{text}"
    );
    let text = warned("", &[("GATEWAY_ROUTES__RESPONSE_HEADERS", "x-user-email")]);
    assert!(
        text.contains("routes.response_headers holds x-user-email"),
        "{text}"
    );
}

#[test]
fn a_long_life_is_warned_of() {
    assert_eq!(warnings("", &[("GATEWAY_MINT__TTL", "1h")]), [""; 0]);
    let text = warned("", &[("GATEWAY_MINT__TTL", "2h")]);
    assert!(
        text.starts_with("mint.ttl is 2h") && text.contains("\"15m\""),
        "{text}"
    );
}

#[test]
fn weak_and_repeated_secrets_are_warned_of_and_never_shown() {
    let weak = "sixteen-bytes-it";
    for (variable, key) in [
        ("GATEWAY_ADMIN_TOKEN", "admin.token"),
        ("GATEWAY_SESSION_ID__KEY", "session_id.key"),
        (
            "GATEWAY_TELEMETRY__USER_HASH_KEY",
            "telemetry.user_hash_key",
        ),
    ] {
        let text = warned("", &[(variable, weak)]);
        assert!(
            text.starts_with(&format!("{key} has only 16 bytes")),
            "{text}"
        );
        let text = warned("", &[(variable, SECRET)]);
        let said = format!("session.secrets (AUTH_SECRET) and {key} are the same secret");
        assert!(text.starts_with(&said), "{text}");
        assert!(!text.contains(SECRET));
    }
}

#[test]
fn an_admin_token_that_could_be_guessed_is_refused() {
    for (token, word) in [
        ("fifteen-bytes-x", "too short"),
        ("with spaces in between", "visible ASCII"),
        (
            "use [openssl rand -hex 32] to generate a 32 bytes value",
            "visible ASCII",
        ),
        ("better-auth-secret-12345678901234567890", "sample"),
    ] {
        let text = refusal("", &[("GATEWAY_ADMIN_TOKEN", token)]);
        assert!(text.contains("admin.token (GATEWAY_ADMIN_TOKEN)"), "{text}");
        assert!(text.contains(word) && !text.contains(token), "{text}");
    }
}

#[test]
fn one_port_for_both_listeners_is_refused() {
    let text = refusal("", &[("GATEWAY_ADMIN_LISTEN", "127.0.0.1:8080")]);
    assert!(
        text.contains("admin.listen (GATEWAY_ADMIN_LISTEN) is 127.0.0.1:8080"),
        "{text}"
    );
    assert!(text.contains("GATEWAY_LISTEN"), "{text}");
}

#[test]
fn secret_files_that_every_user_can_read_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth_secret");
    std::fs::write(&path, SECRET).unwrap();
    let with_mode = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let file = path.to_str().unwrap();
        warnings("", &[("AUTH_SECRET", ""), ("AUTH_SECRET_FILE", file)])
    };
    assert_eq!(with_mode(0o640), [""; 0]);
    let text = with_mode(0o644).concat();
    assert!(
        text.starts_with("session.secrets (AUTH_SECRET_FILE) names the file"),
        "{text}"
    );
    assert!(
        text.contains("chmod 640") && text.contains("defaultMode"),
        "{text}"
    );
}

#[test]
fn a_tls_key_that_every_user_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tls.pem");
    std::fs::write(&path, "any").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = path.to_str().unwrap();
    let tls = [
        ("GATEWAY_TLS_CERT_FILE", file),
        ("GATEWAY_TLS_KEY_FILE", file),
    ];
    let text = warned("", &tls);
    assert!(
        text.starts_with("server.tls.key_file (GATEWAY_TLS_KEY_FILE)"),
        "{text}"
    );
}

#[test]
fn a_cookie_that_two_providers_look_for_is_warned_of() {
    let toml = r#"
        [[session.providers]]
        kind = "auth0-v4"
        secrets = [{ env = "AUTH_SECRET" }]
        [[session.providers]]
        kind = "iron-session"
        cookie_names = ["app", "__session"]
        passwords = { 1 = { env = "AUTH_SECRET" } }
    "#;
    let warnings = load_file(toml, &[]).unwrap().warnings;
    let expected =
        "session.providers[1] never sees the cookie __session: session.providers[0] looks";
    assert!(
        warnings.iter().any(|text| text.starts_with(expected)),
        "{warnings:?}"
    );
}

#[test]
fn an_app_without_a_public_origin_is_warned_of() {
    let app = ("GATEWAY_APP_URL", "http://app:3000");
    assert_eq!(warnings("", &[app]), [""; 0]);
    let nameless = [app, ("GATEWAY_PUBLIC_ORIGIN", "")];
    let all = warnings("", &nameless).join("\n");
    assert!(
        all.contains("app.url is set, but not how browsers reach it"),
        "{all}"
    );
    let behind = [
        nameless[0],
        nameless[1],
        ("GATEWAY_SERVER__TRUSTED_PROXIES", "10.0.0.0/8"),
    ];
    let all = warnings("", &behind).join("\n");
    assert!(!all.contains("app.url"), "{all}");
}
