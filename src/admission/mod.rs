//! What may be asked, by whom, and how much of it: the first step of every request.
//!
//! An [`Admitted`] can only be made by [`Admission::admit`], which runs every check, and it is the
//! only thing that a token can be attached to: no route can skip the cross-origin defence.

pub mod cross_origin;
mod framing;
pub mod limits;
pub mod routes;
pub mod trusted_proxies;

use http::{HeaderMap, Request, request};
use hyper::body::Incoming;

use cross_origin::{CrossOrigin, CrossOriginRefusal};
use framing::FramingError;
use limits::{LimitError, Limits};
use routes::{RouteError, RouteMatch, RouteTable};

/// Every check that needs no session.
pub struct Admission {
    routes: RouteTable,
    cross_origin: CrossOrigin,
    limits: Limits,
}

/// A request that passed every check. It owns the request.
pub struct Admitted {
    pub(crate) parts: request::Parts,
    pub(crate) body: Incoming,
    pub(crate) route: RouteMatch,
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
    pub fn new(routes: RouteTable, cross_origin: CrossOrigin, limits: Limits) -> Self {
        Self {
            routes,
            cross_origin,
            limits,
        }
    }

    /// Runs every check, cheapest and most general first. `label` becomes the route's as soon as
    /// there is one, so that refusals too are known by their route.
    ///
    /// # Errors
    /// The first check that the request does not pass.
    pub fn admit(
        &self,
        request: Request<Incoming>,
        label: &mut &'static str,
    ) -> Result<Admitted, AdmissionError> {
        let (parts, body) = request.into_parts();
        self.limits.check_head(&parts)?;
        framing::check(&parts)?;
        let route = self.routes.find(&parts.method, parts.uri.path())?;
        *label = route.label;
        self.cross_origin
            .check(&parts.method, &parts.headers, framing::host(&parts))?;
        self.limits.check_declared_body(&body)?;
        Ok(Admitted { parts, body, route })
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
}
