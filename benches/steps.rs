//! What each step of a request costs: `cargo bench --bench steps`.
//!
//! For `sign`, compare with `openssl speed rsa2048` on the same machine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "a bench that cannot go on stops; it reads nothing but its own input"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rsa::KeySize;
use behest_gateway::budget::journal::JournalConfig;
use behest_gateway::budget::store::{Embedded, EmbeddedConfig, Terms};
use behest_gateway::budget::window::{WindowKind, Windows, parse_zone};
use behest_gateway::budget::{Amounts, Claim, LimitKind, Limits, Policy, Store, Thresholds};
use behest_gateway::clock::{Clock, Now, unix_time};
use behest_gateway::config::{Config, OutboundConfig, Sources};
use behest_gateway::emulator::SigningKey;
use behest_gateway::forward::headers::HeaderPolicy;
use behest_gateway::generation::outbound;
use behest_gateway::generation::{Generation, Process};
use behest_gateway::session::{
    Algorithm, CookieName, FormatConfig, Front, KeySet, KeySource, ProviderConfig, ProviderKind,
    SessionAuthenticator, SignedConfig, Visit,
};
use behest_gateway::token::Signer;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};

#[path = "steps/charge.rs"]
mod charge;
#[path = "steps/cpu.rs"]
mod cpu;
#[expect(dead_code, reason = "shared with the unit tests, which use all of it")]
#[path = "../src/session/signed/testing.rs"]
mod issuer;
#[path = "steps/metering.rs"]
mod metering;
#[expect(dead_code, reason = "shared with the unit tests, which use all of it")]
#[path = "../src/session/sealer.rs"]
mod sealer;
#[path = "steps/usage.rs"]
mod usage;

const SECRET: &str = "bench-secret-8b1f0c2d4e6a79135ac0e2f4d6b8a9c1";

fn config() -> Config {
    let key = SigningKey::generate().and_then(|key| key.to_behest_key());
    let env: BTreeMap<String, String> = [
        ("BEHEST_KEY", key.unwrap_or_default().as_str()),
        ("BEHEST_KID", "bench"),
        ("BEHEST_TENANT_ID", "tenant"),
        ("BEHEST_PROJECT_ID", "project"),
        ("BEHEST_BASE_URL", "https://demo.behest.app"),
        ("AUTH_SECRET", SECRET),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let sources = Sources {
        env,
        ..Sources::default()
    };
    match Config::load(sources) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems}"),
    }
}

fn headers(cookie: &str, sealer: &sealer::Sealer) -> HeaderMap {
    let exp = unix_time().as_secs() + 86_400;
    let token = sealer.seal(&format!(
        r#"{{"name":"Ada Lovelace","email":"ada@example.com","picture":null,"sub":"usr_0123456789","tier":"pro","sid":"browser-1","iat":1,"exp":{exp},"jti":"00000000-0000-0000-0000-000000000000"}}"#
    ));
    let cookie = format!("theme=dark; _ga=GA1.1.1; {cookie}={token}");
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "app.example"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("authorization", "Bearer unused"),
        ("user-agent", "OpenAI/JS 6.0"),
        ("x-stainless-lang", "js"),
        ("x-stainless-os", "Linux"),
        ("x-stainless-runtime", "browser:chrome"),
        ("origin", "https://app.example"),
        ("sec-fetch-site", "same-origin"),
        ("cookie", &cookie),
    ] {
        if let Ok(value) = value.parse() {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    headers
}

fn sessions(config: &Config) -> SessionAuthenticator {
    let sessions = outbound(&OutboundConfig::default())
        .map_err(|error| error.to_string())
        .and_then(|outbound| {
            SessionAuthenticator::new(&config.session, &outbound).map_err(|error| error.to_string())
        });
    sessions.unwrap_or_else(|error| panic!("{error}"))
}

fn visit(headers: &HeaderMap, now: Now) -> Visit<'_> {
    Visit {
        headers,
        front: Front::default(),
        now,
    }
}

/// A JWT whose signature is checked, and one that came before.
fn signed(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime, now: Now) {
    let keys = [
        ("RS256", issuer::TestKey::rsa(KeySize::Rsa2048)),
        ("ES256", issuer::TestKey::p256()),
    ];
    for (algorithm, key) in keys {
        let exp = now.unix_seconds() + 86_400;
        let claims = format!(
            r#"{{"iss":"https://issuer.example/","aud":"app","sub":"usr_0123456789","tier":"pro","sid":"browser-1","iat":1,"exp":{exp}}}"#
        );
        let mut headers = HeaderMap::new();
        let cookie = format!(
            "theme=dark; app_token={}",
            key.token(algorithm, "k", &claims)
        );
        headers.insert("cookie", cookie.parse().unwrap());
        let set = KeySet::from_json(issuer::set(&[key.jwk("k", "")]).as_bytes()).unwrap();
        let format = SignedConfig {
            algorithms: vec![Algorithm::parse(algorithm).unwrap()],
            keys: Some(KeySource::Held(Arc::new(set))),
            issuer: Some("https://issuer.example/".to_owned()),
            audiences: vec!["app".to_owned()],
            ..SignedConfig::default()
        };
        let mut provider = ProviderConfig::new(ProviderKind::Signed, FormatConfig::Signed(format));
        provider.cookie_names = CookieName::parse("app_token").into_iter().collect();
        let mut config = config();
        config.session.providers = vec![provider];
        let open = |sessions: &SessionAuthenticator| {
            let visit = visit(black_box(&headers), now);
            runtime.block_on(sessions.authenticate(&visit)).unwrap()
        };
        criterion.bench_function(&format!("session/signed-first {algorithm}"), |bench| {
            let size = BatchSize::NumIterations(20);
            bench.iter_batched_ref(|| sessions(&config), |fresh| open(fresh), size);
        });
        let kept = sessions(&config);
        criterion.bench_function(&format!("session/signed-again {algorithm}"), |bench| {
            bench.iter(|| open(&kept));
        });
    }
}

