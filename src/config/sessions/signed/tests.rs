//! What presets derive, and what is refused of JWTs.

use std::time::Duration;

use crate::config::{Config, Loaded, Sources};
use crate::session::{
    Algorithm, CookieName, FormatConfig, KeySource, ProviderConfig, SignedConfig,
};

fn load(toml: &str) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content);
    write("keys.json", include_str!("tests/keys.json")).unwrap();
    write(
        "bad.pem",
        "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let file = folder.path().join("gateway.toml");
    let toml = toml.replace("DIR", folder.path().to_str().unwrap());
    std::fs::write(&file, format!("[[session.providers]]\n{toml}")).unwrap();
    let env = [
        (
            "BEHEST_KEY",
            "behest_sk_live_0123456789abcdef0123456789abcdef",
        ),
        ("BEHEST_BASE_URL", "https://demo.behest.app"),
        ("JWT_SECRET", "a-secret-of-the-app-that-is-long-enough-1"),
        ("WEAK", "secret"),
    ];
    Config::load(Sources {
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        file: Some(file),
        ..Sources::default()
    })
    .map_err(|problems| problems.to_string())
}

fn provider(toml: &str) -> (ProviderConfig, SignedConfig) {
    let loaded = load(toml).unwrap_or_else(|problems| panic!("{problems}"));
    let provider = loaded.config.session.providers[0].clone();
    let FormatConfig::Signed(config) = &provider.format else {
        panic!("signed")
    };
    (provider.clone(), config.clone())
}

fn url(config: &SignedConfig) -> String {
    match &config.keys {
        Some(KeySource::Url { url, .. }) => url.to_string(),
        other => panic!("{other:?}"),
    }
}

fn names(provider: &ProviderConfig) -> Vec<&str> {
    provider
        .cookie_names
        .iter()
        .map(CookieName::as_str)
        .collect()
}

#[test]
fn clerk_is_derived_from_the_publishable_key() {
    let key = "pk_test_ZGV2LWFwcC5jbGVyay5hY2NvdW50cy5kZXYk";
    let (provider, config) =
        super::tests::provider(&format!("kind = \"clerk\"\npublishable_key = \"{key}\""));
    assert_eq!(names(&provider), ["__session_UH7EI4w6", "__session"]);
    assert_eq!(
        config.issuer.as_deref(),
        Some("https://dev-app.clerk.accounts.dev")
    );
    assert_eq!(
        url(&config),
        "https://dev-app.clerk.accounts.dev/.well-known/jwks.json"
    );
    assert_eq!(config.clock_tolerance, Duration::from_secs(5));
    assert_eq!(
        config.algorithms,
        [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512]
    );
}

#[test]
fn firebase_auth0_and_supabase_are_derived_from_one_key() {
    let (_, config) = provider("kind = \"firebase\"\nproject_id = \"my-app\"");
    assert_eq!(
        config.issuer.as_deref(),
        Some("https://session.firebase.google.com/my-app")
    );
    assert_eq!(config.audiences, ["my-app"]);
    assert!(url(&config).starts_with("https://www.googleapis.com/"));

    let (_, config) = provider(
        "kind = \"auth0-token\"\ncookie_names = [\"t\"]\ndomain = \"Tenant.eu.auth0.com\"\naudience = [\"a\", \"b\"]",
    );
    assert_eq!(
        config.issuer.as_deref(),
        Some("https://tenant.eu.auth0.com/")
    );
    assert_eq!(
        url(&config),
        "https://tenant.eu.auth0.com/.well-known/jwks.json"
    );
    assert_eq!(config.audiences, ["a", "b"]);

    let (provider, config) = provider(
        "kind = \"supabase\"\nproject_url = \"https://abc.supabase.co\"\nsecrets = [{ env = \"JWT_SECRET\" }]",
    );
    assert_eq!(names(&provider), ["sb-abc-auth-token"]);
    assert_eq!(
        config.issuer.as_deref(),
        Some("https://abc.supabase.co/auth/v1")
    );
    assert_eq!(config.audiences, ["authenticated"]);
    assert_eq!(
        url(&config),
        "https://abc.supabase.co/auth/v1/.well-known/jwks.json"
    );
    assert_eq!(
        config.algorithms,
        [Algorithm::Es256, Algorithm::Rs256, Algorithm::Hs256]
    );
    assert_eq!(provider.format.secrets().len(), 1);
}

#[test]
fn what_is_written_out_wins_over_what_is_derived() {
    let (provider, config) = provider(
        "kind = \"clerk\"\npublishable_key = \"pk_live_ZGV2LWFwcC5jbGVyay5hY2NvdW50cy5kZXYk\"\n\
         cookie_names = [\"__session\"]\nissuer = \"https://clerk.example\"\n\
         jwks_url = \"http://127.0.0.1:9/k\"\nclock_tolerance = \"1s\"\njwks_refresh = \"1m\"\nalgorithms = [\"RS256\"]",
    );
    assert_eq!(names(&provider), ["__session"]);
    assert_eq!(config.issuer.as_deref(), Some("https://clerk.example"));
    assert_eq!(url(&config), "http://127.0.0.1:9/k");
    assert_eq!(config.clock_tolerance, Duration::from_secs(1));
    assert_eq!(config.algorithms, [Algorithm::Rs256]);
    // A legacy project needs no call.
    let (_, config) = super::tests::provider(
        "kind = \"supabase\"\nproject_url = \"https://abc.supabase.co\"\nalgorithms = [\"HS256\"]\nsecrets = [{ env = \"JWT_SECRET\" }]",
    );
    assert!(config.keys.is_none());
}

