//! What one user may spend holds over all replicas, to the rule: a request is let through where
//! `used + reserved < limit`, and so a limit is passed by one estimate at most. A revocation holds on all.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::Full;

use super::fleet::{Fleet, OPERATOR, REPLICAS};
use super::load::chat;
use crate::support::caller::{Caller, Protocol, ask, get};
use crate::support::cookie;
use crate::support::waiting::{after, is_past};

/// What one request of [`chat`] reserves at the most: its `max_tokens`, and a quarter of its body.
const ESTIMATE: u64 = 64 + 200 / 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_requests_are_let_through_as_a_day_has_and_not_one_more() {
    let fleet = Fleet::start(&[("GATEWAY_BUDGETS__DEFAULT__REQUESTS_PER_DAY", "40")]).await;
    let (served, refused, _) = at_once(&fleet, 90).await;
    assert_eq!((served, refused), (40, 50));
    assert_eq!(fleet.settled("ada", "requests_per_day").await, 40);
    let shares: Vec<usize> = fleet.records().iter().map(BTreeMap::len).collect();
    assert!(
        shares.iter().all(|share| *share > 0),
        "one served none: {shares:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_overspent_by_one_estimate_at_most_and_counted_exactly() {
    let limit = 1500;
    let text = limit.to_string();
    let fleet = Fleet::start(&[("GATEWAY_BUDGETS__DEFAULT__TOKENS_PER_DAY", &text)]).await;
    let mut seen = 0;
    // What was refused for what others had reserved is asked again.
    for _ in 0..60 {
        let (served, refused, total) = at_once(&fleet, 12).await;
        seen += total;
        let used = fleet.settled("ada", "tokens_per_day").await;
        assert_eq!(used, seen, "what clients were told is what is counted");
        assert!(used < limit + ESTIMATE, "{used} of {limit}");
        if served == 0 {
            assert!(used >= limit && refused == 12, "{used} of {limit}");
            return;
        }
    }
    panic!("the budget never ends: {seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_on_one_is_in_force_on_all_within_a_second() {
    let fleet = Fleet::start(&[]).await;
    let session = cookie("ada", "\"free\"");
    let status = async |at: usize| {
        let address = fleet.gateways[at].address;
        let request = get(address, "/v1/models", &session);
        let mut caller = Caller::connect(address, Protocol::Http1).await;
        // An answer that has begun when the revocation comes is broken off.
        let answer = caller.send(request).await.ok()?;
        Some(answer.status())
    };
    for at in 0..REPLICAS {
        assert_eq!(status(at).await, Some(StatusCode::OK));
    }
    let admin = fleet.gateways[0].admin;
    let request = Request::post("/revocations")
        .header("host", admin.to_string())
        .header("authorization", format!("Bearer {OPERATOR}"))
        .header("content-type", "application/json")
        .body(Full::new(r#"{"user_id":"ada"}"#.into()))
        .unwrap();
    let revoked = ask(admin, Protocol::Http1, request).await;
    let end = after(Duration::from_secs(1));
    assert_eq!(revoked.status, StatusCode::CREATED, "{}", revoked.text());
    for at in 0..REPLICAS {
        while status(at).await != Some(StatusCode::UNAUTHORIZED) {
            assert!(!is_past(end), "gateway {at} has not heard of it");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// `many` requests of one user together: how many were served and refused, and the tokens of the former.
async fn at_once(fleet: &Fleet, many: usize) -> (usize, usize, u64) {
    let session = cookie("ada", "\"free\"");
    let one = |number: usize| {
        let (address, session) = (fleet.address(), session.clone());
        tokio::spawn(async move { chat(address, &session, number.is_multiple_of(2)).await })
    };
    let asked: Vec<_> = (0..many).map(one).collect();
    let (mut served, mut refused, mut total) = (0, 0, 0);
    for one in asked {
        match one.await.unwrap() {
            Ok(done) => {
                served += 1;
                total += done.total;
            }
            Err(fault) => {
                assert!(
                    fault.starts_with("402") && fault.contains("quota_exceeded"),
                    "{fault}"
                );
                refused += 1;
            }
        }
    }
    (served, refused, total)
}
