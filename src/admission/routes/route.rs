//! One route as configuration writes it: [`Route`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::Method;

use super::is_id;

/// One route: a method and a path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub(super) method: Method,
    pub(super) pattern: Arc<str>,
}

/// Why a configured route cannot be one. Each text is the rest of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteParseError {
    /// Not `METHOD /path`.
    #[error("must be a method and a path such as \"GET /v1/files/{{id}}\"")]
    Form,
    /// GET, POST, PUT, PATCH and DELETE only.
    #[error("must begin with GET, POST, PUT, PATCH or DELETE (a GET also answers HEAD)")]
    Method,
    /// Outside `/v1`, or with characters that no route has.
    #[error(
        "must have a path that begins with /v1/ and consists of {{id}} and of segments of letters, digits, _ . : -"
    )]
    Path,
    /// Behest's own.
    #[error("must not reach /v1/auth or /v1/admin: they are never for browsers")]
    Reserved,
}

impl FromStr for Route {
    type Err = RouteParseError;

    fn from_str(text: &str) -> Result<Self, RouteParseError> {
        let (method, path) = text.split_once(' ').ok_or(RouteParseError::Form)?;
        let method = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ]
        .into_iter()
        .find(|offered| offered.as_str() == method)
        .ok_or(RouteParseError::Method)?;
        let rest = path.strip_prefix("/v1/").ok_or(RouteParseError::Path)?;
        if !rest
            .split('/')
            .all(|segment| segment == "{id}" || is_id(segment))
        {
            return Err(RouteParseError::Path);
        }
        let first = rest.split('/').next().unwrap_or_default();
        let reserved = ["{id}", "auth", "admin"];
        if reserved.iter().any(|own| first.eq_ignore_ascii_case(own)) {
            return Err(RouteParseError::Reserved);
        }
        Ok(Self {
            method,
            pattern: path.into(),
        })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}
