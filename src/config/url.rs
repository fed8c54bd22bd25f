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
}

impl UpstreamUrl {
    /// Reads `https://host[:port]`, with or without a slash at the end.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (tls, rest) = split_scheme(text).ok_or(
            "must begin with https:// (or http:// for a loopback host): https://<slug>.behest.app",
        )?;
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
        let (host, port) = split_host(authority)
            .ok_or("holds no valid host and port: write https://<slug>.behest.app")?;
        Ok(Self {
            tls,
            host,
            port: port.unwrap_or(if tls { 443 } else { 80 }),
        })
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
    pub fn authority(&self) -> String {
        if self.port == if self.tls { 443 } else { 80 } {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
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
    let (_, port) = split_host(authority)
        .ok_or("holds no valid host (a name outside ASCII is written as xn--…)")?;
    if port == Some(if tls { 443 } else { 80 }) {
        return Err(
            "must be written without the scheme's own port, as browsers send it".to_owned(),
        );
    }
    Ok(())
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
fn split_host(authority: &str) -> Option<(String, Option<u16>)> {
    let uri: Uri = format!("http://{authority}/").parse().ok()?;
    let parsed = uri.authority()?;
    let host = parsed.host().to_ascii_lowercase();
    let port = parsed.port_u16();
    // `host:` and `host:0` parse, but name no port.
    if authority.ends_with(':') || port == Some(0) {
        return None;
    }
    let valid = if let Some(address) = host.strip_prefix('[') {
        address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok()
    } else {
        let name = host.strip_suffix('.').unwrap_or(&host);
        name.split('.').all(is_label)
    };
    let whole = parsed.as_str().len() == host.len() + port_length(authority, &host);
    (valid && whole).then_some((host, port))
}

/// Bytes of `:port` after the host.
fn port_length(authority: &str, host: &str) -> usize {
    authority.len().saturating_sub(host.len())
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
