//! What is refused, and in which words.

use super::*;

#[test]
fn everything_that_is_missing_is_named_at_once_with_its_fix() {
    let origin = ("GATEWAY_PUBLIC_ORIGIN", "https://app.example");
    let problems = Config::load(Sources {
        env: [origin].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        ..Sources::default()
    });
    let problems = problems.map(|_| ()).unwrap_err();
    let text = problems.to_string();
    assert_eq!(
        text,
        "3 problems in the configuration:\n\
         1. upstream.base_url is missing. Set BEHEST_BASE_URL=https://<slug>.behest.app (environment) or upstream.base_url (file).\n\
         2. mint.key is missing. Set BEHEST_KEY=behest_sk_… (environment) or mint.key (file).\n\
         3. session.secrets is missing. Set AUTH_SECRET (or NEXTAUTH_SECRET, or AUTH_SECRET_FILE) to the app's own secret (environment) or session.secrets = [{ env = \"…\" }] (file)."
    );
}

#[test]
fn many_problems_of_all_kinds_are_reported_together() {
    let toml = r#"
        unknown = 1
        [server]
        listen = "8080"
        workers = 0
        head_timeout = 10
        idle_timout = "1m"
        [limits]
        max_body = -1
        max_headers = 1.5
        [cross_origin]
        allowed_origins = ["https://ok.example", "https://app.example/"]
        require_proof = "yes"
        [routes]
        extra = ["GET /admin"]
        request_headers = ["cookie"]
        [mint]
        ttl = "30s"
        [session]
        user_claim = "sub"
        [[session.providers]]
        kind = "authjs-v5"
        colour = "red"
        [[session.providers]]
        kind = "keycloak"
        url = "https://app.example"
    "#;
    let text = refusal(
        toml,
        &[
            ("GATEWAY_UPSTREAM__IDLE_TIMEOUT", "soon"),
            ("BEHEST_KEY", "sk_live"),
        ],
    );
    for expected in [
        "unknown is no key",
        "server.listen (file) must be an address and a port",
        "server.workers (file) must be from 1 to 1024",
        "server.head_timeout (file) must be a duration such as \"30s\"",
        "server.idle_timout is no key. Did you mean server.idle_timeout?",
        "limits.max_body (file) must be",
        "limits.max_headers (file) must be a whole number",
        "cross_origin.allowed_origins (file) has a wrong entry: number 2 must end after the host",
        "cross_origin.require_proof (file) must be true or false",
        "routes.extra (file) has a wrong entry: number 1 must have a path that begins with /v1/",
        "routes.request_headers (file) must not hold its entry number 1",
        "mint.ttl (file) must be from 1m to 1day",
        "session.user_claim (file) must be a list",
        "session.providers[1].kind (file) is no kind of session",
        "session.providers[0].colour is no key",
        "upstream.idle_timeout (GATEWAY_UPSTREAM__IDLE_TIMEOUT) must be a duration",
        "mint.key (BEHEST_KEY) cannot be used",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(text.starts_with("17 problems"), "{text}");
}

#[test]
fn empty_values_are_missing() {
    let more = [
        ("BEHEST_KEY", ""),
        ("BEHEST_BASE_URL", ""),
        ("AUTH_SECRET", ""),
    ];
    let text = load(&more).map(|_| ()).unwrap_err().to_string();
    for (name, _) in more {
        assert!(
            text.contains(&format!("is missing ({name} is set, but empty)")),
            "{text}"
        );
    }
    let text = refusal("[mint]\nkid = \"\"\n", &[]);
    assert!(text.contains("mint.kid (file) is empty"), "{text}");
}

#[test]
fn local_signing_names_what_it_needs() {
    let text = load(&[("BEHEST_KEY", "behest_pk_AAAA")])
        .map(|_| ())
        .unwrap_err()
        .to_string();
    for name in ["BEHEST_KID", "BEHEST_TENANT_ID", "BEHEST_PROJECT_ID"] {
        assert!(
            text.contains(&format!("a behest_pk_ key needs it. Set {name}=")),
            "{text}"
        );
    }
}

#[test]
fn plaintext_upstream_is_for_loopback_or_on_request() {
    let at = |url: &str, allowed: &str| {
        load(&[
            ("BEHEST_BASE_URL", url),
            ("GATEWAY_UPSTREAM__ALLOW_PLAINTEXT", allowed),
        ])
    };
    let text = at("http://emulator:8090", "false")
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("set upstream.allow_plaintext = true"),
        "{text}"
    );
    let warned = at("http://emulator:8090", "true").unwrap();
    assert!(warned.warnings.join("").contains("unencrypted"));
    let quiet = at("http://127.0.0.1:8090", "").unwrap();
    assert_eq!(quiet.warnings, [""; 0]);
}

