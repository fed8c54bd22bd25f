//! A session that is spread over several cookies: which of them count, and in which order.

use std::borrow::Cow;

use super::percent_decode;
use crate::session::error::InvalidReason;

/// The most bytes that a session may have, its chunks joined. Real apps answer 431 far below this.
pub(super) const MAX_JOINED: usize = 64 * 1024;

/// The most chunks that a session may have; browsers and apps manage about four.
pub(super) const MAX_CHUNKS: usize = 16;

/// The most chunk names that are looked at, the empty ones included.
pub(super) const MAX_CHUNK_NAMES: usize = 4 * MAX_CHUNKS;

/// How a library spreads a session over cookies named `NAME`, a separator, and a number.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Chunks {
    /// What may stand between name and number; none: there are no chunks.
    pub(super) separators: &'static [&'static [u8]],
    /// `NAME` and chunks of it, both with a value: else `NAME` alone counts.
    refuses_mixture: bool,
    gaps: Gaps,
    /// Of a repeated name the last counts, not the first.
    pub(super) last_wins: bool,
}

/// What a missing number means.
#[derive(Clone, Copy, Debug)]
enum Gaps {
    /// Nothing: what is there is joined.
    Passed,
    /// The session ends there.
    End,
    /// The session is broken.
    Refused,
}

impl Chunks {
    /// One cookie.
    pub(in crate::session) const NONE: Self = Self {
        separators: &[],
        refuses_mixture: false,
        gaps: Gaps::Passed,
        last_wins: false,
    };

    /// Auth.js (`@auth/core` 0.41.3 `SessionStore`): it joins whatever is there, base and chunks
    /// too, which no key opens: a stale cookie of a session that has since grown or shrunk.
    pub(in crate::session) const AUTH_JS: Self = Self {
        separators: &[b"."],
        refuses_mixture: true,
        ..Self::NONE
    };

    /// `@supabase/ssr` 0.12.7 `combineChunks`: the base if it has a value, else from 0 up to the
    /// first that is missing.
    pub(in crate::session) const SUPABASE: Self = Self {
        separators: &[b"."],
        gaps: Gaps::End,
        ..Self::NONE
    };

    /// `@auth0/nextjs-auth0` 4.30.0 `getChunkedCookie`; its parser (`@edge-runtime/cookies`) keeps
    /// the last of a repeated name.
    pub(in crate::session) const AUTH0: Self = Self {
        separators: &[b"__"],
        gaps: Gaps::Refused,
        last_wins: true,
        ..Self::NONE
    };

    /// However an app may spread it that reads it itself.
    pub(in crate::session) const ANY: Self = Self {
        separators: &[b".", b"__"],
        ..Self::NONE
    };

    /// Better Auth 1.7.25 `getChunkedCookie`.
    pub(in crate::session) const BETTER_AUTH: Self = Self {
        separators: &[b"."],
        ..Self::NONE
    };
}

/// One `name<separator><digits>` cookie.
pub(super) struct Chunk<'h> {
    pub(super) digits: &'h [u8],
    pub(super) value: &'h [u8],
}

/// The session's value, of the base cookie and of its chunks, all as they came; `None` if there is
/// none (an empty value is none).
pub(super) fn assemble<'h>(
    style: Chunks,
    base: Option<&'h [u8]>,
    mut chunks: Vec<Chunk<'h>>,
) -> Result<Option<Cow<'h, [u8]>>, InvalidReason> {
    chunks.retain(|chunk| !chunk.value.is_empty());
    match base.filter(|value| !value.is_empty()) {
        None if chunks.is_empty() => Ok(None),
        None => join(style, chunks).map(|joined| joined.map(Cow::Owned)),
        Some(_) if style.refuses_mixture && !chunks.is_empty() => Err(InvalidReason::BaseAndChunks),
        Some(value) if value.len() > MAX_JOINED => Err(InvalidReason::TooLarge),
        Some(value) => Ok(Some(percent_decode(value))),
    }
}

/// Orders the chunks by number, those of one number as they came, and joins them.
fn join(style: Chunks, mut chunks: Vec<Chunk<'_>>) -> Result<Option<Vec<u8>>, InvalidReason> {
    if chunks.len() > MAX_CHUNKS {
        return Err(InvalidReason::TooManyChunks);
    }
    let length: usize = chunks.iter().map(|chunk| chunk.value.len()).sum();
    if length > MAX_JOINED {
        return Err(InvalidReason::TooLarge);
    }
    chunks.sort_by_key(|chunk| number(chunk.digits));
    if !matches!(style.gaps, Gaps::Passed) {
        let contiguous = chunks.iter().enumerate();
        let whole = contiguous
            .take_while(|(at, chunk)| at.to_string().as_bytes() == chunk.digits)
            .count();
        if matches!(style.gaps, Gaps::Refused) && whole < chunks.len() {
            return Err(InvalidReason::ChunkMissing);
        }
        chunks.truncate(whole);
        if chunks.is_empty() {
            return Ok(None);
        }
    }
    let mut joined = Vec::with_capacity(length);
    for chunk in &chunks {
        joined.extend_from_slice(&percent_decode(chunk.value));
    }
    Ok(Some(joined))
}

/// The number that `digits` write, or the largest there is.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number: u64, digit| {
        let digit = u64::from(digit.saturating_sub(b'0'));
        number.saturating_mul(10).saturating_add(digit)
    })
}
