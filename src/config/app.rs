//! Reads `[app]`: where everything outside `/v1` goes.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::PathAndQuery;

use super::bounds::{any, timeout};
use super::fields::{Fields, Key, key};
use super::url::UpstreamUrl;
use super::values::Value;
use crate::app::AppConfig;

/// `[app]`, for a gateway that listens on `listen`; `None` where there is no app.
pub(super) fn app(fields: &mut Fields, listen: SocketAddr) -> Option<AppConfig> {
    let seconds = Duration::from_secs;
    let text: Option<String> =
        fields.optional(&URL, |text: &String| origin(text, listen).map(drop));
    let origin = text.and_then(|text| origin(&text, listen).ok());
    let connect_timeout = fields.read(&CONNECT_TIMEOUT, seconds(5), timeout);
    let first_byte_timeout = fields.read(&FIRST_BYTE_TIMEOUT, seconds(600), timeout);
    let idle_timeout = fields.read(&IDLE_TIMEOUT, seconds(300), timeout);
    let health_path = fields.read(&HEALTH_PATH, PathAndQuery::from_static("/"), any);
    Some(AppConfig {
        health_path,
        origin: origin?.uri().clone(),
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
    })
}

const HEALTH_PATH: Key = key(
    "app.health_path",
    "What /appz of the admin listener asks the app for; any answer but a server error is good.",
);

impl Value for PathAndQuery {
    fn from_text(text: &str) -> Result<Self, String> {
        let is_plain = text.starts_with('/') && !text.contains(['"', '\\']);
        let parsed = text.parse().ok().filter(|_| is_plain);
        parsed.ok_or_else(|| "must be a path such as \"/healthz\"".to_owned())
    }

    fn to_toml(&self) -> String {
        format!("\"{}\"", self.as_str())
    }
}

const URL: Key = key(
    "app.url",
    "The app behind the gateway: gets everything outside /v1; default: nobody does. The app itself needs AUTH_URL=<public origin>.",
)
.named(&["GATEWAY_APP_URL"])
.example("\"http://127.0.0.1:3000\"");
const CONNECT_TIMEOUT: Key = key(
    "app.connect_timeout",
    "For a TCP and TLS connection to the app.",
);
const FIRST_BYTE_TIMEOUT: Key = key(
    "app.first_byte_timeout",
    "From the request's last byte to the head of the app's answer.",
);
const IDLE_TIMEOUT: Key = key(
    "app.idle_timeout",
    "Between two bytes of an answer of the app's, and for a request's small body; not for WebSockets.",
);

/// The app's origin, for a gateway that listens on `listen`.
fn origin(text: &str, listen: SocketAddr) -> Result<UpstreamUrl, String> {
    let url = UpstreamUrl::parse_like(text, "http://127.0.0.1:3000")?;
    // Everything that is asked would come back, until the gateway can no more.
    if url.is_loopback() && url.port() == listen.port() {
        return Err(format!(
            "is the gateway's own address (server.listen is {listen}): it must be the app's"
        ));
    }
    Ok(url)
}
