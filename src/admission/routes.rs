//! The route table: exactly which methods and paths are offered.
//!
//! Matched on the raw path; query, fragment and headers never decide. What goes upstream is rebuilt
//! from the match, never the caller's bytes, so an encoded or dotted path cannot mean one thing here
//! and another there. Everything under `/v1/auth` and Behest's admin paths is unknown.

mod route;

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

pub use self::route::{Route, RouteParseError};
use super::{Own, TokenPath};

/// Offered without configuration. `{id}` stands for `[A-Za-z0-9_.:-]{1,128}`, but not `.` or `..`.
pub const DEFAULT_ROUTES: [&str; 20] = [
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/responses",
    "POST /v1/responses/{id}/cancel",
    "POST /v1/embeddings",
    "POST /v1/moderations",
    "POST /v1/audio/speech",
    "POST /v1/audio/transcriptions",
    "POST /v1/audio/translations",
    "POST /v1/images/generations",
    "POST /v1/images/edits",
    "POST /v1/images/variations",
    "GET /v1/models",
    "GET /v1/models/{id}",
    "GET /v1/responses/{id}",
    "GET /v1/threads",
    "GET /v1/threads/{id}/messages",
    "GET /v1/billing/usage",
    "DELETE /v1/threads/{id}",
    "DELETE /v1/responses/{id}",
];

/// The metrics' label of routes that configuration adds.
const EXTRA: &str = "extra";

/// The metrics' label of the path that stands in for a token's.
const COMPAT: &str = "compat";

/// Where a signed-in user's own limits and use are told, where that is offered; also its label.
const USAGE_ME: &str = "/v1/usage/me";

/// A route that a request matched.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// The path to ask upstream, rebuilt from the match.
    pub path: Arc<str>,
    /// The pattern, as a label for metrics and the log: from a closed set.
    pub label: &'static str,
}

impl RouteMatch {
    /// What it asks of the gateway itself; `None`: it is Behest's.
    pub(super) fn own(&self) -> Option<Own> {
        match self.label {
            COMPAT => Some(Own::StandIn),
            USAGE_ME => Some(Own::Usage),
            _ => None,
        }
    }
}

/// Why no route matched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No route has this path.
    #[error("{asked} is no route: routes.extra adds routes under /v1")]
    Unknown {
        /// Method and path: bounded, in visible ASCII, without the query.
        asked: String,
    },
    /// The path is known, with other methods.
    #[error("{asked} is no route, but {allow} is: routes.extra adds routes under /v1")]
    Method {
        /// Method and path: bounded, in visible ASCII, without the query.
        asked: String,
        /// The methods that are offered, as an `Allow` header lists them.
        allow: String,
    },
}

/// Every route that is offered.
pub struct RouteTable {
    exact: HashMap<Arc<str>, Vec<Offer>>,
    patterns: Vec<(Arc<str>, Vec<Offer>)>,
    token_path: Option<TokenPath>,
}

struct Offer {
    method: Method,
    label: &'static str,
}

impl RouteTable {
    /// The default routes and `extra` ones.
    #[must_use]
    pub fn new(extra: &[Route]) -> Self {
        let mut table = Self {
            exact: HashMap::new(),
            patterns: Vec::new(),
            token_path: None,
        };
        for text in DEFAULT_ROUTES {
            if let (Ok(route), Some((_, label))) = (text.parse::<Route>(), text.split_once(' ')) {
                table.offer(&route, label);
            }
        }
        for route in extra {
            table.offer(route, EXTRA);
        }
        table
    }

    /// With a `POST` of `path`, which the gateway answers itself.
    #[must_use]
    pub fn with_token_path(mut self, path: Option<TokenPath>) -> Self {
        if let Some(path) = &path {
            let (method, pattern) = (Method::POST, path.pattern());
            self.offer(&Route { method, pattern }, COMPAT);
        }
        self.token_path = path;
        self
    }

    /// With `GET /v1/usage/me`, which the gateway answers itself, if it `is_offered`.
    #[must_use]
    pub fn with_usage_me(mut self, is_offered: bool) -> Self {
        if is_offered {
            let (method, pattern) = (Method::GET, Arc::from(USAGE_ME));
            self.offer(&Route { method, pattern }, USAGE_ME);
        }
        self
    }

    /// Whether the raw `path` is the token path.
    pub(super) fn is_token_path(&self, path: &str) -> bool {
        let own = self.token_path.as_ref();
        own.is_some_and(|own| own.as_str() == path)
    }

