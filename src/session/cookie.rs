//! Finds one cookie in a request: the base name or its chunks, as the app's own parser would.
//!
//! Guarantees: the first of a repeated name wins, and never another; nothing is allocated for
//! cookies that were not asked for; what is handed on is bounded, before any cryptography.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, header};

use super::error::InvalidReason;

/// The most bytes that a session may have, its chunks joined. Real apps answer 431 far below this.
pub(super) const MAX_JOINED: usize = 64 * 1024;

/// The most chunks that a session may have; browsers and apps manage about four.
pub(super) const MAX_CHUNKS: usize = 16;

/// The most chunk names that are looked at, the empty ones included.
const MAX_CHUNK_NAMES: usize = 4 * MAX_CHUNKS;

/// A cookie name: a token (RFC 6265 section 4.1.1, RFC 9110 section 5.6.2). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CookieName(Arc<str>);

impl CookieName {
    /// Checks `text`; `None` if it is empty or holds anything but token characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.bytes().all(is_token_byte);
        fits.then(|| Self(text.into()))
    }

    /// A name written in this crate.
    pub(super) fn from_static(text: &'static str) -> Self {
        Self(text.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The value of the cookie `name`, from `name` itself or from its chunks `name.<digits>` in the order
/// of their numbers; `None` if neither has one (an empty value is none).
///
/// Several Cookie fields count as one, joined with `"; "` (RFC 9113 section 8.2.3).
pub(super) fn find<'h>(
    headers: &'h HeaderMap,
    name: &CookieName,
) -> Result<Option<Cow<'h, [u8]>>, InvalidReason> {
    let name = name.as_str().as_bytes();
    let mut base: Option<&[u8]> = None;
    let mut chunks: Vec<Chunk<'h>> = Vec::new();
    for pair in headers.get_all(header::COOKIE).iter().flat_map(pairs) {
        let Some((part, value)) = match_pair(pair, name) else {
            continue;
        };
        match part {
            Part::Base => base = base.or(Some(value)),
            Part::Chunk(digits) if chunks.iter().any(|seen| seen.digits == digits) => {}
            Part::Chunk(_) if chunks.len() == MAX_CHUNK_NAMES => {
                return Err(InvalidReason::TooManyChunks);
            }
            Part::Chunk(digits) => chunks.push(Chunk { digits, value }),
        }
    }
    chunks.retain(|chunk| !chunk.value.is_empty());
    match base.filter(|value| !value.is_empty()) {
        None if chunks.is_empty() => Ok(None),
        None => join(chunks).map(|joined| Some(Cow::Owned(joined))),
        // The library concatenates both, which no key opens: a stale cookie of a session that has
        // since grown or shrunk.
        Some(_) if !chunks.is_empty() => Err(InvalidReason::BaseAndChunks),
        Some(value) if value.len() > MAX_JOINED => Err(InvalidReason::TooLarge),
        Some(value) => Ok(Some(percent_decode(value))),
    }
}

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
pub(super) fn shown_names(headers: &HeaderMap) -> String {
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

/// One `name.<digits>` cookie.
struct Chunk<'h> {
    digits: &'h [u8],
    value: &'h [u8],
}

/// Which part of a session a cookie is.
enum Part<'h> {
    Base,
    Chunk(&'h [u8]),
}

/// Splits one Cookie field at its semicolons.
fn pairs(field: &http::HeaderValue) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field.as_bytes());
    std::iter::from_fn(move || {
        let current = rest?;
        let (pair, after) = match memchr::memchr(b';', current) {
            Some(at) => (current.get(..at)?, current.get(at + 1..)),
            None => (current, None),
        };
        rest = after;
        Some(pair)
    })
}

/// Whether `pair` is the cookie `name` or one of its chunks, and its value. Compares the name before
/// looking for anything else: most cookies end here.
fn match_pair<'h>(pair: &'h [u8], name: &[u8]) -> Option<(Part<'h>, &'h [u8])> {
    let rest = trim_start(pair).strip_prefix(name)?;
    let (part, rest) = match rest.strip_prefix(b".") {
        None => (Part::Base, rest),
        Some(suffix) => {
            let end = suffix.iter().position(|byte| !byte.is_ascii_digit())?;
            let (digits, rest) = suffix.split_at_checked(end)?;
            if digits.is_empty() {
                return None;
            }
            (Part::Chunk(digits), rest)
        }
    };
    let value = trim_start(rest).strip_prefix(b"=")?;
    Some((part, trim_end(trim_start(value))))
}

/// Orders the chunks by number, those of one number as they came, and joins them.
fn join(mut chunks: Vec<Chunk<'_>>) -> Result<Vec<u8>, InvalidReason> {
    if chunks.len() > MAX_CHUNKS {
        return Err(InvalidReason::TooManyChunks);
    }
    let length: usize = chunks.iter().map(|chunk| chunk.value.len()).sum();
    if length > MAX_JOINED {
        return Err(InvalidReason::TooLarge);
    }
    chunks.sort_by_key(|chunk| number(chunk.digits));
    let mut joined = Vec::with_capacity(length);
    for chunk in &chunks {
        joined.extend_from_slice(&percent_decode(chunk.value));
    }
    Ok(joined)
}

/// The number that `digits` write, or the largest there is.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number: u64, digit| {
        let digit = u64::from(digit.saturating_sub(b'0'));
        number.saturating_mul(10).saturating_add(digit)
    })
}

