//! `/appz` on the operators' listener: whether the app behind the gateway answers.
//!
//! It is apart from `/readyz` on purpose: a gateway whose app is down still serves `/v1`, and must not
//! be taken out of service for it.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use crate::generation::Generation;
use crate::telemetry;

/// The page's status and its JSON.
pub(super) async fn page(generation: &Generation) -> (StatusCode, Bytes) {
    let Some(app) = &generation.gateway.app else {
        let page = json!({ "app": "none", "reason": "app.url (GATEWAY_APP_URL) is not set" });
        return (StatusCode::NOT_FOUND, written(&page));
    };
    let probed = app.probe().await;
    let took = u64::try_from(probed.took.as_millis()).unwrap_or(u64::MAX);
    let (status, page) = match &probed.answered {
        Ok(status) if !status.is_server_error() => (
            StatusCode::OK,
            json!({ "app": "ok", "status": status.as_u16(), "took_ms": took }),
        ),
        Ok(status) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({
                "app": "failing", "status": status.as_u16(), "took_ms": took,
                "reason": "the app answers app.health_path with a server error: see its own log",
            }),
        ),
        Err(error) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({
                "app": "unreachable", "took_ms": took,
                "reason": format!("{} (app.url, GATEWAY_APP_URL)", telemetry::chain(error)),
            }),
        ),
    };
    (status, written(&page))
}

fn written(page: &serde_json::Value) -> Bytes {
    Bytes::from(format!("{page}\n"))
}