#[test]
fn a_tls_file_never_comes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tls.crt");
    std::fs::write(&path, "x").unwrap();
    let text = load(&[("GATEWAY_TLS_CERT_FILE", &path.to_string_lossy())])
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("server.tls.key_file is missing: cert_file needs it"),
        "{text}"
    );
    let gone = [
        ("GATEWAY_TLS_CERT_FILE", "/usr/nowhere/a"),
        ("GATEWAY_TLS_KEY_FILE", "/usr/nowhere/b"),
    ];
    let text = load(&gone).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("server.tls.cert_file (GATEWAY_TLS_CERT_FILE) names the file /usr/nowhere/a: there is no such file"), "{text}");
    assert!(text.starts_with("2 problems"), "{text}");
}

#[test]
fn a_secret_in_the_file_itself_is_refused_and_the_forms_are_shown() {
    let toml = "[mint]\nkey = \"behest_sk_live_oops\"\n[session]\nsecrets = [\"hunter2hunter2\"]\n";
    for more in [
        &[] as &[(&str, &str)],
        &[("BEHEST_KEY", ""), ("AUTH_SECRET", "")],
    ] {
        let text = refusal(toml, more);
        assert!(
            text.contains(
                "mint.key (file) must be a reference, never the secret itself: write { env"
            ),
            "{text}"
        );
        assert!(
            !text.contains("oops") && !text.contains("hunter2"),
            "{text}"
        );
        assert!(!text.contains("mint.key is missing"), "{text}");
    }
    let text = refusal(toml, &[("BEHEST_KEY", ""), ("AUTH_SECRET", "")]);
    assert!(text.starts_with("2 problems"), "{text}");
}

#[test]
fn references_lead_somewhere() {
    let toml = "[mint]\nkey = { env = \"NOWHERE\" }\n[telemetry]\nuser_hash_key = { file = \"/usr/nowhere/key\" }\n[session_id]\nkey = { path = \"/x\" }\n";
    let text = refusal(toml, &[("BEHEST_KEY", "")]);
    for expected in [
        "mint.key (file) names the environment variable NOWHERE, which is not set",
        "telemetry.user_hash_key (file) names the file /usr/nowhere/key: there is no such file",
        "session_id.key (file) must be a reference: { env",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(text.starts_with("3 problems"), "{text}");
}

#[test]
fn a_variable_and_its_file_are_not_both_set() {
    let text = load(&[
        ("BEHEST_KEY_FILE", "/run/key"),
        ("AUTH_SECRET_FILE", "/run/secret"),
    ]);
    let text = text.map(|_| ()).unwrap_err().to_string();
    assert!(
        text.contains("mint.key is set by both BEHEST_KEY and BEHEST_KEY_FILE"),
        "{text}"
    );
    assert!(
        text.contains("session.secrets is set by both AUTH_SECRET and AUTH_SECRET_FILE"),
        "{text}"
    );
    assert!(text.starts_with("2 problems"), "{text}");
}

#[test]
fn sample_secrets_are_refused_and_short_ones_warned_of() {
    let text = load(&[("AUTH_SECRET", "changeme")])
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("session.secrets (AUTH_SECRET) cannot be used: the secret is a sample"),
        "{text}"
    );
    let loaded = load(&[("AUTH_SECRET", "twelve bytes")]).unwrap();
    assert!(
        loaded
            .warnings
            .join("")
            .contains("session.secrets (AUTH_SECRET): the secret has only 12 bytes")
    );
}

#[test]
fn a_section_is_a_table_and_the_command_line_knows_its_keys() {
    let text = refusal("server = 3\n", &[]);
    assert!(text.contains("server must be a table: [server]"), "{text}");
    let unknown = Config::load(Sources {
        cli: [("server.listn".to_owned(), "x".to_owned())].into(),
        env: env(&[]),
        file: None,
    });
    let text = unknown.map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("Did you mean server.listen?"), "{text}");
    let secret = Config::load(Sources {
        cli: [("mint.key".to_owned(), SK.to_owned())].into(),
        env: env(&[]),
        file: None,
    });
    let text = secret.map(|_| ()).unwrap_err().to_string();
    assert!(
        text.contains("mint.key cannot be set on the command line"),
        "{text}"
    );
    assert!(!text.contains(SK), "{text}");
    assert!(load_file("[server]\n[server.tls]\n", &[]).is_ok());
    let text = refusal("[upstream]\nworkers = 3\n", &[]);
    assert!(text.contains("Did you mean server.workers?"), "{text}");
}

