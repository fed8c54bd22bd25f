//! The store alone, on a clock that the test moves.

use super::*;
use crate::identity::SessionId;

const MONTH: Duration = Duration::from_hours(30 * 24);
const SECOND: Duration = Duration::from_secs(1);
const START: u64 = 1_795_430_000;

fn store() -> (Arc<Revocations>, Clock) {
    let clock = Clock::manual(START);
    let store = Revocations::new(clock.clone(), CancellationToken::new());
    (store, clock)
}

fn order(subject: Subject, before: Option<u64>) -> Order {
    Order {
        subject,
        before: before.map(Duration::from_secs),
        reason: None,
    }
}

fn user(name: &str) -> Subject {
    Subject::user(name).unwrap()
}

fn session(name: &str) -> Subject {
    Subject::session(name).unwrap()
}

fn holder(user: &str, claim: &str, issued_at: impl Into<Option<f64>>) -> Holder {
    Holder {
        user: UserId::parse(user).unwrap(),
        claim: Some(claim.into()),
        session_id: SessionId::parse(&format!("gw_of-{claim}")),
        issued_at: issued_at.into(),
    }
}

impl Revocations {
    fn put(&self, subject: Subject, before: Option<u64>) -> RevocationId {
        let order = order(subject, before);
        self.revoke(order, MONTH, self.clock.now()).unwrap().id
    }

    fn refuses(&self, holder: &Holder) -> bool {
        self.verdict(holder, self.clock.now()).is_err()
    }
}

#[test]
fn a_user_a_claim_and_a_derived_id_name_sessions_and_nobody_elses() {
    for (subject, others_of_the_user) in [
        (user("ada"), true),
        (session("s1"), false),
        (session("gw_of-s1"), false),
    ] {
        let (store, _) = store();
        store.put(subject.clone(), None);
        assert!(store.refuses(&holder("ada", "s1", None)), "{subject:?}");
        assert_eq!(
            store.refuses(&holder("ada", "s2", None)),
            others_of_the_user
        );
        assert!(!store.refuses(&holder("eve", "s2", None)));
        // A user and a session of one name are two things.
        assert!(!store.refuses(&holder("s1", "ada", None)));
    }
}

#[test]
fn before_spares_only_what_says_that_it_is_younger() {
    let (store, _) = store();
    store.put(user("ada"), Some(START));
    let start = 1_795_430_000.0;
    assert!(store.refuses(&holder("ada", "s", start - 0.5)));
    assert!(store.refuses(&holder("ada", "s", None)));
    assert!(!store.refuses(&holder("ada", "s", start)));
    assert!(!store.refuses(&holder("ada", "s", start + 9e9)));
}

#[test]
fn of_several_the_strictest_holds_and_lifting_one_leaves_the_others() {
    let (store, _) = store();
    let early = store.put(user("ada"), Some(100));
    let late = store.put(user("ada"), Some(300));
    let middle = store.put(user("ada"), Some(200));
    let all = store.put(user("ada"), None);
    let refused = |at: f64| store.verdict(&holder("ada", "s", at), store.clock.now());
    assert_eq!(refused(1e9), Err(Revoked(all)));
    assert!(store.lift(all).is_some());
    assert!(store.lift(all).is_none(), "once");
    assert_eq!(refused(1e9), Ok(()));
    assert_eq!(refused(250.0), Err(Revoked(late)));
    assert!(store.lift(late).is_some());
    assert_eq!(refused(250.0), Ok(()));
    assert_eq!(refused(150.0), Err(Revoked(middle)));
    assert!(store.lift(middle).is_some());
    assert_eq!(refused(50.0), Err(Revoked(early)));
    assert!(store.lift(early).is_some());
    assert_eq!(refused(50.0), Ok(()));
    assert!(store.is_empty() && store.users.is_empty());
}

#[test]
fn a_revocation_ends_by_itself_and_is_swept() {
    let (store, clock) = store();
    store.put(user("ada"), None);
    store.put(session("s"), None);
    clock.advance(MONTH / 2);
    store.put(user("ada"), Some(100));
    clock.advance((MONTH / 2).saturating_sub(SECOND));
    assert!(store.refuses(&holder("ada", "s", 200.0)));
    clock.advance(SECOND);
    // Unswept, the stricter one is over all the same, and the other is not.
    assert!(!store.refuses(&holder("ada", "s", 200.0)));
    assert!(store.refuses(&holder("ada", "s", 50.0)));
    let listed = |store: &Revocations| store.list(None, 10, clock.now()).len();
    assert_eq!((store.len(), listed(&store)), (3, 1));
    store.sweep(clock.now());
    assert_eq!((store.len(), listed(&store)), (1, 1));
    assert!(store.sessions.is_empty());
    clock.advance(MONTH);
    store.sweep(clock.now());
    assert!(store.is_empty() && store.users.is_empty());
}

