//! Which cookie decides, and what its value is: any Cookie fields are judged as one field that holds
//! only the session, put together by the naive reading of the rules, would be.
//!
//! Input: one Cookie field a line.

use http::{HeaderMap, HeaderValue, header};

use super::gateway::session::{InvalidReason, SessionError};
use super::sessions::{self, NAMES};

/// The users whose genuine sessions are among the vectors.
const USERS: [&str; 3] = ["usr_dev_ada", "42", "ユーザー-7"];

/// Checks one request's Cookie fields.
pub fn check(data: &[u8]) {
    let mut headers = HeaderMap::new();
    let fields = data.split(|byte| *byte == b'\n').take(1000);
    for value in fields.filter_map(|field| HeaderValue::from_bytes(field).ok()) {
        headers.append(header::COOKIE, value);
    }
    let verdict = sessions::authenticate(&headers);
    if let Ok(session) = &verdict {
        let user = session.identity.user.as_str();
        assert!(USERS.contains(&user), "a session of nobody: {user}");
    }
    let pairs = pairs(&headers);
    let decides = |(_, name): &(&str, &str)| has_value(&pairs, name);
    let Some((provider, name)) = NAMES.into_iter().find(decides) else {
        let code = verdict.as_ref().err().map(SessionError::code);
        assert_eq!(code, Some("session_missing"), "{verdict:?}");
        return;
    };
    match value(&pairs, name) {
        Err(expected) => match &verdict {
            Err(SessionError::Invalid {
                provider: by,
                carrier,
                reason,
            }) => {
                assert_eq!((*by, carrier.as_str(), *reason), (provider, name, expected));
            }
            other => panic!("{expected:?} expected: {other:?}"),
        },
        Ok(value) => match alone(name, &value) {
            Some(headers) => {
                let expected = sessions::authenticate(&headers);
                assert!(
                    sessions::same(&verdict, &expected),
                    "{verdict:?} is not {expected:?}"
                );
            }
            None => assert!(verdict.is_err(), "a token that is no text: {verdict:?}"),
        },
    }
}

/// All pairs of all fields, as names and raw values.
fn pairs(headers: &HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fields: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let joined = fields.join(&b"; "[..]);
    let mut pairs = Vec::new();
    for pair in joined.split(|byte| *byte == b';') {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        pairs.push((trim(&pair[..equals]), trim(&pair[equals + 1..])));
    }
    pairs
}

fn trim(text: &[u8]) -> Vec<u8> {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let Some(start) = text.iter().position(|byte| !blank(byte)) else {
        return Vec::new();
    };
    let end = text.iter().rposition(|byte| !blank(byte)).unwrap();
    text[start..=end].to_vec()
}

/// Whether `name`, or a chunk of it, has a value, in the first cookie of its name.
fn has_value(pairs: &[(Vec<u8>, Vec<u8>)], name: &str) -> bool {
    base(pairs, name).is_some() || {
        let chunks = chunks(pairs, name);
        // So many names are refused before their values are looked at.
        chunks.len() > 64 || chunks.iter().any(|(_, value)| !value.is_empty())
    }
}

fn base<'p>(pairs: &'p [(Vec<u8>, Vec<u8>)], name: &str) -> Option<&'p [u8]> {
    let (_, value) = pairs.iter().find(|(given, _)| given == name.as_bytes())?;
    (!value.is_empty()).then_some(value)
}

/// The first cookie of each chunk's name, empty ones too, by their numbers' digits.
fn chunks<'p>(pairs: &'p [(Vec<u8>, Vec<u8>)], name: &str) -> Vec<(&'p str, &'p [u8])> {
    let mut chunks: Vec<(&str, &[u8])> = Vec::new();
    for (given, value) in pairs {
        let digits = given
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"."))
            .filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
        let Some(digits) = digits else { continue };
        let digits = std::str::from_utf8(digits).unwrap();
        if chunks.iter().all(|(seen, _)| *seen != digits) {
            chunks.push((digits, value));
        }
    }
    chunks
}

/// The session's value, or why there is none.
fn value(pairs: &[(Vec<u8>, Vec<u8>)], name: &str) -> Result<Vec<u8>, InvalidReason> {
    let mut chunks = chunks(pairs, name);
    if chunks.len() > 64 {
        return Err(InvalidReason::TooManyChunks);
    }
    chunks.retain(|(_, value)| !value.is_empty());
    if let Some(base) = base(pairs, name) {
        return match () {
            () if !chunks.is_empty() => Err(InvalidReason::BaseAndChunks),
            () if base.len() > 65_536 => Err(InvalidReason::TooLarge),
            () => Ok(decode(base)),
        };
    }
    if chunks.len() > 16 {
        return Err(InvalidReason::TooManyChunks);
    }
    if chunks.iter().map(|(_, value)| value.len()).sum::<usize>() > 65_536 {
        return Err(InvalidReason::TooLarge);
    }
    chunks.sort_by_key(|(digits, _)| digits.parse().unwrap_or(u64::MAX));
    Ok(chunks.iter().flat_map(|(_, value)| decode(value)).collect())
}

/// `decodeURIComponent`, and the value itself where that throws.
fn decode(value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < value.len() {
        if value[at] == b'%' {
            let digits = value.get(at + 1..at + 3).unwrap_or_default();
            let byte = std::str::from_utf8(digits)
                .ok()
                .filter(|digits| digits.len() == 2 && !digits.starts_with('+'))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let Some(byte) = byte else {
                return value.to_vec();
            };
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(value[at]);
            at += 1;
        }
    }
    if std::str::from_utf8(&decoded).is_err() {
        return value.to_vec();
    }
    decoded
}

/// A request with this session alone; `None` if it is no text, which no genuine token is.
fn alone(name: &str, value: &[u8]) -> Option<HeaderMap> {
    let text = std::str::from_utf8(value).ok()?;
    let mut field = format!("{name}=");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            field.push(char::from(byte));
        } else {
            field.push('%');
            for digit in [byte >> 4, byte & 15] {
                field.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    let mut headers = HeaderMap::new();
    headers.append(header::COOKIE, HeaderValue::try_from(field).unwrap());
    Some(headers)
}
