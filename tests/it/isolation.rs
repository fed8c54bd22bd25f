//! Isolation, proven: users share connections, workers, pools and the token cache, callers leave and
//! the upstream fails, and still every answer and every upstream request belongs to the right user.
//!
//! `ISOLATION_REQUESTS` says how many requests are sent; by default 100 000, and a fifth of that where
//! tokens are signed.

use behest_gateway::clock::monotonic;
use behest_gateway::emulator::{FIXTURE_PROJECT, FIXTURE_TENANT, SigningKey};

use crate::support::crowd::{Crowd, MintedBy};
use crate::support::serve;
use crate::support::waiting::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_with_minted_tokens_never_meet() {
    let mints = visit(MintedBy::Call, requests(), &[]).await;
    assert!(mints > 1000, "tokens of a few seconds were to be renewed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_with_signed_tokens_never_meet() {
    let key = SigningKey::of_this_process().unwrap();
    let behest_key = key.to_behest_key().unwrap();
    let env = [
        ("BEHEST_KEY", behest_key.as_str()),
        ("BEHEST_KID", key.kid()),
        ("BEHEST_TENANT_ID", FIXTURE_TENANT),
        ("BEHEST_PROJECT_ID", FIXTURE_PROJECT),
    ];
    let mints = visit(MintedBy::Signature, requests() / 5, &env).await;
    assert_eq!(mints, 0);
}

fn requests() -> u64 {
    std::env::var("ISOLATION_REQUESTS").map_or(100_000, |text| text.parse().unwrap())
}

/// Sends a crowd of `total` requests to a gateway; how many tokens were minted for it.
async fn visit(minted: MintedBy, total: u64, env: &[(&str, &str)]) -> u64 {
    let crowd = Crowd::new(total);
    let upstream = crowd.upstream(minted).await;
    let (server, process) = serve(&format!("http://{upstream}"), env);
    let begun = monotonic();
    let report = crowd.visit(server.address()).await;
    let took = monotonic().duration_since(begun);
    eprintln!("{report}\n{took:?}, {minted:?}");
    assert_eq!(report.wrongs, 0, "{report}");
    assert_eq!(report.sent, total);
    // Far more than the faults and those who leave account for, and the proof would be of nothing.
    assert!(report.answered() * 100 > total * 88, "{report}");
    assert!(report.left() * 100 > total * 3, "{report}");
    assert!(report.collateral() * 1000 < total * 5, "{report}");
    let page = || String::from_utf8(process.metrics.page().unwrap()).unwrap();
    assert!(page().contains("behest_gateway_panics_total 0"));
    until("nothing is in flight", async || {
        page().contains("behest_gateway_requests_in_flight 0")
    })
    .await;
    report.mints
}
