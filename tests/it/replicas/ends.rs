//! Redis is killed, a gateway is killed, all gateways are replaced: under load, and nothing that was
//! settled is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use behest_gateway::clock::monotonic;

use super::fleet::{Fleet, REPLICAS};
use super::load::{Load, Seen};
use crate::support::caller::{Protocol, ask, get};

/// Users at work: each has one request on its way at a time.
const USERS: usize = 6;
/// A limit that nobody reaches: what counts is that it counts.
const LIMIT: (&str, &str) = ("GATEWAY_BUDGETS__DEFAULT__TOKENS_PER_DAY", "100000000");
/// Between an answer's end and its record's and its settlement's arrival, on a busy machine.
const ON_THE_WAY: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_and_then_a_gateway_are_killed_and_only_what_was_in_flight_there_fails() {
    let mut fleet = Fleet::start(&[LIMIT]).await;
    let load = Load::begin(fleet.address(), USERS);
    pass(500).await;
    fleet.redis.kill();
    pass(1000).await;
    for gateway in &fleet.gateways {
        let request = get(gateway.admin, "/readyz", "");
        let ready = ask(gateway.admin, Protocol::Http1, request).await;
        assert_eq!(ready.status, 200, "readiness does not depend on the store");
    }
    fleet.redis.again();
    fleet.connected().await;
    pass(500).await;
    let killed = monotonic();
    fleet.gateways[0].signal("KILL");
    fleet.gateways[0].exit_code().await;
    pass(1500).await;
    let all = load.end().await;

    let failed: Vec<_> = all.iter().flat_map(|seen| &seen.failed).collect();
    assert!(
        failed.len() <= USERS,
        "one a user, in flight where it was killed: {failed:?}"
    );
    for fault in failed {
        assert!(
            fault.contains("cut: ") || fault.starts_with("502"),
            "{fault}"
        );
    }
    fleet.again(0).await;
    fleet.connected().await;
    for seen in &all {
        let used = settled(&fleet, seen).await;
        let (least, most) = bounds(seen, killed);
        assert!(
            (least..=most).contains(&used),
            "{}: {least} to {most}: {used}",
            seen.user
        );
    }
    let records = once_each(&fleet);
    for done in all.iter().flat_map(|seen| &seen.done) {
        let is_certain = done.at + ON_THE_WAY < killed || done.at > killed + ON_THE_WAY;
        assert!(
            records.contains_key(&done.id) || !is_certain,
            "{} is not recorded",
            done.id
        );
    }
    let served = all.iter().map(|seen| seen.done.len()).sum::<usize>();
    assert!(served > 20 * USERS, "hardly anything was asked: {served}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_are_replaced_one_by_one_and_nothing_is_lost() {
    let mut fleet = Fleet::start(&[LIMIT]).await;
    let load = Load::begin(fleet.address(), USERS);
    for at in 0..REPLICAS {
        pass(500).await;
        fleet.gateways[at].signal("TERM");
        assert_eq!(fleet.gateways[at].exit_code().await, Some(0));
        fleet.again(at).await;
    }
    pass(500).await;
    let all = load.end().await;
    fleet.connected().await;
    for seen in &all {
        assert_eq!(seen.failed, [""; 0], "{}", seen.user);
        assert!(seen.done.len() > 10, "{} asked hardly anything", seen.user);
        let used = fleet.settled(&seen.user, "tokens_per_day").await;
        assert_eq!(used, seen.total(), "{}", seen.user);
    }
    // What is written is written soon, or when a gateway ends.
    for gateway in &mut fleet.gateways {
        gateway.signal("TERM");
        assert_eq!(gateway.exit_code().await, Some(0));
    }
    let records = once_each(&fleet);
    for done in all.iter().flat_map(|seen| &seen.done) {
        assert!(
            records.contains_key(&done.id),
            "{} is not recorded",
            done.id
        );
    }
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// What is counted for a user one of whose requests may have gone down with its gateway: its reservation
/// is held until the lease ends, so that nobody waits for that.
async fn settled(fleet: &Fleet, seen: &Seen) -> u64 {
    let mut used = 0;
    crate::support::waiting::until("what is settled is told", async || {
        let own = fleet.standing(&seen.user, "tokens_per_day").await;
        let before = std::mem::replace(&mut used, own["used"].as_u64().unwrap());
        pass(300).await;
        before == used && used > 0
    })
    .await;
    used
}

/// What can be counted: all that was answered, but for what ended as the gateway was killed; and what was
/// in flight there.
fn bounds(seen: &Seen, killed: Instant) -> (u64, u64) {
    let is_certain = |at: Instant| at + ON_THE_WAY < killed || at > killed + ON_THE_WAY;
    let certain = seen.done.iter().filter(|done| is_certain(done.at));
    let each = seen.done.iter().map(|done| done.total).max().unwrap_or(0);
    let failed = u64::try_from(seen.failed.len()).unwrap();
    (
        certain.map(|done| done.total).sum(),
        seen.total() + failed * each,
    )
}

/// The ids of all records, no two of which are of one request.
fn once_each(fleet: &Fleet) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for (id, count) in fleet.records().into_iter().flatten() {
        *all.entry(id).or_insert(0) += count;
    }
    assert!(all.values().all(|count| *count == 1), "recorded twice");
    all
}
