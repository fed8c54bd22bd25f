//! The file: its references, its providers, its tables.

use super::*;
use crate::identity::Tier;
use crate::session::{CacheStrategy, FormatConfig, ProviderKind, SessionIdSource};

#[test]
fn secrets_are_references_to_variables_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old");
    std::fs::write(&path, format!("old-{SECRET}\n")).unwrap();
    let toml = format!(
        "[mint]\nkey = {{ env = \"MY_KEY\" }}\n[session]\nsecrets = [{{ env = \"NEW\" }}, {{ file = {:?} }}]\n",
        path.display().to_string()
    );
    let new = format!("new-{SECRET}");
    let more = [
        ("BEHEST_KEY", ""),
        ("AUTH_SECRET", ""),
        ("MY_KEY", SK),
        ("NEW", &new),
    ];
    let loaded = load_file(&toml, &more).unwrap();
    assert_eq!(loaded.config.mint.key.expose(), SK.as_bytes());
    let secrets = loaded.config.session.providers[0].format.secrets();
    assert_eq!(secrets[0].expose(), new.as_bytes());
    assert_eq!(secrets[1].expose(), format!("old-{SECRET}").as_bytes());
    assert!(loaded.watched_files.iter().any(|file| file.path == path));
}

#[test]
fn the_environments_secrets_come_before_the_files_and_a_warning_says_so() {
    let toml = "[session]\nsecrets = [{ env = \"OTHER\" }]\n";
    let other = format!("other-{SECRET}");
    let loaded = load_file(toml, &[("OTHER", &other)]).unwrap();
    let secrets = loaded.config.session.providers[0].format.secrets();
    assert_eq!(secrets.len(), 1);
    assert_eq!(secrets[0].expose(), SECRET.as_bytes());
    assert!(
        loaded
            .warnings
            .join("\n")
            .contains("session.secrets of the file is not used")
    );
}

#[test]
fn a_list_of_the_file_that_names_the_apps_variable_is_used_whole() {
    let toml = "[session]\nsecrets = [{ env = \"AUTH_SECRET\" }, { env = \"OLD\" }]\n";
    let old = format!("old-{SECRET}");
    let loaded = load_file(toml, &[("OLD", &old)]).unwrap();
    let secrets = loaded.config.session.providers[0].format.secrets();
    let found: Vec<_> = secrets.into_iter().map(Secret::expose).collect();
    assert_eq!(found, [SECRET.as_bytes(), old.as_bytes()]);
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn providers_have_their_own_settings_and_share_the_rest() {
    let toml = r#"
        [session]
        user_claim = ["user", "id"]
        tier_claim = ["https://app.example/tier"]
        [[session.providers]]
        kind = "nextauth-v4"
        secrets = [{ env = "V4" }]
        user_claim = ["sub"]
        [[session.providers]]
        kind = "authjs-v5"
        [session_id]
        source = "user"
        mix_client = true
    "#;
    let v4 = format!("v4-{SECRET}");
    let config = load_file(toml, &[("V4", &v4)]).unwrap().config;
    let [first, second] = config.session.providers.as_slice() else {
        panic!("two providers");
    };
    assert_eq!(
        (first.kind, second.kind),
        (ProviderKind::NextauthV4, ProviderKind::AuthjsV5)
    );
    assert_eq!(first.format.secrets()[0].expose(), v4.as_bytes());
    assert_eq!(second.format.secrets()[0].expose(), SECRET.as_bytes());
    assert_eq!(first.claims.paths.user, ["sub"]);
    assert_eq!(second.claims.paths.user, ["user", "id"]);
    assert_eq!(first.claims.paths.tier, ["https://app.example/tier"]);
    assert_eq!(second.claims.paths.session, ["sid"]);
    assert_eq!(config.session.session_id.source, SessionIdSource::User);
    assert!(config.session.session_id.mix_client);
}

#[test]
fn tiers_are_numbers_or_texts() {
    let toml = "[mint]\ndefault_tier = \"free\"\ntiers = { free = 1, \"2\" = \"pro\" }\n";
    let mint = load_file(toml, &[]).unwrap().config.mint;
    assert_eq!(mint.default_tier, Some(Tier::Text("free".into())));
    assert_eq!(mint.tier_map["free"], Tier::Number(1.into()));
    assert_eq!(mint.tier_map["2"], Tier::Text("pro".into()));
    let text = refusal(
        "[mint]\ndefault_tier = 1.5\n[mint.tiers]\nfree = true\n",
        &[],
    );
    assert!(
        text.contains("mint.default_tier (file) must be a whole number or a text"),
        "{text}"
    );
    assert!(
        text.contains("mint.tiers.free must be a whole number or a text"),
        "{text}"
    );
}

#[test]
fn sessions_alone_need_no_behest_key() {
    let sources = |env: &[(&str, &str)]| Sources {
        env: env
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        ..Sources::default()
    };
    let loaded = Config::load_session(sources(&[
        ("AUTH_SECRET", SECRET),
        ("GATEWAY_LISTEN", "nonsense"),
    ]));
    assert_eq!(loaded.unwrap().session.providers.len(), 2);
    let problems = Config::load_session(sources(&[])).unwrap_err().problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].key, "session.secrets");
}

