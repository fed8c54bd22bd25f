//! Marked secrets, and the search for them in what came out: in every form in which a careless
//! program shows one, whole or in part.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};

/// A part of a secret that is this long, in bytes, is found.
const PART: usize = 16;

/// What to look for.
#[derive(Clone, Default)]
pub struct Marks {
    /// Every part of every form, by its length; and the name of the secret it comes from.
    parts: HashMap<usize, HashMap<Vec<u8>, String>>,
}

impl Marks {
    /// Adds a secret of at least [`PART`] bytes.
    pub fn add(&mut self, name: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= PART, "{name} is too short to be marked");
        for (length, form) in forms(secret) {
            let parts = self.parts.entry(length).or_default();
            for part in form.windows(length) {
                parts
                    .entry(part.to_vec())
                    .or_insert_with(|| name.to_owned());
            }
        }
    }

    /// Adds the values of a Cookie header, less their public first parts.
    pub fn add_cookie(&mut self, header: &str) {
        for pair in header.split("; ") {
            let value = pair.split_once('=').unwrap().1;
            // The head of a sealed session says how it is sealed, the same for everyone.
            let sealed = value.split_once('.').map_or(value, |(_, sealed)| sealed);
            self.add("a session cookie", sealed);
        }
    }

    /// Adds a minted token, less its head, which is the same for everyone.
    pub fn add_token(&mut self, token: &str) {
        let (_, rest) = token.split_once('.').unwrap();
        self.add("a token", rest);
    }

    /// The first secret in `text`, and the text around it.
    pub fn find(&self, text: &[u8]) -> Option<(&str, String)> {
        self.parts.iter().find_map(|(length, parts)| {
            let mut windows = text.windows(*length).enumerate();
            windows.find_map(|(at, window)| {
                let name = parts.get(window)?;
                let around = &text[at.saturating_sub(300)..(at + 300).min(text.len())];
                Some((&**name, String::from_utf8_lossy(around).into_owned()))
            })
        })
    }

    /// Fails if any of them is in `text`, which came out at `place`.
    pub fn assert_absent(&self, place: &str, text: impl AsRef<[u8]>) {
        if let Some((name, around)) = self.find(text.as_ref()) {
            panic!("{name} came out in {place}: …{around}…");
        }
    }
}

/// How a secret looks in text, each with the length of a part that gives it away.
fn forms(secret: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let each = |write: fn(&mut String, u8)| {
        let mut text = String::new();
        for byte in secret {
            write(&mut text, *byte);
        }
        text.into_bytes()
    };
    let mut forms = vec![
        (PART, secret.to_vec()),
        (
            2 * PART,
            each(|text, byte| write!(text, "{byte:02x}").unwrap()),
        ),
        (
            2 * PART,
            each(|text, byte| write!(text, "{byte:02X}").unwrap()),
        ),
        (
            3 * PART,
            each(|text, byte| write!(text, "%{byte:02X}").unwrap()),
        ),
        (
            3 * PART,
            each(|text, byte| write!(text, "{byte}, ").unwrap()),
        ),
        (PART, each(percent_encode)),
        (PART, each(escape)),
    ];
    // What stands before it decides which of three texts base64 makes of it.
    for before in 0..3 {
        let shifted = [&b"\0\0"[..before], secret].concat();
        let first = (before * 8).div_ceil(6);
        let whole = shifted.len() * 8 / 6;
        for base64 in [&BASE64_STANDARD, &BASE64_URL_SAFE] {
            let text = base64.encode(&shifted).into_bytes();
            forms.push((PART * 4 / 3, text[first..whole].to_vec()));
        }
    }
    forms
}

fn percent_encode(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        text.push(char::from(byte));
    } else {
        write!(text, "%{byte:02X}").unwrap();
    }
}

/// As JSON and `Debug` escape.
fn escape(text: &mut String, byte: u8) {
    *text += &std::ascii::escape_default(byte).to_string();
}

#[test]
fn a_mark_is_found_in_every_form_and_in_part() {
    let secret = b"mark-5f1c\"e8/47+a0?b9 2d#6";
    let mut marks = Marks::default();
    marks.add("it", secret);
    let base64 = |text: &str| BASE64_STANDARD.encode([text.as_bytes(), secret].concat());
    for text in [
        format!("x{}", String::from_utf8_lossy(secret)),
        format!("{}y", String::from_utf8_lossy(&secret[5..5 + PART])),
        format!("{secret:?}"),
        format!("{secret:02x?}").replace([',', ' '], ""),
        serde_json::to_string(std::str::from_utf8(secret).unwrap()).unwrap(),
        base64(""),
        base64("a:"),
        base64("user:"),
        BASE64_URL_SAFE.encode(secret),
        "mark-5f1c%22e8%2F47%2Ba0%3Fb9%202d%236".to_owned(),
    ] {
        assert!(marks.find(text.as_bytes()).is_some(), "{text}");
    }
    assert!(marks.find(b"mark-5f1c and e8/47+a0?b9").is_none());
}