/// Percent-decodes as JavaScript's `decodeURIComponent` does: a value with one bad escape, or that
/// is not UTF-8 afterwards, stays as it is.
fn percent_decode(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', value).is_none() {
        return Cow::Borrowed(value);
    }
    match decode_escapes(value) {
        Some(decoded) if std::str::from_utf8(&decoded).is_ok() => Cow::Owned(decoded),
        Some(_) | None => Cow::Borrowed(value),
    }
}

/// Every `%XX` as its byte; `None` if one is incomplete.
fn decode_escapes(value: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            hex_digit(*bytes.next()?)? * 16 + hex_digit(*bytes.next()?)?
        } else {
            byte
        });
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Space and tab, and no other white space, as the apps' parsers do.
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text {
        if !is_blank(*first) {
            break;
        }
        text = rest;
    }
    text
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text {
        if !is_blank(*last) {
            break;
        }
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(fields: &[&str], name: &str) -> Result<Option<String>, InvalidReason> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::COOKIE, field.parse().unwrap());
        }
        let name = CookieName::parse(name).unwrap();
        let found = find(&headers, &name)?;
        Ok(found.map(|value| String::from_utf8(value.into_owned()).unwrap()))
    }

    #[track_caller]
    fn assert_found(header: &str, expected: Option<&str>) {
        let found = find_in(&[header], "s").unwrap();
        assert_eq!(found.as_deref(), expected, "{header}");
    }

    #[test]
    fn names_are_tokens() {
        for good in ["s", "__Secure-authjs.session-token", "a!#$%&'*+-.^_`|~Z9"] {
            assert_eq!(CookieName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a=b", "a;b", "a\"", "é", "a\n", "a/b", "a,b"] {
            assert!(CookieName::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn pairs_are_split_and_trimmed_as_the_apps_parser_does() {
        assert_found("s=1", Some("1"));
        assert_found("a=b; s=1; c=d", Some("1"));
        assert_found("a=b;s=1;c=d", Some("1"));
        assert_found(" \t s \t = \t 1 \t ;", Some("1"));
        assert_found("s=a=b=", Some("a=b="));
        assert_found("s", None);
        assert_found("s; s=1", Some("1"));
        assert_found("S=1", None);
        assert_found("ss=1; s-legacy=2; xs=3; a=s=1", None);
        assert_found("s=\"1\"", Some("\"1\""));
        assert_found(";;;=;=s;", None);
    }

    #[test]
    fn the_first_of_a_repeated_name_wins_even_if_it_is_empty() {
        assert_found("s=1; s=2", Some("1"));
        assert_found("s=; s=2", None);
        assert_found("s.0=a; s.1=b; s.0=c", Some("ab"));
        assert_found("s.0=; s.1=b; s.0=c", Some("b"));
    }

    #[test]
    fn empty_values_are_absent() {
        assert_found("s=", None);
        assert_found("s=  ; a=b", None);
        assert_found("s=; s.0=a; s.1=b; s.2=", Some("ab"));
    }

    #[test]
    fn chunks_are_ordered_by_number_and_joined() {
        assert_found("s.10=c; s.2=b; s.0=a", Some("abc"));
        assert_found("s.3=b; s.1=a", Some("ab"));
        assert_found("s.01=x; s.1=y", Some("xy"));
        assert_found("s.99999999999999999999999=z; s.7=a", Some("az"));
        assert_found("s.=1; s.a=2; s.0a=3; s.0.1=4; s.-1=5", None);
    }

    #[test]
    fn base_and_chunks_together_are_refused() {
        let found = find_in(&["s=a; s.0=b"], "s");
        assert_eq!(found, Err(InvalidReason::BaseAndChunks));
    }

    #[test]
    fn several_fields_count_as_one() {
        let found = find_in(&["a=b", "s.1=y", "s.0=x; c=d", "s.1=z"], "s");
        assert_eq!(found.unwrap().as_deref(), Some("xy"));
    }

    #[test]
    fn values_are_percent_decoded_unless_that_fails() {
        assert_found("s=%61%2e%C3%A9", Some("a.é"));
        for raw in ["%", "%6", "%zz", "a%61%", "%ff", "%C3"] {
            assert_found(&format!("s={raw}"), Some(raw));
        }
        assert_found("s.0=%61; s.1=%6; s.2=1", Some("a%61"));
    }

    #[test]
    fn a_session_is_bounded_in_bytes_and_chunks() {
        let full = "v".repeat(MAX_JOINED);
        assert_found(&format!("s={full}"), Some(&full));
        let over = find_in(&[&format!("s={full}v")], "s");
        assert_eq!(over, Err(InvalidReason::TooLarge));
        let over = find_in(&[&format!("s.0={full}"), "s.1=v"], "s");
        assert_eq!(over, Err(InvalidReason::TooLarge));

        let chunks = |count: usize| {
            let chunks: Vec<_> = (0..count).map(|n| format!("s.{n}=v")).collect();
            chunks.join("; ")
        };
        assert_found(&chunks(MAX_CHUNKS), Some(&"v".repeat(MAX_CHUNKS)));
        for count in [MAX_CHUNKS + 1, MAX_CHUNK_NAMES, 10_000] {
            let over = find_in(&[&chunks(count)], "s");
            assert_eq!(over, Err(InvalidReason::TooManyChunks), "{count}");
        }
    }

    #[test]
    fn all_names_are_listed_without_their_values() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; b = 2; nothing".parse().unwrap());
        headers.append(header::COOKIE, "c=3".parse().unwrap());
        assert_eq!(names(&headers).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
