//! Days and months in a time zone.

use jiff::tz::TimeZone;

/// The time zone of this IANA name.
///
/// # Errors
/// There is none.
pub fn parse_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        "must be the IANA name of a time zone such as \"Europe/Berlin\" or \"UTC\"".to_owned()
    })
}
