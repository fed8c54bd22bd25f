use std::time::Duration;

use super::*;

fn now(seconds: u64) -> Now {
    Now {
        unix: Duration::from_secs(seconds),
        elapsed: Duration::ZERO,
    }
}

fn calendar(zone: &str) -> Windows {
    Windows::new(parse_zone(zone).unwrap(), WindowKind::Calendar)
}

fn at(text: &str) -> u64 {
    let timestamp: Timestamp = text.parse().unwrap();
    u64::try_from(timestamp.as_second()).unwrap()
}

#[test]
fn a_day_is_the_time_zones_own_also_when_the_clocks_change() {
    let berlin = calendar("Europe/Berlin");
    let short = berlin.at(now(at("2026-03-29T12:00:00Z"))).day;
    assert_eq!(short.start, at("2026-03-28T23:00:00Z"));
    assert_eq!(short.end - short.start, 23 * 3600);
    let long = berlin.at(now(at("2026-10-25T12:00:00Z"))).day;
    assert_eq!(long.end - long.start, 25 * 3600);
    assert_eq!(long.end, at("2026-10-25T23:00:00Z"));
}

#[test]
fn a_day_may_begin_at_one_o_clock() {
    let windows = calendar("America/Sao_Paulo");
    let before = windows.at(now(at("2018-11-04T02:59:59Z"))).day;
    let day = windows.at(now(at("2018-11-04T03:00:00Z"))).day;
    assert_eq!(day.start, at("2018-11-04T03:00:00Z"), "01:00 at -02:00");
    assert_eq!((before.end, before.id + 1), (day.start, day.id));
    assert_eq!(day.end - day.start, 23 * 3600);
}

#[test]
fn a_month_ends_after_its_leap_day() {
    let utc = calendar("UTC");
    let month = utc.at(now(at("2028-02-29T23:59:59Z"))).month;
    assert_eq!(month.id, 2028 * 12 + 2);
    assert_eq!(month.end, at("2028-03-01T00:00:00Z"));
    assert_eq!(month.end - month.start, 29 * DAY);
    assert_eq!(utc.at(now(month.end)).month.id, month.id + 1);
}

/// Also days that the clocks split (St. John's went back over midnight) or skip (Apia).
#[test]
fn ids_only_grow_and_each_moment_lies_in_its_window() {
    for zone in [
        "UTC",
        "Europe/Berlin",
        "America/Sao_Paulo",
        "America/St_Johns",
        "Pacific/Apia",
        "Asia/Beirut",
        "Africa/Cairo",
        "Australia/Lord_Howe",
    ] {
        let windows = calendar(zone);
        let mut last = windows.at(now(at("2009-10-01T00:00:00Z")));
        let mut moment = at("2009-10-01T00:00:00Z");
        while moment < at("2012-03-01T00:00:00Z") {
            let spans = windows.at(now(moment));
            for (kind, was, is) in [
                ("minute", last.minute, spans.minute),
                ("day", last.day, spans.day),
                ("month", last.month, spans.month),
            ] {
                assert!(is.start <= moment && moment < is.end, "{zone} {kind}");
                let is_same = is.id == was.id && is.end == was.end;
                let is_next = is.id > was.id && is.start >= was.end;
                assert!(
                    is_same || is_next,
                    "{zone} {kind} at {moment}: {was:?} {is:?}"
                );
            }
            last = spans;
            moment += 601;
        }
    }
}

#[test]
fn what_was_reckoned_is_kept_for_the_day_and_no_longer() {
    let windows = calendar("Europe/Berlin");
    let late = windows.at(now(at("2026-12-31T22:59:59Z")));
    let kept = windows.today.load_full().unwrap();
    let _ = windows.at(now(at("2026-12-31T02:00:00Z")));
    assert!(Arc::ptr_eq(&kept, &windows.today.load_full().unwrap()));
    let next = windows.at(now(at("2026-12-31T23:00:00Z")));
    assert_eq!(next.day.id, late.day.id + 1);
    assert_eq!(next.month.id, late.month.id + 1);
    assert_eq!(
        late,
        windows.at(now(at("2026-12-31T22:59:59Z"))),
        "back again"
    );
}

#[test]
fn of_a_sliding_window_the_one_before_fades() {
    let windows = Windows::new(TimeZone::UTC, WindowKind::Sliding);
    let begin = 1_000 * DAY;
    assert_eq!(windows.at(now(begin)).day.weight, WHOLE);
    let day = windows.at(now(begin + DAY / 4)).day;
    assert_eq!(day.weight, WHOLE / 4 * 3);
    assert_eq!(day.used(10, 100), 85);
    let minute = windows.at(Now {
        unix: Duration::from_millis(begin * 1000 + 30_000),
        elapsed: Duration::ZERO,
    });
    assert_eq!(minute.minute.weight, WHOLE / 2);
    assert_eq!(day.used(u64::MAX, u64::MAX), u64::MAX);
}

#[test]
fn a_sliding_window_has_room_when_it_says_so_and_not_much_before() {
    let windows = Windows::new(TimeZone::UTC, WindowKind::Sliding);
    let begin = 1_000 * DAY;
    let day = windows.at(now(begin + 100)).day;
    for (here, before, reserved) in [(0, 150, 0), (40, 80, 20), (100, 10, 0), (500, 0, 0)] {
        let limit = 100;
        let at = day.resets_at(here, before, reserved, limit);
        let used_at = |moment: u64| {
            let later = windows.at(now(moment)).day;
            if later.id == day.id {
                later.used(here, before) + reserved
            } else {
                later.used(0, here)
            }
        };
        assert!(used_at(at) < limit, "{here} {before}: at {at}");
        assert!(used_at(at - 4) >= limit, "{here} {before}: before {at}");
    }
    assert_eq!(
        day.resets_at(10, 500, 95, 100),
        day.end,
        "reserved ends with it"
    );
}

#[test]
fn a_bad_time_zone_is_refused_with_what_to_write() {
    for bad in [
        "",
        "CET+1",
        "Berlin",
        "Europe/Berlin ",
        "+02:00",
        "EST5EDT4,M3",
    ] {
        let error = parse_zone(bad).unwrap_err();
        assert!(error.contains("Europe/Berlin"), "{error}");
    }
    assert!(parse_zone("europe/berlin").is_ok());
}
