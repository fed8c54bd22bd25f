//! Finds one cookie in a request: the base name or its chunks, as the app's own parser would.
//!
//! Guarantees: the first of a repeated name wins, and never another; nothing is allocated for
//! cookies that were not asked for; what is handed on is bounded, before any cryptography.

mod chunks;
mod names;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, header};

pub(super) use self::chunks::Chunks;
pub(crate) use self::names::names;
pub(super) use self::names::shown_names;

use self::chunks::{Chunk, MAX_CHUNK_NAMES, MAX_JOINED, assemble};
use super::error::InvalidReason;

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

/// The value of the cookie `name`, from `name` itself or from its chunks as `style` has them; `None`
/// if neither has one (an empty value is none).
///
/// Several Cookie fields count as one, joined with `"; "` (RFC 9113 section 8.2.3).
pub(super) fn find<'h>(
    headers: &'h HeaderMap,
    name: &CookieName,
    style: Chunks,
) -> Result<Option<Cow<'h, [u8]>>, InvalidReason> {
    let name = name.as_str().as_bytes();
    let mut base: Option<&[u8]> = None;
    let mut chunks: Vec<Chunk<'h>> = Vec::new();
    for pair in headers.get_all(header::COOKIE).iter().flat_map(pairs) {
        let Some((part, value)) = match_pair(pair, name, style.separators) else {
            continue;
        };
        match part {
            Part::Base if base.is_none() || style.last_wins => base = Some(value),
            Part::Base => {}
            Part::Chunk(digits) => {
                if let Some(seen) = chunks.iter_mut().find(|seen| seen.digits == digits) {
                    if style.last_wins {
                        seen.value = value;
                    }
                } else if chunks.len() == MAX_CHUNK_NAMES {
                    return Err(InvalidReason::TooManyChunks);
                } else {
                    chunks.push(Chunk { digits, value });
                }
            }
        }
    }
    assemble(style, base, chunks)
}

/// The pairs of the cookie `name` and of its chunks as they came, blanks around them apart: the first
/// of a repeated name, and none without a value.
pub(super) fn pairs_of<'h>(
    headers: &'h HeaderMap,
    name: &CookieName,
    style: Chunks,
) -> Result<Vec<&'h [u8]>, InvalidReason> {
    let name = name.as_str().as_bytes();
    let mut seen: Vec<&[u8]> = Vec::new();
    let mut found: Vec<&[u8]> = Vec::new();
    for pair in headers.get_all(header::COOKIE).iter().flat_map(pairs) {
        let Some((_, value)) = match_pair(pair, name, style.separators) else {
            continue;
        };
        let pair = trim_end(trim_start(pair));
        let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let own_name = trim_end(pair.get(..end).unwrap_or(pair));
        if seen.contains(&own_name) {
            continue;
        }
        if seen.len() == MAX_CHUNK_NAMES {
            return Err(InvalidReason::TooManyChunks);
        }
        seen.push(own_name);
        if !value.is_empty() {
            found.push(pair);
        }
    }
    if found.iter().map(|pair| pair.len()).sum::<usize>() > MAX_JOINED {
        return Err(InvalidReason::TooLarge);
    }
    Ok(found)
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
fn match_pair<'h>(
    pair: &'h [u8],
    name: &[u8],
    separators: &[&[u8]],
) -> Option<(Part<'h>, &'h [u8])> {
    let rest = trim_start(pair).strip_prefix(name)?;
    let (part, rest) = match separators
        .iter()
        .find_map(|separator| rest.strip_prefix(*separator))
    {
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
mod tests;
