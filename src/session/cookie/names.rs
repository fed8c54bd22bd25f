//! The names of the cookies that came, for a person who looks for the right one.

use http::{HeaderMap, header};

use super::{CookieName, pairs};

/// The names of all cookies, in their order, where they are text. Values are not looked at.
pub(crate) fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(pairs)
        .filter_map(|pair| {
            let end = memchr::memchr(b'=', pair)?;
            std::str::from_utf8(pair.get(..end)?.trim_ascii()).ok()
        })
}

/// The names that came, for the log: a few short ones of token characters. What is long may be a
/// value without a name, and is only counted.
pub(in crate::session) fn shown_names(headers: &HeaderMap) -> String {
    let mut shown: Vec<&str> = Vec::new();
    let mut others = 0;
    for name in names(headers) {
        let is_plain = name.len() <= MAX_SHOWN_NAME && CookieName::parse(name).is_some();
        if is_plain && shown.len() < MAX_SHOWN_NAMES {
            shown.push(name);
        } else {
            others += 1;
        }
    }
    let shown = shown.join(", ");
    match (shown.is_empty(), others) {
        (true, 0) if headers.contains_key(header::COOKIE) => {
            "the Cookie header holds no cookie".to_owned()
        }
        (true, 0) => "no cookie came: is the page on the gateway's own origin, does fetch send \
                      credentials, and is the cookie's path /?"
            .to_owned(),
        (true, others) => format!("{others} cookies of other names came"),
        (false, 0) => format!(
            "came: {shown}; if one of them is the app's, set session.providers[].cookie_names"
        ),
        (false, others) => format!(
            "came: {shown} and {others} more; if one of them is the app's, set session.providers[].cookie_names"
        ),
    }
}

/// So many names are shown, and only those that are not longer than any that a library writes.
const MAX_SHOWN_NAMES: usize = 8;
const MAX_SHOWN_NAME: usize = 40;