#[test]
fn a_clock_that_leaps_ends_none_early() {
    let (store, clock) = store();
    store.put(user("ada"), None);
    let now = clock.now();
    let leapt = Now {
        unix: now.unix + MONTH * 2,
        ..now
    };
    let slept = Now {
        elapsed: now.elapsed + MONTH * 2,
        ..now
    };
    for then in [leapt, slept] {
        store.sweep(then);
        assert!(store.verdict(&holder("ada", "s", None), then).is_err());
    }
}

#[test]
fn over_the_bound_it_says_so_and_drops_none() {
    let clock = Clock::manual(START);
    let store = Revocations::with_room(2, clock.clone(), CancellationToken::new());
    store.put(user("ada"), None);
    clock.advance(SECOND);
    store.put(user("eve"), None);
    let third = || store.revoke(order(user("bob"), None), MONTH, clock.now());
    assert_eq!(third().unwrap_err(), Full(2));
    assert!(store.refuses(&holder("ada", "s", None)));
    assert!(!store.refuses(&holder("bob", "s", None)));
    // What has ended makes room, swept or not.
    clock.advance(MONTH.saturating_sub(SECOND));
    assert!(third().is_ok());
    assert!(store.refuses(&holder("eve", "s", None)));
}

#[test]
fn the_list_is_newest_first_in_pages_and_no_name_is_given_twice() {
    let (store, clock) = store();
    let mut given: Vec<_> = (0..5).map(|_| store.put(user("ada"), None)).collect();
    let newest = given.pop().unwrap();
    store.lift(newest);
    given.push(store.put(user("ada"), None));
    assert_ne!(given.last(), Some(&newest));
    given.reverse();
    let page = |older_than| -> Vec<_> {
        let page = store.list(older_than, 2, clock.now());
        page.iter().map(|held| held.id).collect()
    };
    let mut listed = page(None);
    for _ in 0..2 {
        let last = *listed.last().unwrap();
        listed.extend(page(Some(last)));
    }
    assert_eq!(listed, given);
    for id in given {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    for text in [
        "rv_",
        "rv_0G",
        "rv_01",
        "rv_+1",
        "1",
        "rv_A",
        "rv_11111111111111111",
    ] {
        assert_eq!(text.parse::<RevocationId>(), Err(()), "{text}");
    }
}

#[test]
fn a_watch_that_saw_no_news_asks_nothing_and_one_that_did_asks_once() {
    let (store, clock) = store();
    let ada = holder("ada", "s", None);
    let mut watch = store.watch(ada.clone(), clock.now()).unwrap();
    assert_eq!(watch.look(), Ok(()));
    store.put(user("eve"), None);
    assert_eq!(watch.look(), Ok(()));
    let id = store.put(user("ada"), None);
    assert_eq!(watch.look(), Err(Revoked(id)));
    assert!(store.watch(ada, clock.now()).is_err());
}

#[tokio::test]
async fn who_sleeps_is_woken_by_their_own_revocation_only() {
    let (store, clock) = store();
    let calling = Arc::clone(&store);
    let calling = tokio::spawn(async move { calling.call().await });
    let watch = |name| store.watch(holder(name, "s", None), clock.now()).unwrap();
    let (mut ada, mut eve) = (watch("ada"), watch("eve"));
    let (mut ada_too, bell) = (watch("ada"), watch("eve").bell());
    let sleeping = tokio::spawn(async move { ada.revoked().await });
    let spared = tokio::spawn(async move { eve.revoked().await });
    tokio::task::yield_now().await;
    store.put(user("bob"), None);
    let rung = tokio::time::timeout(Duration::from_secs(10), bell.cancelled()).await;
    assert!(rung.is_ok(), "no bell");
    let id = store.put(user("ada"), None);
    let woken = tokio::time::timeout(Duration::from_secs(10), sleeping).await;
    assert_eq!(woken.expect("nobody woke it").unwrap(), Revoked(id));
    // One that falls asleep only now.
    assert_eq!(ada_too.revoked().await, Revoked(id));
    assert!(!spared.is_finished());
    spared.abort();
    calling.abort();
}

#[tokio::test]
async fn the_end_of_all_streams_rings_every_bell_for_good() {
    let cut = CancellationToken::new();
    let store = Revocations::new(Clock::manual(START), cut.clone());
    let watch = store.watch(holder("ada", "s", None), store.clock.now());
    let watch = watch.unwrap();
    let bell = watch.bell();
    assert!(!watch.is_cut());
    cut.cancel();
    bell.cancelled().await;
    store.bells.ring();
    assert!(watch.is_cut() && watch.bell().is_cancelled());
}