    /// Whether somebody could take the raw `path`, which is another, for the token path.
    pub(super) fn may_be_token_path(&self, path: &str) -> bool {
        let own = self.token_path.as_ref();
        own.is_some_and(|own| super::for_app::may_become_path(path, own.as_str()))
    }

    /// Every label that a match can carry.
    pub fn labels() -> impl Iterator<Item = &'static str> {
        DEFAULT_ROUTES
            .iter()
            .filter_map(|text| text.split_once(' ').map(|(_, path)| path))
            .chain([EXTRA, COMPAT, USAGE_ME])
    }

    /// The route for `method` and the raw `path`; HEAD is offered wherever GET is.
    ///
    /// # Errors
    /// No such path, or not with this method.
    pub fn find(&self, method: &Method, path: &str) -> Result<RouteMatch, RouteError> {
        let (path, offers) = if let Some((path, offers)) = self.exact.get_key_value(path) {
            (Arc::clone(path), offers.as_slice())
        } else {
            let offers = self.offers_by_pattern(path);
            (
                Arc::from(path),
                offers.ok_or_else(|| unknown(method, path))?,
            )
        };
        let wanted = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        match offers.iter().find(|offer| offer.method == *wanted) {
            Some(offer) => Ok(RouteMatch {
                path,
                label: offer.label,
            }),
            None => Err(RouteError::Method {
                asked: asked(method, &path),
                allow: allow(offers),
            }),
        }
    }

    /// The methods that the raw `path` is offered with, as an `Allow` header lists them, and its label;
    /// `method` is what was asked.
    ///
    /// # Errors
    /// No such path.
    pub fn methods(
        &self,
        method: &Method,
        path: &str,
    ) -> Result<(String, &'static str), RouteError> {
        let exact = self.exact.get(path).map(Vec::as_slice);
        let offers = exact.or_else(|| self.offers_by_pattern(path));
        match offers.and_then(|offers| Some((offers, offers.first()?))) {
            Some((offers, first)) => Ok((allow(offers), first.label)),
            None => Err(unknown(method, path)),
        }
    }

    fn offers_by_pattern(&self, path: &str) -> Option<&[Offer]> {
        let mut patterns = self.patterns.iter();
        patterns
            .find(|(pattern, _)| matches_pattern(pattern, path))
            .map(|(_, offers)| offers.as_slice())
    }

    fn offer(&mut self, route: &Route, label: &'static str) {
        let offer = Offer {
            method: route.method.clone(),
            label,
        };
        if !route.pattern.contains("{id}") {
            self.exact
                .entry(Arc::clone(&route.pattern))
                .or_default()
                .push(offer);
        } else if let Some((_, offers)) = self
            .patterns
            .iter_mut()
            .find(|(pattern, _)| *pattern == route.pattern)
        {
            offers.push(offer);
        } else {
            self.patterns
                .push((Arc::clone(&route.pattern), vec![offer]));
        }
    }
}

/// What was asked, for the log, in the form in which `routes.extra` would offer it: a path's plain
/// words, `{id}` for what may name somebody, `{?}` for what no route can have. Never the query.
fn asked(method: &Method, path: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-');
    let shown = |segment| match segment {
        "v1" | "" => segment,
        word if word.len() <= 32 && word.bytes().all(is_word) => word,
        id if is_id(id) => "{id}",
        _ => "{?}",
    };
    let path: Vec<&str> = path.split('/').take(9).map(shown).collect();
    let method = method.as_str().get(..16).unwrap_or(method.as_str());
    format!("{method} {}", path.join("/"))
}

/// That no route has the raw `path`.
pub(super) fn unknown(method: &Method, path: &str) -> RouteError {
    RouteError::Unknown {
        asked: asked(method, path),
    }
}

fn allow(offers: &[Offer]) -> String {
    let mut methods: Vec<&str> = offers.iter().map(|offer| offer.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.join(", ")
}

fn matches_pattern(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("{id}"), Some(segment)) => {
                if !is_id(segment) {
                    return false;
                }
            }
            (Some(literal), Some(segment)) if literal == segment => {}
            _ => return false,
        }
    }
}

fn is_id(segment: &str) -> bool {
    (1..=128).contains(&segment.len())
        && segment != "."
        && segment != ".."
        && segment
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'))
}

#[cfg(test)]
mod tests;