/// A reservation and its settling, under all limits of a user, in memory and with a journal.
fn budgets(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime, now: Now) {
    let windows = || Windows::new(parse_zone("Europe/Berlin").unwrap(), WindowKind::Calendar);
    let kept = windows();
    criterion.bench_function("budget/windows", |bench| {
        bench.iter(|| kept.at(black_box(now)));
    });
    let mut user = Limits::default();
    for kind in LimitKind::ALL {
        user.set(kind, Some(u64::MAX));
    }
    let policy = Arc::new(Policy {
        tier: "pro".to_owned(),
        user,
        session: Limits::default(),
    });
    let amounts = Amounts {
        requests: 1,
        tokens: 1,
        cost: 1,
    };
    let folder = tempfile::TempDir::new().unwrap();
    let journals = [
        ("memory", None),
        (
            "journal",
            Some(JournalConfig::new(folder.path().to_owned(), "bench")),
        ),
    ];
    for (name, journal) in journals {
        let store = Embedded::open(EmbeddedConfig {
            journal,
            ..EmbeddedConfig::new(Terms {
                windows: windows(),
                thresholds: Thresholds::new(&[50, 80, 100]),
            })
        });
        let store = Store::Embedded(store.unwrap());
        let mut next = 0_u128;
        criterion.bench_function(&format!("budget/reserve+settle {name}"), |bench| {
            bench.iter(|| {
                next = (next + 1) % 10_000;
                let claim = Claim {
                    user: next * 0x9e37_79b9_7f4a_7c15_f39c,
                    session: None,
                    policy: Arc::clone(&policy),
                    estimate: amounts,
                };
                let permit = runtime.block_on(store.reserve(claim, now)).unwrap();
                permit.settle(black_box(amounts));
            });
        });
    }
}

/// What requests cost, and may cost.
fn charges(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime, now: Now) {
    metering::metering(criterion);
    budgets(criterion, runtime, now);
    usage::usage(criterion, now);
    charge::charge(criterion, runtime);
}

fn steps(criterion: &mut Criterion) {
    let config = config();
    let clock = Clock::system();
    let now = clock.now();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    let sessions = sessions(&config);
    let v5 = "authjs.session-token";
    let v5_headers = headers(v5, &sealer::Sealer::v5(SECRET, v5));
    let v4_headers = headers("next-auth.session-token", &sealer::Sealer::v4(SECRET));
    for (name, headers) in [
        ("session/authjs-v5", &v5_headers),
        ("session/nextauth-v4", &v4_headers),
    ] {
        criterion.bench_function(name, |bench| {
            bench.iter(|| runtime.block_on(sessions.authenticate(&visit(black_box(headers), now))));
        });
    }
    signed(criterion, &runtime, now);
    charges(criterion, &runtime, now);
    criterion.bench_function("session/none", |bench| {
        let none = HeaderMap::new();
        bench.iter(|| runtime.block_on(sessions.authenticate(&visit(black_box(&none), now))));
    });

    let Ok(session) = runtime.block_on(sessions.authenticate(&visit(&v5_headers, now))) else {
        panic!("the cookie does not open");
    };
    let process = Process::new(clock).and_then(|process| {
        Generation::build(config.clone(), &process, None).map(|built| (process, built))
    });
    let Ok((_process, generation)) = process else {
        panic!("the configuration does not build");
    };
    let tokens = Arc::clone(&generation.gateway.tokens);
    criterion.bench_function("token/cache hit", |bench| {
        bench.iter(|| {
            runtime
                .block_on(tokens.token(black_box(&session.identity), now))
                .is_ok()
        });
    });

    let policy = HeaderPolicy::default();
    let (host, id) = (
        HeaderValue::from_static("demo.behest.app"),
        HeaderValue::from_static("gwr_0123456789abcdef"),
    );
    criterion.bench_function("headers/rewrite request", |bench| {
        bench.iter(|| policy.rewrite_request(black_box(&v5_headers), &host, &id));
    });

    let Ok(signer) = Signer::new(&config.mint) else {
        panic!("the key cannot sign");
    };
    criterion.bench_function("token/sign RS256-2048", |bench| {
        bench.iter(|| signer.sign(black_box(&session.identity), now).is_ok());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = steps
}
criterion_main!(benches);