#[test]
fn a_file_that_is_no_toml_is_the_only_problem_and_its_place_is_named() {
    let text = refusal("[server]\nlisten = \n", &[("BEHEST_KEY", "")]);
    assert!(text.starts_with("1 problem"), "{text}");
    assert!(text.contains("line 2"), "{text}");
    let missing = Config::load(Sources {
        env: env(&[]),
        file: Some("/usr/nowhere/gateway.toml".into()),
        ..Sources::default()
    });
    let problems = missing.map(|_| ()).unwrap_err();
    assert!(
        problems.to_string().contains("--config names the file /usr/nowhere/gateway.toml, which cannot be read: there is no such file"),
        "{problems}"
    );
    assert_eq!(problems.watched_files.len(), 1);
}

#[test]
fn sealed_sessions_have_secrets_passwords_or_strategies_of_their_own() {
    let toml = r#"
        [[session.providers]]
        kind = "auth0-v4"
        secrets = [{ env = "AUTH0_SECRET" }]
        [[session.providers]]
        kind = "better-auth-cache"
        cookie_names = ["my.session_data"]
        secrets = [{ env = "AUTH0_SECRET" }]
        strategy = "jwe"
        [[session.providers]]
        kind = "iron-session"
        cookie_names = ["app"]
        passwords = { 1 = { env = "OLD" }, 2 = { env = "AUTH0_SECRET" } }
        user_prefix = "iron:"
        required = [{ claim = ["user", "active"], one_of = [true, 1, "yes"] }]
    "#;
    let secret = format!("own-{SECRET}");
    let env = [("AUTH0_SECRET", secret.as_str()), ("OLD", SECRET)];
    let config = load_file(toml, &env).unwrap().config;
    let [auth0, better_auth, iron] = config.session.providers.as_slice() else {
        panic!("three providers");
    };
    assert_eq!(auth0.claims.paths.user, ["user", "sub"]);
    assert_eq!(auth0.format.secrets()[0].expose(), secret.as_bytes());
    let FormatConfig::BetterAuthCache {
        strategy,
        token_cookie_names,
        ..
    } = &better_auth.format
    else {
        panic!("{better_auth:?}");
    };
    assert_eq!(*strategy, CacheStrategy::Jwe);
    assert_eq!(token_cookie_names[0].as_str(), "my.session_token");
    let FormatConfig::IronSession { passwords } = &iron.format else {
        panic!("{iron:?}");
    };
    let ids: Vec<_> = passwords.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(iron.claims.user_prefix, "iron:");
    assert_eq!(iron.claims.required[0].one_of.len(), 3);
}

#[test]
fn what_a_sealed_session_lacks_is_named() {
    let toml = r#"
        [[session.providers]]
        kind = "auth0-v4"
        [[session.providers]]
        kind = "better-auth-cache"
        cookie_names = ["cache"]
        secrets = [{ env = "AUTH_SECRET" }]
        strategy = "fast"
        [[session.providers]]
        kind = "iron-session"
        required = [{ claim = ["a"] }]
    "#;
    let text = refusal(toml, &[]);
    for expected in [
        "session.providers[0].secrets is missing",
        "session.providers[1].strategy (file) must be \"compact\", \"jwt\" or \"jwe\"",
        "session.providers[1].token_cookie_names must have one name for each of cookie_names",
        "session.providers[2].passwords is missing",
        "session.providers[2].cookie_names is missing",
        "session.providers[2].required (file) has a wrong entry: number 1 must be { claim",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(text.starts_with("6 problems"), "{text}");
}
