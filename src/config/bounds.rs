//! Which values make sense: the checks that a value passes after it could be read.
//!
//! Each returns the rest of the sentence that begins with the key.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::values::{Size, Value};

/// Any value.
#[expect(clippy::unnecessary_wraps, reason = "stands where a check stands")]
pub(super) fn any<T>(_value: &T) -> Result<(), String> {
    Ok(())
}

/// A place to write to, which must not depend on where the program was started.
#[expect(
    clippy::ptr_arg,
    reason = "stands where a check of such a value stands"
)]
pub(super) fn absolute(path: &PathBuf) -> Result<(), String> {
    if path.is_absolute() {
        return Ok(());
    }
    Err("must be an absolute path, which begins with \"/\"".to_owned())
}

/// A duration within `range`, both ends included.
pub(super) fn lasting(range: RangeInclusive<Duration>) -> impl Fn(&Duration) -> Result<(), String> {
    move |value| within(&range, value, |end| end.to_toml().replace('"', ""))
}

/// Over nothing, and at most a day: for timeouts.
pub(super) fn timeout(value: &Duration) -> Result<(), String> {
    lasting(Duration::from_millis(1)..=Duration::from_hours(24))(value)
}

/// A count within `range`.
pub(super) fn count(range: RangeInclusive<usize>) -> impl Fn(&usize) -> Result<(), String> {
    move |value| within(&range, value, ToString::to_string)
}

/// A size within `range` of bytes.
pub(super) fn bytes(range: RangeInclusive<usize>) -> impl Fn(&Size) -> Result<(), String> {
    move |value| {
        within(&range, &value.0, |end| {
            Size(*end).to_toml().replace('"', "")
        })
    }
}

fn within<T: PartialOrd, S: Display>(
    range: &RangeInclusive<T>,
    value: &T,
    show: impl Fn(&T) -> S,
) -> Result<(), String> {
    if range.contains(value) {
        return Ok(());
    }
    let (least, most) = (show(range.start()), show(range.end()));
    Err(format!("must be from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_says_both_of_its_ends() {
        let fault = bytes(1024..=1 << 20)(&Size(0)).unwrap_err();
        assert_eq!(fault, "must be from 1 KiB to 1 MiB");
        let fault = timeout(&Duration::ZERO).unwrap_err();
        assert_eq!(fault, "must be from 1ms to 1day");
        assert!(count(1..=2)(&2).is_ok());
    }
}
