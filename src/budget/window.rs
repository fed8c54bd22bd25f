//! Which minute, day and month it is, for counting: days and months of a time zone, or windows that
//! slide.
//!
//! Guarantees: a window's id is unique among windows of its length and grows with time, over changes of
//! the clocks, leap days and days that do not begin at midnight; asked again within one day, no time
//! zone is reckoned with.
//!
//! A sliding window is counted in two buckets, this one and the one before, which counts by how much of
//! it the window still covers. Buckets begin at multiples of their length since 1970 in UTC, and a
//! sliding month has 30 days.

use arc_swap::ArcSwapOption;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use std::sync::Arc;

use super::limits::LimitKind;
use crate::clock::Now;

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;
const SLIDING_MONTH: u64 = 30 * DAY;

/// A weight of all.
pub const WHOLE: u64 = 1 << 16;

/// How windows follow each other (`budgets.window`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowKind {
    /// The days and months of a time zone; minutes in UTC.
    #[default]
    Calendar,
    /// The last minute, 24 hours and 30 days, at every moment.
    Sliding,
}

/// One window, or of a sliding one the bucket that is being filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Which: minutes and days since 1970, months as year * 12 + month, sliding months as 30 days since
    /// 1970.
    pub id: u32,
    /// When it began, in Unix seconds.
    pub start: u64,
    /// When it ends, in Unix seconds.
    pub end: u64,
    /// How much of the window before still counts, of [`WHOLE`]; 0 where windows do not slide.
    pub weight: u64,
}

/// The windows of one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    /// The minute.
    pub minute: Window,
    /// The day.
    pub day: Window,
    /// The month.
    pub month: Window,
}

impl Spans {
    /// The window in which a limit of `kind` counts; requests at once have none.
    #[must_use]
    pub fn of(&self, kind: LimitKind) -> Option<&Window> {
        match kind {
            LimitKind::ConcurrentRequests => None,
            LimitKind::RequestsPerMinute => Some(&self.minute),
            LimitKind::RequestsPerDay | LimitKind::TokensPerDay | LimitKind::CostPerDay => {
                Some(&self.day)
            }
            LimitKind::TokensPerMonth | LimitKind::CostPerMonth => Some(&self.month),
        }
    }
}

impl Window {
    /// What counts as used, of what was settled in this window and in the one before.
    #[must_use]
    pub fn used(&self, here: u64, before: u64) -> u64 {
        let still = u128::from(before) * u128::from(self.weight) / u128::from(WHOLE);
        here.saturating_add(u64::try_from(still).unwrap_or(u64::MAX))
    }

    /// When a next request has room under `limit`, in Unix seconds, if nothing else comes: the end of
    /// the window; of a sliding one, when enough has aged out. `here` and `before` as for
    /// [`used`](Self::used), `reserved` on top.
    #[must_use]
    pub fn resets_at(&self, here: u64, before: u64, reserved: u64, limit: u64) -> u64 {
        if self.weight == 0 && before == 0 {
            return self.end;
        }
        let length = self.end.saturating_sub(self.start);
        // The part of a bucket that has to age out so that `has` leaves less than `room`.
        let aged = |has: u64, room: u64| {
            let kept = u128::from(length) * u128::from(room) / u128::from(has.max(1));
            length.saturating_sub(u64::try_from(kept).unwrap_or(length))
        };
        let taken = here.saturating_add(reserved);
        if taken < limit {
            let at = self.start + aged(before, limit - taken) + 1;
            return at.min(self.end);
        }
        if here < limit {
            return self.end;
        }
        self.end + aged(here, limit) + 1
    }
}

/// Tells the windows of an instant.
#[derive(Debug)]
pub struct Windows {
    zone: TimeZone,
    kind: WindowKind,
    /// The day and month that were reckoned last: the time zone is asked once a day.
    today: ArcSwapOption<(Window, Window)>,
}

impl Windows {
    /// Windows of `kind`; `time_zone` decides calendar days and months only.
    #[must_use]
    pub fn new(time_zone: TimeZone, kind: WindowKind) -> Self {
        Self {
            zone: time_zone,
            kind,
            today: ArcSwapOption::empty(),
        }
    }

