//! The cookie of a signed-in user, from a file or standard input, for the stream through the public URL.
//!
//! Guarantees: it never stands on a command line, it is never shown, and what is copied here is wiped.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

/// No browser sends a longer one.
const LONGEST: u64 = 64 * 1024;

/// Reads a Cookie header from `path`, `-` for standard input: its value, or whole lines `Cookie: …`.
///
/// # Errors
/// Says what is wrong with the file, and nothing of what is in it.
pub(super) fn read(path: &Path) -> Result<HeaderValue, String> {
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LONGEST).unwrap_or(0)));
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(LONGEST)
            .read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
    };
    read.map_err(|error| format!("cannot be read: {error}"))?;
    parse(&text)
}

fn parse(text: &str) -> Result<HeaderValue, String> {
    if text.starts_with("# Netscape") {
        return Err("is a cookie jar, and not a Cookie header".to_owned());
    }
    let mut value = Zeroizing::new(String::with_capacity(2 * text.len()));
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let pairs = match line.split_at_checked("cookie:".len()) {
            Some((name, pairs)) if name.eq_ignore_ascii_case("cookie:") => pairs.trim_start(),
            Some(_) | None => line,
        };
        if !value.is_empty() {
            value.push_str("; ");
        }
        value.push_str(pairs);
    }
    if !value.contains('=') {
        return Err("holds no cookie".to_owned());
    }
    let bytes = Bytes::from_owner(Zeroizing::new(value.as_bytes().to_vec()));
    let mut header = HeaderValue::from_maybe_shared(bytes)
        .map_err(|_| "holds characters that no header can".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_however_it_was_pasted() {
        for text in [
            "a=b; c=d\n",
            "Cookie: a=b; c=d\r\n",
            "cookie:a=b\nCOOKIE: c=d\n\n",
        ] {
            let value = parse(text).unwrap();
            assert_eq!(value, "a=b; c=d", "{text}");
            assert!(value.is_sensitive());
        }
    }

    #[test]
    fn what_is_no_cookie_is_refused_without_showing_it() {
        for text in [
            "",
            "\n",
            "hunter2",
            "# Netscape HTTP Cookie File\nhunter2=x",
            "hunter2=\u{1}",
        ] {
            assert!(!parse(text).unwrap_err().contains("hunter2"), "{text}");
        }
        let missing = read(Path::new("/nonexistent/cookie")).unwrap_err();
        assert!(missing.contains("cannot be read"));
    }
}
