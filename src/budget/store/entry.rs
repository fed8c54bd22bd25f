//! One account as a line of the journal: scope, key, windows, and what each kind has used.

use crate::budget::account::{Places, Settled};
use crate::budget::journal::push_hex;
use crate::budget::limits::{LimitKind, Scope};

/// Appends the entry of one account: `u` or `s`, then hexadecimal numbers.
pub(super) fn write(line: &mut Vec<u8>, scope: Scope, key: u128, settled: &Settled) {
    line.push(letter(scope));
    let Places { minute, day, month } = settled.windows;
    let (high, low) = halves(key);
    let ids = [minute, day, month].map(u64::from);
    let numbers = [high, low].into_iter().chain(ids);
    for number in numbers {
        line.push(b' ');
        push_hex(line, number);
    }
    for kind in counted() {
        let slot = kind as usize;
        let told = settled.told.get(slot).copied().map(u64::from);
        let used = settled.used.get(slot).copied();
        let previous = settled.previous.get(slot).copied();
        for number in [used, previous, told] {
            line.push(b' ');
            push_hex(line, number.unwrap_or_default());
        }
    }
}

/// Reads an entry; `None` if it is none.
pub(super) fn read(entry: &[u8]) -> Option<(Scope, u128, Settled)> {
    let mut fields = std::str::from_utf8(entry).ok()?.split(' ');
    let first = fields.next()?;
    let scope = [Scope::User, Scope::Session];
    let scope = scope
        .into_iter()
        .find(|s| first.as_bytes() == [letter(*s)])?;
    let mut number = || u64::from_str_radix(fields.next()?, 16).ok();
    let key = (u128::from(number()?) << 64) | u128::from(number()?);
    let mut id = || u32::try_from(number()?).ok();
    let windows = Places {
        minute: id()?,
        day: id()?,
        month: id()?,
    };
    let mut settled = Settled {
        windows,
        ..Settled::default()
    };
    for kind in counted() {
        let slot = kind as usize;
        *settled.used.get_mut(slot)? = number()?;
        *settled.previous.get_mut(slot)? = number()?;
        *settled.told.get_mut(slot)? = u8::try_from(number()?).ok()?;
    }
    fields.next().is_none().then_some((scope, key, settled))
}

fn letter(scope: Scope) -> u8 {
    match scope {
        Scope::User => b'u',
        Scope::Session => b's',
    }
}

/// Requests at once outlive no process.
fn counted() -> impl Iterator<Item = LimitKind> {
    let kinds = LimitKind::ALL.into_iter();
    kinds.filter(|kind| *kind != LimitKind::ConcurrentRequests)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn halves(key: u128) -> (u64, u64) {
    ((key >> 64) as u64, key as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_comes_back_as_it_was() {
        let settled = Settled {
            windows: Places {
                minute: u32::MAX,
                day: 20_000,
                month: 24_323,
            },
            used: [1, 0, 3, 4, 5, 6, u64::MAX],
            previous: [8, 0, 10, 11, 12, 13, 14],
            told: [0, 0, 50, 80, 100, 255, 1],
        };
        for (scope, key) in [(Scope::User, u128::MAX), (Scope::Session, 7)] {
            let mut line = Vec::new();
            write(&mut line, scope, key, &settled);
            assert_eq!(read(&line), Some((scope, key, settled)));
            for end in 0..line.len() {
                // A shorter last number is read; the checksum of the line is what tells.
                if line[end] == b' ' {
                    assert_eq!(read(&line[..end]), None);
                }
            }
            line.extend_from_slice(b" 0");
            assert_eq!(read(&line), None);
        }
    }
}
