//! Refuses requests whose head can be read in two ways.
//!
//! Request smuggling lives on such heads (RFC 9112 sections 3.2, 6.1, 11.2; RFC 9113 section 8.3.1).

use std::net::Ipv6Addr;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, Version, request};

/// What is wrong with the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Not `/path`: absolute, authority or asterisk form, or CONNECT.
    #[error("the request target must be a path that begins with one slash")]
    Target,
    /// None, several, or one that is not `host[:port]`.
    #[error("exactly one Host header of the form host[:port] is needed")]
    Host,
    /// Anything but a single `chunked`, or beside Content-Length.
    #[error("Transfer-Encoding must be a single `chunked` and stand without Content-Length")]
    TransferEncoding,
    /// Several, or not digits.
    #[error("Content-Length must be one value of digits")]
    ContentLength,
}

/// Checks a request's head.
pub(super) fn check(parts: &request::Parts) -> Result<(), FramingError> {
    check_target(parts)?;
    check_host(parts)?;
    check_length(parts)
}

/// The authority that the request is for, once [`check`] has passed.
pub(super) fn host(parts: &request::Parts) -> &[u8] {
    match parts.headers.get(HOST) {
        Some(host) => host.as_bytes(),
        None => parts.uri.authority().map_or(&[], |a| a.as_str().as_bytes()),
    }
}

fn check_target(parts: &request::Parts) -> Result<(), FramingError> {
    let path = parts.uri.path();
    let is_http1 = parts.version <= Version::HTTP_11;
    let absolute = is_http1 && (parts.uri.scheme().is_some() || parts.uri.authority().is_some());
    if parts.method == Method::CONNECT
        || absolute
        || !path.starts_with('/')
        || path.starts_with("//")
    {
        return Err(FramingError::Target);
    }
    Ok(())
}

fn check_host(parts: &request::Parts) -> Result<(), FramingError> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| FramingError::Host)?),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(FramingError::Host),
    };
    // HTTP/2 has :authority; a Host beside it must say the same.
    match (host, parts.uri.authority()) {
        (Some(host), Some(authority)) if host != authority.as_str() => Err(FramingError::Host),
        (Some(host), _) => is_host(host).then_some(()).ok_or(FramingError::Host),
        (None, Some(authority)) => is_host(authority.as_str())
            .then_some(())
            .ok_or(FramingError::Host),
        (None, None) => Err(FramingError::Host),
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let host_is_valid = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    host_is_valid && port.is_none_or(is_port)
}

fn check_length(parts: &request::Parts) -> Result<(), FramingError> {
    let headers = &parts.headers;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let single = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !single || headers.contains_key(CONTENT_LENGTH) {
            return Err(FramingError::TransferEncoding);
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let digits = length.as_bytes();
        let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        if !valid || lengths.next().is_some() {
            return Err(FramingError::ContentLength);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn verdict(target: &str, headers: &[(&str, &str)]) -> Result<(), FramingError> {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn exactly_one_plain_host_is_needed() {
        for host in ["app.example", "app.example:8080", "127.0.0.1:1", "[::1]:80"] {
            assert_eq!(verdict("/v1/models", &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "", "a@b", "a,b", "a/b", "a b", "a:", ":80", "a:b", "a:+8", "a:65536", "[::1", "[]:80",
            "::1", "[a]", "[::1]x", "a:1:2", "a?b", "a#b", "a\\b", "a%2fb", "*",
        ] {
            let got = verdict("/v1/models", &[("host", host)]);
            assert_eq!(got, Err(FramingError::Host), "{host:?}");
        }
        assert_eq!(verdict("/v1/models", &[]), Err(FramingError::Host));
        let twice = [("host", "a"), ("host", "a")];
        assert_eq!(verdict("/v1/models", &twice), Err(FramingError::Host));
    }

    #[test]
    fn only_a_path_is_a_target() {
        let host = [("host", "a")];
        for target in ["http://evil/v1/models", "//evil/v1/models"] {
            assert_eq!(
                verdict(target, &host),
                Err(FramingError::Target),
                "{target}"
            );
        }
    }

    #[test]
    fn a_body_has_one_length() {
        let with = |name, value| verdict("/v1/models", &[("host", "a"), (name, value)]);
        assert_eq!(with("transfer-encoding", "chunked"), Ok(()));
        let got = with("transfer-encoding", "gzip, chunked");
        assert_eq!(got, Err(FramingError::TransferEncoding));
        assert_eq!(
            with("content-length", "+5"),
            Err(FramingError::ContentLength)
        );
        let both = [
            ("host", "a"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
        ];
        assert_eq!(
            verdict("/v1/models", &both),
            Err(FramingError::TransferEncoding)
        );
    }
}