    /// The windows at `now`.
    #[must_use]
    pub fn at(&self, now: Now) -> Spans {
        if self.kind == WindowKind::Sliding {
            return Spans {
                minute: sliding(now, MINUTE),
                day: sliding(now, DAY),
                month: sliding(now, SLIDING_MONTH),
            };
        }
        let seconds = now.unix_seconds();
        let (day, month) = self.day_and_month(seconds);
        Spans {
            minute: fixed(seconds, MINUTE),
            day,
            month,
        }
    }

    fn day_and_month(&self, seconds: u64) -> (Window, Window) {
        let is_in = |window: &Window| (window.start..window.end).contains(&seconds);
        if let Some(today) = self.today.load().as_deref()
            && is_in(&today.0)
        {
            return *today;
        }
        // Out of the calendar's reach (year 9999), days of UTC are as good.
        let reckoned = reckon(&self.zone, seconds)
            .unwrap_or_else(|| (fixed(seconds, DAY), fixed(seconds, SLIDING_MONTH)));
        self.today.store(Some(Arc::new(reckoned)));
        reckoned
    }
}

/// The time zone that `name` names in the IANA database, which is built in.
///
/// # Errors
/// There is none of that name: what to write, in words.
pub fn parse_zone(name: &str) -> Result<TimeZone, String> {
    let is_plain = !name.is_empty() && name.trim() == name;
    let zone = is_plain.then(|| TimeZone::get(name).ok()).flatten();
    zone.ok_or_else(|| {
        format!(
            "{name:?} is no time zone: write its name in the IANA database, such as \
             \"Europe/Berlin\", \"America/New_York\" or \"UTC\" (abbreviations and offsets are not \
             names)"
        )
    })
}

fn fixed(seconds: u64, length: u64) -> Window {
    let number = seconds / length;
    let start = number * length;
    Window {
        id: u32::try_from(number).unwrap_or(u32::MAX),
        start,
        end: start + length,
        weight: 0,
    }
}

fn sliding(now: Now, length: u64) -> Window {
    let window = fixed(now.unix_seconds(), length);
    let end = u128::from(window.end) * 1000;
    let left = end.saturating_sub(now.unix.as_millis());
    let weight = left * u128::from(WHOLE) / (u128::from(length) * 1000);
    Window {
        weight: u64::try_from(weight).unwrap_or(WHOLE),
        ..window
    }
}

/// The day and the month of `zone` at `seconds`; `None` outside of the calendar.
fn reckon(zone: &TimeZone, seconds: u64) -> Option<(Window, Window)> {
    let timestamp = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    let mut date = ZonedDateTime::new(timestamp, zone.clone()).date();
    let mut end = start_of(date.tomorrow().ok()?, zone)?;
    // Where the clocks went back over midnight, this is the evening of a day that has ended.
    if end <= seconds {
        date = date.tomorrow().ok()?;
        end = start_of(date.tomorrow().ok()?, zone)?;
    }
    let since = date.duration_since(Date::constant(1970, 1, 1)).as_secs();
    let day = Window {
        id: u32::try_from(since / 86_400).ok()?,
        start: start_of(date, zone)?.min(seconds),
        end,
        weight: 0,
    };
    let months = i32::from(date.year()) * 12 + i32::from(date.month());
    let month = Window {
        id: u32::try_from(months).ok()?,
        start: start_of(date.first_of_month(), zone)?.min(seconds),
        end: start_of(date.last_of_month().tomorrow().ok()?, zone)?.max(end),
        weight: 0,
    };
    Some((day, month))
}

/// The first moment of a day: not midnight where the clocks skip it.
fn start_of(date: Date, zone: &TimeZone) -> Option<u64> {
    let start = date.to_zoned_datetime(zone.clone()).ok()?;
    Some(u64::try_from(start.timestamp().as_second()).unwrap_or(0))
}

#[cfg(test)]
mod tests;
