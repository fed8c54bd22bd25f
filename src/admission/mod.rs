//! What may be asked, by whom, and how much of it: the first step of every request.
//!
//! An [`Admitted`] can only be made by [`Admission::admit`], which runs every check, and it is the
//! only thing that a token can be attached to: no route can skip the cross-origin defence.

pub mod cors;
pub mod cross_origin;
mod for_app;
mod for_gateway;
pub mod framing;
pub mod limits;
pub mod routes;
mod token_path;
pub mod trusted_proxies;

use http::{HeaderMap, Request, request};
use hyper::body::Incoming;

use cors::{Cors, Preflight, Reader};
use cross_origin::{CrossOrigin, CrossOriginRefusal};
pub use for_app::ForApp;
pub use for_gateway::{ForGateway, Own};
use framing::FramingError;
use limits::{LimitError, Limits};
use routes::{RouteError, RouteMatch, RouteTable};
pub use token_path::{TokenPath, TokenPathError};

/// The label of the app's requests.
pub const APP_LABEL: &str = "app";

/// Every check that needs no session.
pub struct Admission {
    routes: RouteTable,
    cross_origin: CrossOrigin,
    cors: Cors,
    limits: Limits,
    has_app: bool,
}

/// A request that passed every check. It owns the request.
///
/// [`Admission::admit`] makes it:
///
/// ```
/// # use behest_gateway::admission::{Admission, Admitted, Entry, cors::Reader};
/// # use http::Request;
/// # use hyper::body::Incoming;
/// fn honest(admission: &Admission, request: Request<Incoming>) -> Option<Admitted> {
///     match admission.admit(request, &mut "", &mut Reader::default()) {
///         Ok(Entry::Request(admitted)) => Some(admitted),
///         Ok(Entry::Preflight(_) | Entry::App(_) | Entry::Own(_)) | Err(_) => None,
///     }
/// }
/// ```
///
/// and nothing else can:
///
/// ```compile_fail,E0451
/// # use behest_gateway::admission::{Admitted, routes::RouteMatch};
/// # use http::request::Parts;
/// # use hyper::body::Incoming;
/// fn forged(parts: Parts, body: Incoming, route: RouteMatch) -> Admitted {
///     Admitted { parts, body, route }
/// }
/// ```
pub struct Admitted {
    parts: request::Parts,
    body: Incoming,
    route: RouteMatch,
}

/// What an admitted request is.
pub enum Entry {
    /// One for Behest.
    Request(Admitted),
    /// A browser's question about one, answered here and without a session.
    Preflight(Preflight),
    /// One for the app, whose session is the app's own affair.
    App(ForApp),
    /// One that is answered here, for a user who is signed in.
    Own(ForGateway),
}

/// Why a request was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The request itself is malformed.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// No such route, or not with this method.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A cross-site page, or one that cannot be told from it.
    #[error(transparent)]
    CrossOrigin(#[from] CrossOriginRefusal),
    /// Over a limit.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl Admission {
    /// Puts the checks together.
    #[must_use]
    pub fn new(routes: RouteTable, cross_origin: CrossOrigin, cors: Cors, limits: Limits) -> Self {
        Self {
            routes,
            cross_origin,
            cors,
            limits,
            has_app: false,
        }
    }

    /// With an app, or without one, for what is outside the API.
    #[must_use]
    pub fn with_app(self, has_app: bool) -> Self {
        Self { has_app, ..self }
    }

    /// Runs every check, cheapest and most general first. `label` becomes the route's as soon as
    /// there is one, so that refusals too are known by their route, and `reader` the page that may
    /// read the answer, whatever it will be.
    ///
    /// # Errors
    /// The first check that the request does not pass.
    pub fn admit(
        &self,
        request: Request<Incoming>,
        label: &mut &'static str,
        reader: &mut Reader,
    ) -> Result<Entry, AdmissionError> {
        let (parts, body) = request.into_parts();
        let is_compat = self.routes.is_token_path(parts.uri.path());
        if self.has_app && !is_compat && !for_app::is_api(parts.uri.path()) {
            *label = APP_LABEL;
            return self.admit_for_app(parts, body).map(Entry::App);
        }
        let is_preflight = cors::is_preflight(&parts);
        if let Some(origin) = self.cross_origin.reader(&parts.headers) {
            *reader = self.cors.reader(origin);
        }
        let verdict = if is_preflight {
            self.cross_origin.check_preflight(&parts.headers).map(drop)
        } else {
            let host = framing::host(&parts);
            let decision = &self.cross_origin;
            decision
                .check(&parts.method, &parts.headers, host)
                .map(drop)
        };
        self.limits.check_head(&parts)?;
        framing::check(&parts)?;
        if is_preflight {
            let (methods, path_label) = self.routes.methods(&parts.method, parts.uri.path())?;
            *label = path_label;
            verdict?;
            let preflight = self.cors.preflight(methods, &parts.headers);
            return Ok(Entry::Preflight(preflight));
        }
        let route = self.routes.find(&parts.method, parts.uri.path())?;
        *label = route.label;
        verdict?;
        self.limits.check_declared_body(&body)?;
        if let Some(own) = route.own() {
            return Ok(Entry::Own(ForGateway::new(parts, own)));
        }
        Ok(Entry::Request(Admitted { parts, body, route }))
    }

    /// What the app gets: everything but malformed requests, paths that may be taken for the API's, and
    /// WebSockets of other sites' pages, which browsers open with the user's cookies.
    fn admit_for_app(
        &self,
        parts: request::Parts,
        body: Incoming,
    ) -> Result<ForApp, AdmissionError> {
        self.limits.check_head(&parts)?;
        framing::check(&parts)?;
        let path = parts.uri.path();
        if for_app::may_become_api(path) || self.routes.may_be_token_path(path) {
            return Err(routes::unknown(&parts.method, parts.uri.path()).into());
        }
        let is_websocket = for_app::is_websocket(&parts, &body);
        if is_websocket {
            let host = framing::host(&parts);
            self.cross_origin
                .check(&parts.method, &parts.headers, host)?;
        }
        Ok(ForApp::new(parts, body, is_websocket))
    }

    /// The limits, for the steps that need a user or a body.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Admitted {
    /// The request's headers: for the session's cookie.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// What it was sent to: `host[:port]`.
    #[must_use]
    pub fn host(&self) -> &str {
        std::str::from_utf8(framing::host(&self.parts)).unwrap_or_default()
    }

    /// Takes it apart: its head, its body, and the route that it matched.
    pub(crate) fn into_parts(self) -> (request::Parts, Incoming, RouteMatch) {
        (self.parts, self.body, self.route)
    }
}