#[test]
fn an_open_admin_listener_and_an_unknown_public_origin_are_warned_of() {
    let loaded = load(&[
        ("GATEWAY_ADMIN_LISTEN", "0.0.0.0:9090"),
        ("GATEWAY_PUBLIC_ORIGIN", ""),
    ]);
    let warnings = loaded.unwrap().warnings.join("\n");
    assert!(
        warnings.contains("admin.listen is 0.0.0.0:9090"),
        "{warnings}"
    );
    assert!(
        warnings.contains("cross_origin.public_origins is not set"),
        "{warnings}"
    );
}

#[test]
fn trusted_proxies_are_addresses_and_wide_blocks_are_warned_of() {
    let load = |proxies: &str| load(&[("GATEWAY_SERVER__TRUSTED_PROXIES", proxies)]);
    for (proxies, fault) in [
        ("10.0.0.0/8, proxy", "number 2 must be an IP address"),
        ("*", "number 1 must be an IP address"),
        ("10.1.2.3/8", "number 1 must begin at its block's first"),
    ] {
        let text = load(proxies).map(|_| ()).unwrap_err().to_string();
        let key = "server.trusted_proxies (GATEWAY_SERVER__TRUSTED_PROXIES) has a wrong entry: ";
        assert!(text.contains(&format!("{key}{fault}")), "{text}");
    }
    let warning = "server.trusted_proxies holds ";
    let loaded = load("10.0.0.0/8, ::1").unwrap();
    assert_eq!(loaded.config.server.trusted_proxies.len(), 2);
    assert!(!loaded.warnings.join("\n").contains(warning));
    for wide in ["0.0.0.0/0", "::/0", "0.0.0.0/1"] {
        let warnings = load(wide).unwrap().warnings.join("\n");
        assert!(
            warnings.contains(&format!("{warning}{wide}:")),
            "{warnings}"
        );
    }
}

#[test]
fn an_origin_needs_no_second_entry_unless_the_app_has_several() {
    let with = |public: &str| {
        let loaded = load(&[
            ("GATEWAY_PUBLIC_ORIGIN", public),
            ("GATEWAY_ALLOWED_ORIGINS", "https://a.example"),
        ]);
        let warnings = loaded.unwrap().warnings.join("\n");
        warnings.contains("cross_origin.allowed_origins holds the public origin")
    };
    assert!(with("https://a.example"));
    assert!(!with("https://a.example, https://b.example"));
}

#[test]
fn an_origin_that_no_browser_sends_is_named_with_its_fix() {
    for (entry, fix) in [
        ("*", "must be exact"),
        ("null", "must not be `null`"),
        ("a.example", "must be written scheme://host[:port]"),
        ("https://a.example/", "no slash"),
        ("https://a.example/chat", "no path"),
        ("https://A.example", "must be lower case"),
        ("https://a.example:443", "without the scheme's own port"),
        ("https://*.example", "must be exact"),
        ("http://127.1", "as browsers do"),
    ] {
        for (variable, key) in [
            ("GATEWAY_PUBLIC_ORIGIN", "public_origins"),
            ("GATEWAY_ALLOWED_ORIGINS", "allowed_origins"),
        ] {
            let list = format!("https://ok.example, {entry}");
            let text = load(&[(variable, &list)])
                .map(|_| ())
                .unwrap_err()
                .to_string();
            let place = format!("cross_origin.{key} ({variable}) has a wrong entry: number 2 ");
            assert!(
                text.contains(&place) && text.contains(fix),
                "{entry}: {text}"
            );
        }
    }
}

#[test]
fn an_app_is_another_origin_and_nothing_more() {
    for (url, text) in [
        ("app:3000", "must begin with"),
        ("http://app:3000/base", "must not hold a path"),
        ("http://127.0.0.1:8080", "is the gateway's own address"),
        ("http://localhost:8080", "is the gateway's own address"),
        (
            "http://user:pw@app:3000",
            "must not hold a user or a password",
        ),
    ] {
        let problems = load(&[("GATEWAY_APP_URL", url)]).map(|_| ()).unwrap_err();
        let problems = problems.to_string();
        assert!(
            problems.contains("app.url") && problems.contains(text),
            "{url}: {problems}"
        );
        assert!(!problems.contains("pw"), "{problems}");
    }
    for url in [
        "http://app:3000",
        "https://app.internal",
        "http://127.0.0.1:3000/",
    ] {
        assert!(
            load(&[("GATEWAY_APP_URL", url)])
                .unwrap()
                .config
                .app
                .is_some()
        );
    }
}

#[test]
fn a_key_of_hashes_that_can_be_guessed_is_refused() {
    let refused = |key: &str| refusal("", &[("GATEWAY_USAGE__HASH_KEY", key)]);
    let text = refused("thirty-one-bytes-are-too-few-12");
    assert!(text.contains("usage.hash_key"), "{text}");
    assert!(text.contains("32 bytes are the least"), "{text}");
    assert!(!text.contains("thirty"), "{text}");
}
