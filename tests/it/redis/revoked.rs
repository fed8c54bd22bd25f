//! Revocations that one replica orders and all hold.

use std::sync::Arc;
use std::time::Duration;

use behest_gateway::clock::{Clock, monotonic};
use behest_gateway::identity::UserId;
use behest_gateway::revocation::{
    Heard, Holder, Order, Revocation, Revocations, SharedRevocations, Subject,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Replica;
use crate::support::redis::Redis;
use crate::support::waiting::until;

const MONTH: Duration = Duration::from_hours(720);

struct Member {
    _replica: Replica,
    held: Arc<Revocations>,
    shared: Arc<SharedRevocations>,
    running: JoinHandle<()>,
}

impl Member {
    async fn new(redis: &Redis) -> Self {
        Self::of(Replica::new(&redis.url()).await)
    }

    fn of(replica: Replica) -> Self {
        let held = Revocations::new(Clock::system(), CancellationToken::new());
        let shared = Arc::new(SharedRevocations::new(
            replica.store.log("revocations"),
            Arc::clone(&held),
            Clock::system(),
            Box::new(|heard| assert!(matches!(heard, Heard::Revoked(_) | Heard::Lifted(_)))),
        ));
        let runs = Arc::clone(&shared);
        let running = tokio::spawn(async move { runs.run().await });
        Self {
            _replica: replica,
            held,
            shared,
            running,
        }
    }

    fn revoke(&self, user: &str) -> Arc<Revocation> {
        let order = Order {
            subject: Subject::user(user).unwrap(),
            before: Some(Duration::from_millis(1_795_430_000_500)),
            reason: Some("lost".into()),
        };
        let revoked = self
            .held
            .revoke(order, MONTH, Clock::system().now())
            .unwrap();
        self.shared.publish(&revoked);
        revoked
    }

    fn lift(&self, revocation: &Revocation) {
        let lifted = self.held.lift(revocation.id).unwrap();
        self.shared.publish_lifted(&lifted);
    }

    fn refuses(&self, user: &str) -> bool {
        let holder = Holder {
            user: UserId::parse(user).unwrap(),
            claim: None,
            session_id: None,
            issued_at: Some(1_795_430_000.0),
        };
        self.held.verdict(&holder, Clock::system().now()).is_err()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_holds_on_all_within_a_second_and_on_those_that_start_later() {
    let redis = Redis::start();
    let members = [
        Member::new(&redis).await,
        Member::new(&redis).await,
        Member::new(&redis).await,
    ];
    let mut fastest = Duration::MAX;
    for round in 0..5 {
        let user = format!("user-{round}");
        let start = monotonic();
        let revoked = members[round % 3].revoke(&user);
        until("all refuse", async || {
            members.iter().all(|it| it.refuses(&user))
        })
        .await;
        fastest = fastest.min(start.elapsed());
        // They call it by one name, which any of them can lift.
        let other = members[(round + 1) % 3]
            .held
            .list(None, 1, Clock::system().now());
        assert_eq!(other[0].id, revoked.id);
        assert_eq!(other[0].reason, revoked.reason);
        assert_eq!(
            other[0].ends_at().as_micros(),
            revoked.ends_at().as_micros()
        );
    }
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    let later = Member::new(&redis).await;
    until("one that starts later", async || later.held.len() == 5).await;
    let first = later
        .held
        .list(None, 5, Clock::system().now())
        .pop()
        .unwrap();
    later.lift(&first);
    until("all have lifted it", async || {
        members.iter().all(|it| it.held.len() == 4)
    })
    .await;
    assert!(!members[0].refuses("user-0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_cut_off_learns_of_all_and_a_store_that_forgot_is_told_again() {
    // Without persistence: it comes back with nothing.
    let mut redis = Redis::start();
    let members = [Member::new(&redis).await, Member::new(&redis).await];
    let lifted = members[0].revoke("ada");
    members[0].revoke("eve");
    until("both hold both", async || members[1].held.len() == 2).await;
    redis.kill();
    members[0].revoke("bob");
    members[1].revoke("joe");
    members[0].lift(&lifted);
    assert!(members[0].refuses("bob"), "it holds here at once");
    redis.again();
    let users = ["eve", "bob", "joe"];
    let agree = |it: &Member| users.iter().all(|user| it.refuses(user)) && !it.refuses("ada");
    until("both hold the same", async || members.iter().all(agree)).await;
    let later = Member::new(&redis).await;
    until("the store has all of it again", async || agree(&later)).await;
    // Nothing comes back when it is read again.
    redis.ask("FLUSHALL");
    members[0].revoke("kim");
    until("all hear of it", async || {
        members.iter().chain([&later]).all(|it| it.refuses("kim"))
    })
    .await;
    until("and hold the same", async || {
        members.iter().chain([&later]).all(|it| it.held.len() == 4)
    })
    .await;
    assert!(members.iter().all(agree));
}
