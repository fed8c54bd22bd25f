//! The addresses in a configuration: Behest's base URL and browser origins.
//!
//! An [`UpstreamUrl`] is made only by parsing, so an invalid one cannot exist. No error here repeats
//! the text that was refused: it may be a key in the wrong place.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Behest's origin: scheme, host and port, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    tls: bool,
    /// Lower case; an IPv6 address with its brackets.
    host: String,
    port: u16,
    uri: Uri,
}

impl UpstreamUrl {
    /// Reads `https://host[:port]`, with or without a slash at the end.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_like(text, "https://<slug>.behest.app")
    }

    /// The same for another server than Behest; an error says `example`.
    pub(super) fn parse_like(text: &str, example: &str) -> Result<Self, String> {
        let (tls, rest) = split_scheme(text)
            .ok_or_else(|| format!("must begin with https:// or http://: {example}"))?;
        if rest.contains(['?', '#']) {
            return Err("must not hold a query or a fragment".to_owned());
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err("must not hold a user or a password".to_owned());
        }
        match path.trim_end_matches('/') {
            "" => {}
            "v1" => {
                return Err(
                    "must be written without /v1: the gateway adds the path itself".to_owned(),
                );
            }
            _ => return Err("must not hold a path: only scheme, host and port".to_owned()),
        }
        let invalid = || format!("holds no valid host and port: write {example}");
        let (host, port) = split_host(authority).ok_or_else(invalid)?;
        let own_port = if tls { 443 } else { 80 };
        let port = port.unwrap_or(own_port);
        let authority = if port == own_port {
            host.clone()
        } else {
            format!("{host}:{port}")
        };
        let scheme = if tls { "https" } else { "http" };
        let uri = format!("{scheme}://{authority}/")
            .parse()
            .map_err(|_| invalid())?;
        Ok(Self {
            tls,
            host,
            port,
            uri,
        })
    }

    /// The whole, with `/` as its path.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, lower case; an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; by default 443 for `https` and 80 for `http`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the `Host` header says: the port only where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.uri
            .authority()
            .map_or(&self.host, |authority| authority.as_str())
    }

    /// Whether the host is this machine: `localhost`, `127.0.0.0/8` or `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost"
            || bare
                .parse::<Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback())
            || bare
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// Checks that `text` is an origin in the bytes that a browser sends: `scheme://host[:port]`.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn check_origin(text: &str) -> Result<(), String> {
    if text.contains('*') {
        return Err("must be exact: a wildcard would let any page use the session".to_owned());
    }
    if text == "null" {
        return Err("must not be `null`: every sandboxed page has that origin".to_owned());
    }
    let (tls, authority) =
        split_scheme(text).ok_or("must be written scheme://host[:port]: https://app.example")?;
    if authority.contains(['/', '?', '#']) {
        return Err("must end after the host and port: no path, no slash".to_owned());
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("must be lower case, as browsers send it".to_owned());
    }
    let (host, port) = split_host(authority)
        .ok_or("holds no valid host (a name outside ASCII is written as xn--…)")?;
    if !is_written_as_browsers_do(&host) {
        return Err(
            "must write its IP address as browsers do: http://127.0.0.1, http://[::1]".to_owned(),
        );
    }
    if port == Some(if tls { 443 } else { 80 }) {
        return Err(
            "must be written without the scheme's own port, as browsers send it".to_owned(),
        );
    }
    Ok(())
}

/// Whether an address is in its one canonical form. A name whose last label is a number is an address
/// to browsers (URL standard, section 3.5): they send `127.0.0.1` for `127.1` and `0x7f.1`.
fn is_written_as_browsers_do(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if let Some(bare) = bracketed {
        return bare
            .parse()
            .is_ok_and(|address: Ipv6Addr| canonical_v6(address) == bare);
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_number = hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit());
    !is_number || host.parse::<Ipv4Addr>().is_ok()
}

/// As browsers write it: groups in hexadecimal throughout, where Rust ends mapped ones in dots.
fn canonical_v6(address: Ipv6Addr) -> String {
    if address.to_ipv4_mapped().is_none() {
        return address.to_string();
    }
    let [.., high, low] = address.segments();
    format!("::ffff:{high:x}:{low:x}")
}

/// Whether it is `https`, and what follows `://`.
fn split_scheme(text: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    match scheme {
        "https" => Some((true, rest)),
        "http" => Some((false, rest)),
        _ => None,
    }
}

