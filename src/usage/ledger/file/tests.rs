use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::metering::{Certainty, Cost, Tokens};
use crate::usage::UsageRecord;
use crate::usage::ledger::Sums;

const AT: u64 = 1_790_000_000;

fn now(at: u64) -> Now {
    Now {
        unix: Duration::from_secs(at),
        elapsed: Duration::from_secs(1),
    }
}

fn view() -> Arc<UsageView> {
    let view = Arc::new(UsageView::new(Ledger::new(false)));
    view.ledger.call(Users::Hashed);
    view
}

fn spend(view: &UsageView, at: u64, user: &str) {
    view.ledger.add(Arc::new(UsageRecord {
        began: Duration::from_secs(at),
        took: Duration::from_millis(5),
        request_id: "gwr_1".to_owned(),
        trace_id: None,
        user: Some(user.to_owned()),
        tier: "pro".to_owned(),
        session_id: Some(format!("gw_{user}")),
        thread_id: None,
        route: "/v1/chat/completions",
        model: None,
        certainty: Certainty::Known,
        tokens: Some(Tokens {
            prompt: 10,
            cached: 4,
            completion: 5,
            total: 15,
        }),
        cost: Some(Cost(7)),
        status: 200,
        outcome: "ok",
    }));
}

fn total(view: &UsageView) -> Sums {
    let mut total = Sums::default();
    view.ledger.read(|books| {
        for (.., sums) in books.hours.within(0..u64::MAX) {
            total.add(sums);
        }
    });
    total
}

fn users(view: &UsageView) -> Vec<String> {
    let mut names = view.ledger.read(|books| {
        let users = books.users.within(0..u64::MAX);
        users
            .map(|(_, name, _)| name.to_owned())
            .collect::<Vec<_>>()
    });
    names.sort();
    names
}

/// What the file of `folder` gives to a process that starts at `at`.
fn reopened(folder: &Path, at: u64) -> (Arc<UsageView>, LedgerFile) {
    let view = view();
    let file = LedgerFile::open(folder, &view, now(at)).unwrap();
    (view, file)
}

#[test]
fn what_was_counted_is_there_again_also_without_a_last_word() {
    let folder = tempfile::tempdir().unwrap();
    let mut requests = 0;
    for round in 0..5 {
        let (view, file) = reopened(folder.path(), AT);
        assert_eq!(total(&view).requests, requests);
        for user in ["ada", "bob"] {
            spend(&view, AT, user);
            // Each write adds to the file; nothing is written twice.
            file.core.write();
            file.core.write();
            requests += 1;
        }
        if round % 2 == 0 {
            // As SIGKILL does it: what is written counts, and nobody says goodbye.
            std::mem::forget(file);
        }
    }
    let (view, _file) = reopened(folder.path(), AT);
    let sums = total(&view);
    assert_eq!((sums.requests, sums.cost, sums.cached), (10, 70, 40));
    assert_eq!(users(&view), ["ada", "bob"]);
    let sessions = view
        .ledger
        .read(|books| books.sessions.within(0..u64::MAX).count());
    assert_eq!(sessions, 2);
    let mode = fs::metadata(folder.path().join(NAME))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_grew_is_begun_anew_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (view, file) = reopened(folder.path(), AT);
    for number in 0..3_000 {
        spend(&view, AT, &format!("user {number}"));
    }
    file.core.write();
    spend(&view, AT, "ada");
    file.core.write();
    let path = folder.path().join(NAME);
    let grown = fs::metadata(&path).unwrap().len();
    file.core.written.lock().unwrap().rounds = ROUNDS;
    file.core.write();
    let written = fs::metadata(&path).unwrap().len();
    assert!(written < grown, "{written} {grown}");
    spend(&view, AT, "ada");
    drop(file);
    let (view, _file) = reopened(folder.path(), AT);
    assert_eq!(total(&view).requests, 3_002);
    assert_eq!(users(&view).len(), 3_001);
}

#[test]
fn a_damaged_line_is_left_out_and_the_file_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let (view, file) = reopened(folder.path(), AT);
    for user in ["ada", "bob", "eve"] {
        spend(&view, AT, user);
        file.core.write();
    }
    drop(file);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("bob", "bib")).unwrap();
    let (view, file) = reopened(folder.path(), AT);
    assert_eq!(users(&view), ["ada", "eve"]);
    let aside = folder.path().join(ASIDE);
    assert!(fs::read_to_string(&aside).unwrap().contains("bib"));
    drop(file);
    fs::remove_file(&aside).unwrap();
    // A line without its end is what a power loss leaves: nothing is set aside for it.
    let text = fs::read_to_string(&path).unwrap();
    let cut = text.lines().last().unwrap();
    fs::write(&path, format!("{text}{cut}")).unwrap();
    let (view, _file) = reopened(folder.path(), AT);
    assert_eq!(users(&view), ["ada", "eve"]);
    assert!(!aside.exists());
}

#[test]
fn a_strange_file_is_set_aside_and_counting_begins() {
    for strange in [
        "",
        "behest-gateway usage 2\n{}\n",
        "behest-gateway usage 1",
        "\u{0}\u{1}\n\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        fs::write(&path, strange).unwrap();
        let (view, file) = reopened(folder.path(), AT);
        assert_eq!(total(&view), Sums::default());
        spend(&view, AT, "ada");
        drop(file);
        let aside = fs::read_to_string(folder.path().join(ASIDE)).unwrap();
        assert_eq!(aside, strange);
        let (view, _file) = reopened(folder.path(), AT);
        assert_eq!(total(&view).requests, 1, "{strange:?}");
    }
}

#[test]
fn what_is_older_than_the_retention_is_neither_read_nor_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (view, file) = reopened(folder.path(), AT);
    spend(&view, AT, "ada");
    spend(&view, AT + 20 * 86_400, "bob");
    drop(file);
    let (view, file) = reopened(folder.path(), AT + 40 * 86_400);
    assert_eq!(users(&view), ["bob"]);
    let text = fs::read_to_string(folder.path().join(NAME)).unwrap();
    assert!(text.contains("bob") && !text.contains("ada"));
    drop(file);
}

#[test]
fn users_who_were_called_otherwise_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let (view, file) = reopened(folder.path(), AT);
    spend(&view, AT, "ada");
    file.core.write();
    // As a reload does it.
    view.ledger.call(Users::None);
    assert!(users(&view).is_empty());
    file.core.write();
    let text = fs::read_to_string(folder.path().join(NAME)).unwrap();
    assert!(
        !text.contains("ada"),
        "it leaves the file with the next write"
    );
    view.ledger.call(Users::Plain);
    spend(&view, AT, "bob");
    drop(file);
    let (view, _file) = reopened(folder.path(), AT);
    assert!(users(&view).is_empty());
    assert_eq!(total(&view).requests, 2, "sums are nobody's");
}

#[test]
fn a_disk_that_takes_nothing_is_made_up_for() {
    let folder = tempfile::tempdir().unwrap();
    let (view, file) = reopened(folder.path(), AT);
    spend(&view, AT, "ada");
    let reading = File::open(folder.path().join(NAME)).unwrap();
    file.core.written.lock().unwrap().file = Some(reading);
    file.core.write();
    assert!(file.core.written.lock().unwrap().is_failing);
    spend(&view, AT, "bob");
    file.core.write();
    assert!(!file.core.written.lock().unwrap().is_failing);
    std::mem::forget(file);
    let (view, _file) = reopened(folder.path(), AT);
    assert_eq!(users(&view), ["ada", "bob"]);
}
