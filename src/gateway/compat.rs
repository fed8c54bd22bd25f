//! Answers pages from before the gateway, which ask for a token and a session id (`compat.token_path`).
//!
//! They get the shape that they know, and nothing of Behest's: a constant that is worth nothing in
//! place of the token, which the gateway discards where it comes back, and the id that their requests
//! carry anyway. Nothing is minted.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde::Serialize;

use super::{Gateway, own};
use crate::admission::ForGateway;
use crate::clock::Now;
use crate::error::GatewayError;
use crate::session::Session;
use crate::telemetry::access_log::Record;

/// Stands where a token stood. No JWS, and a person who finds it can read what it is.
const PLACEHOLDER: &str = "placeholder-not-a-token--behest-gateway-holds-the-real-one";

/// What the page is told, in the words of Behest's guides.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StandIn<'a> {
    token: &'static str,
    /// Seconds that it may be kept.
    ttl: u64,
    session_id: &'a str,
    /// The end of that time, in Unix seconds.
    expires_at: u64,
}

impl Gateway {
    /// What stands in for the token of a signed-in user, after the same checks as a request for Behest.
    pub(super) async fn stand_in(
        &self,
        request: &ForGateway,
        peer: IpAddr,
        record: &mut Record,
    ) -> Result<Response<Bytes>, GatewayError> {
        let now = self.clock.now();
        let (session, _) = self
            .authenticate(request.headers(), request.host(), peer, now, record)
            .await?;
        let _slot = self.admission.limits().enter(&session.identity.user)?;
        let session_id = self.sessions.session_id(&session);
        let ttl = lasting(self.token_ttl, &session, now);
        let body = serde_json::to_vec(&StandIn {
            token: PLACEHOLDER,
            ttl,
            session_id: session_id.as_ref().map_or("", |id| id.as_str()),
            expires_at: now.unix.as_secs() + ttl,
        });
        Ok(own::json(body.unwrap_or_default()))
    }
}

/// `ttl` in whole seconds, or what is left of the session if that is less.
fn lasting(ttl: Duration, session: &Session, now: Now) -> u64 {
    let end = session
        .expires_at
        .as_ref()
        .and_then(serde_json::Number::as_f64);
    let end = end.and_then(|end| Duration::try_from_secs_f64(end).ok());
    let left = end.map(|end| end.saturating_sub(Duration::from_secs(now.unix.as_secs())));
    left.map_or(ttl, |left| left.min(ttl)).as_secs()
}