/// Host (lower case) and port of `host[:port]`.
pub(super) fn split_host(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rfind(':') {
        // The colons of an IPv6 address stand before its bracket.
        Some(colon) if !authority.ends_with(']') => {
            let (host, port) = authority.split_at_checked(colon)?;
            let digits = port.strip_prefix(':')?;
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let number: u16 = digits.parse().ok()?;
            (
                host,
                Some(number).filter(|_| plain && number > 0 && !digits.starts_with('0')),
            )
        }
        _ => (authority, None),
    };
    if port.is_none() && host.len() < authority.len() {
        return None;
    }
    let valid = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => host.len() <= 253 && host.split('.').all(is_label),
    };
    valid.then(|| (host.to_ascii_lowercase(), port))
}

/// One label of a host name (RFC 1123, and `_`, which names in private networks hold).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_scheme_host_and_port() {
        let shown = |text: &str| UpstreamUrl::parse(text).map(|url| url.to_string());
        for (text, expected) in [
            ("https://demo.behest.app", "https://demo.behest.app"),
            ("https://Demo.Behest.app/", "https://demo.behest.app"),
            ("https://demo.behest.app:443", "https://demo.behest.app"),
            ("http://127.0.0.1:8090", "http://127.0.0.1:8090"),
            ("http://[::1]:8090/", "http://[::1]:8090"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
        let url = UpstreamUrl::parse("https://demo.behest.app:8443").unwrap();
        assert_eq!((url.host(), url.port()), ("demo.behest.app", 8443));
        assert_eq!(url.authority(), "demo.behest.app:8443");
        assert_eq!(url.uri(), "https://demo.behest.app:8443/");
    }

    #[test]
    fn anything_more_than_an_origin_is_refused_with_the_fix() {
        for (text, fix) in [
            ("https://demo.behest.app/v1", "without /v1"),
            ("https://demo.behest.app/v1/", "without /v1"),
            ("https://demo.behest.app/api", "must not hold a path"),
            ("https://me:pw@demo.behest.app", "user or a password"),
            ("https://demo.behest.app?x=1", "query"),
            ("https://demo.behest.app#x", "fragment"),
            ("demo.behest.app", "must begin with https://"),
            ("ftp://demo.behest.app", "must begin with https://"),
            ("", "must begin with https://"),
            ("https://", "no valid host"),
            ("https:///", "no valid host"),
            ("https://demo..app", "no valid host"),
            ("https://demo.app:", "no valid host"),
            ("https://demo.app:0", "no valid host"),
            ("https://demo.app:99999", "no valid host"),
            ("https://demo.app:+80", "no valid host"),
            ("https://demo app", "no valid host"),
            ("https://[::1", "no valid host"),
            ("https://<slug>.behest.app", "no valid host"),
        ] {
            let fault = UpstreamUrl::parse(text).unwrap_err();
            assert!(fault.contains(fix), "{text}: {fault}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let loopback = |host: &str| {
            UpstreamUrl::parse(&format!("http://{host}"))
                .unwrap()
                .is_loopback()
        };
        assert!(
            ["localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:1"]
                .into_iter()
                .all(loopback)
        );
        assert!(
            !["localhost.evil.example", "10.0.0.1", "[::2]", "0.0.0.0"]
                .into_iter()
                .any(loopback)
        );
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for text in [
            "https://app.example",
            "http://localhost:3000",
            "https://[::1]:8443",
            "https://[2001:db8::1]",
            "http://[::ffff:7f00:1]",
            "http://127.0.0.1:8080",
            "https://xn--pp-xka.example",
            "https://1.example",
        ] {
            assert_eq!(check_origin(text), Ok(()), "{text}");
        }
        for (text, fix) in [
            ("https://app.example/", "no slash"),
            ("https://app.example/x", "no path"),
            ("https://*.example", "wildcard"),
            ("*", "wildcard"),
            ("null", "null"),
            ("https://App.example", "lower case"),
            ("HTTPS://app.example", "scheme://"),
            ("app.example", "scheme://"),
            ("https://app.example:443", "own port"),
            ("http://app.example:80", "own port"),
            ("https://a@app.example", "valid host"),
            ("https://äpp.example", "xn--"),
            ("https://", "valid host"),
            (" https://app.example", "scheme://"),
            ("https://app.example ", "valid host"),
            ("https://app.example.", "valid host"),
            ("https://app.example:0443", "valid host"),
            ("https://app.example:0", "valid host"),
            ("https://app.example?x", "no path"),
            ("https://app.example#x", "no path"),
            ("//app.example", "scheme://"),
            ("https:app.example", "scheme://"),
            ("file://", "scheme://"),
            ("http://127.1", "as browsers do"),
            ("http://0x7f.0x1", "as browsers do"),
            ("http://2130706433", "as browsers do"),
            ("http://127.0.0.01", "as browsers do"),
            ("http://[0:0:0:0:0:0:0:1]", "as browsers do"),
            ("http://[::ffff:127.0.0.1]", "as browsers do"),
        ] {
            let fault = check_origin(text).unwrap_err();
            assert!(fault.contains(fix), "{text}: {fault}");
        }
    }
}