#[test]
fn a_file_of_keys_is_read_and_watched_and_has_keys_for_the_algorithms() {
    let toml = "kind = \"signed\"\ncookie_names = [\"t\"]\njwks_file = \"DIR/keys.json\"";
    let (_, config) = provider(toml);
    assert_eq!(config.algorithms, [Algorithm::Es256]);
    let loaded = load(toml).unwrap();
    let is_watched = |file: &crate::config::WatchedFile| file.path.ends_with("keys.json");
    assert!(loaded.watched_files.iter().any(is_watched));
}

#[test]
fn what_is_missing_or_contradictory_is_refused_with_its_fix() {
    let generic = "kind = \"signed\"\ncookie_names = [\"t\"]\n";
    let bearer = "kind = \"bearer\"\n";
    let url = "jwks_url = \"https://a.example/k\"\n";
    let secrets = "secrets = [{ env = \"JWT_SECRET\" }]\n";
    for (toml, fix) in [
        (generic.to_owned(), "jwks_url is missing, and so are"),
        (bearer.to_owned(), "jwks_url is missing, and so are"),
        ("kind = \"clerk\"".to_owned(), "publishable_key is missing"),
        ("kind = \"clerk\"\npublishable_key = \"pk_test_AAAA\"".to_owned(), "must be the app's publishable key"),
        ("kind = \"firebase\"".to_owned(), "project_id is missing"),
        ("kind = \"firebase\"\nproject_id = \"x\"\nalgorithms = [\"ES256\"]".to_owned(), "never has"),
        ("kind = \"auth0-token\"\ncookie_names = [\"t\"]".to_owned(), "domain is missing"),
        ("kind = \"auth0-token\"\ncookie_names = [\"t\"]\ndomain = \"https://x\"".to_owned(), "without https://"),
        ("kind = \"supabase\"\ncookie_names = [\"t\"]\n".to_owned() + secrets, "project_url is missing"),
        ("kind = \"supabase\"\nproject_url = \"https://a.supabase.co\"\ntier_claim = [\"user_metadata\", \"tier\"]".to_owned(), "users of Supabase write themselves"),
        ("kind = \"supabase\"\nproject_url = \"https://a.supabase.co\"\nissued_claim = [\"user_metadata\", \"y\"]".to_owned(), "issued_claim must not look into user_metadata"),
        ("kind = \"supabase\"\nproject_url = \"https://a.supabase.co\"\nrequired = [{ claim = [\"user_metadata\", \"x\"], one_of = [1] }]".to_owned(), "required must not look"),
        (format!("{generic}{url}algorithms = [\"HS256\"]"), "set secrets"),
        (format!("{generic}{url}{secrets}algorithms = [\"RS256\"]"), "is for HS256"),
        (format!("{generic}{url}{secrets}algorithms = [\"HS256\"]"), "is for no algorithm"),
        (format!("{generic}{secrets}algorithms = [\"RS256\"]"), "set jwks_url, jwks_file or pem_file"),
        (format!("{generic}{url}algorithms = [\"none\"]"), "is none of RS256"),
        (format!("{generic}{url}algorithms = []"), "is empty"),
        (format!("{generic}{url}jwks_file = \"DIR/keys.json\""), "are both set"),
        (format!("{generic}jwks_file = \"DIR/keys.json\"\nalgorithms = [\"RS256\"]"), "there is no key"),
        (format!("{generic}jwks_file = \"DIR/keys.json\"\njwks_refresh = \"1m\""), "no meaning"),
        (format!("{generic}pem_file = \"DIR/bad.pem\""), "neither a PUBLIC KEY"),
        (format!("{generic}jwks_file = \"DIR/none\""), "there is no such file"),
        (format!("{generic}jwks_url = \"http://a.example/k\""), "allow_plaintext"),
        (format!("{generic}secrets = [{{ env = \"WEAK\" }}]"), "sample value"),
        (format!("{generic}{url}clock_tolerance = \"1h\""), "must be from"),
        (format!("{generic}{url}jwks_refresh = \"1s\""), "must be from"),
        (format!("{generic}{url}domain = \"x\""), "domain is no key"),
        (format!("{bearer}{url}cookie_names = [\"x\"]"), "no meaning for a bearer"),
    ] {
        let text = load(&toml).map(|_| ()).unwrap_err();
        assert!(text.contains(fix), "{toml}\n{text}");
    }
}

#[test]
fn an_issuer_that_signs_for_others_too_is_warned_of() {
    let warnings = |toml: &str| load(toml).unwrap().warnings.join("\n");
    let generic = "kind = \"bearer\"\njwks_url = \"https://a.example/k\"";
    let text = warnings(generic);
    assert!(
        text.contains(".issuer is not set") && text.contains(".audience is not set"),
        "{text}"
    );
    let text = warnings(&format!("{generic}\nissuer = \"i\"\naudience = \"a\""));
    assert!(
        !text.contains("].audience is not set") && !text.contains("].issuer is not set"),
        "{text}"
    );
    let clerk =
        "kind = \"clerk\"\npublishable_key = \"pk_test_ZGV2LWFwcC5jbGVyay5hY2NvdW50cy5kZXYk\"";
    assert!(warnings(clerk).contains("authorized_parties is not set"));
    let open = "kind = \"bearer\"\njwks_url = \"http://a.example/k\"\nallow_plaintext = true";
    assert!(warnings(open).contains("put in keys"));
}
