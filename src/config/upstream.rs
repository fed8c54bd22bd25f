//! Reads `[upstream]`: where Behest is, and the way there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bounds::{any, bytes, timeout};
use super::fields::{Fields, Key, key};
use super::model::{OutboundConfig, UpstreamConfig};
use super::secrets::{read_bounded, shown};
use super::sections::file;
use super::sources::Origin;
use super::url::UpstreamUrl;
use super::values::Size;

/// `[upstream]`; `None` where there is no usable base URL.
pub(super) fn upstream(fields: &mut Fields) -> Option<UpstreamConfig> {
    let seconds = Duration::from_secs;
    let base_url = fields.optional(&BASE_URL, any);
    let base_url_origin = fields.last_origin();
    let outbound = outbound(fields);
    let connect_timeout = fields.read(&CONNECT_TIMEOUT, seconds(5), timeout);
    let first_byte_timeout = fields.read(&FIRST_BYTE_TIMEOUT, seconds(600), timeout);
    let idle_timeout = fields.read(&IDLE_TIMEOUT, seconds(300), timeout);
    let hold_body = fields
        .read(&HOLD_BODY, Size(256 << 10), bytes(0..=64 << 20))
        .0;
    let pool_idle_timeout = fields.read(&POOL_IDLE_TIMEOUT, seconds(15), timeout);
    let pool_max_age = fields.read(&POOL_MAX_AGE, seconds(300), timeout);
    let allow_plaintext = fields.read(&ALLOW_PLAINTEXT, false, any);
    check_base_url(fields, base_url.as_ref(), &base_url_origin, allow_plaintext);
    Some(UpstreamConfig {
        base_url: base_url?,
        outbound,
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
        hold_body,
        pool_idle_timeout,
        pool_max_age,
        allow_plaintext,
    })
}

/// The keys of `[upstream]` that matter for whatever is called, and not for Behest alone.
pub(super) fn outbound(fields: &mut Fields) -> OutboundConfig {
    OutboundConfig {
        ca_file: file(fields, &CA_FILE),
        ssl_cert_file: ssl_cert_file(fields),
        proxy: fields.secret(&PROXY).map(|(secret, _)| secret),
        no_proxy: fields.optional(&NO_PROXY, any),
    }
}

const BASE_URL: Key = key(
    "upstream.base_url",
    "The project's data plane, without /v1. Required.",
)
.named(&["BEHEST_BASE_URL"])
.example("\"https://<slug>.behest.app\"");
const CA_FILE: Key = key(
    "upstream.ca_file",
    "PEM certificates that are trusted beside the built-in roots (and SSL_CERT_FILE).",
)
.example("\"/etc/ssl/private-ca.pem\"");
const PROXY: Key = key(
    "upstream.proxy",
    "Proxy towards Behest, as HTTPS_PROXY holds it.",
)
.named(&["HTTPS_PROXY", "https_proxy"])
.example("{ env = \"HTTPS_PROXY\" }");
const NO_PROXY: Key = key(
    "upstream.no_proxy",
    "Hosts that are reached without it, as NO_PROXY holds them.",
)
.named(&["NO_PROXY", "no_proxy"])
.example("\"localhost,.internal\"");
const CONNECT_TIMEOUT: Key = key("upstream.connect_timeout", "For a TCP and TLS connection.");
const FIRST_BYTE_TIMEOUT: Key = key(
    "upstream.first_byte_timeout",
    "From the request's last byte to the head of its answer.",
);
const IDLE_TIMEOUT: Key = key("upstream.idle_timeout", "Between two bytes of an answer.");
const HOLD_BODY: Key = key(
    "upstream.hold_body",
    "Request bodies up to this size are held, so that they can be sent again.",
);
const POOL_IDLE_TIMEOUT: Key = key(
    "upstream.pool_idle_timeout",
    "How long an idle connection is kept.",
);
const POOL_MAX_AGE: Key = key(
    "upstream.pool_max_age",
    "How long a connection is used at all.",
);
const ALLOW_PLAINTEXT: Key = key(
    "upstream.allow_plaintext",
    "Allow http:// to a host that is not loopback.",
);

/// Present, and encrypted wherever the network is not this machine.
fn check_base_url(
    fields: &mut Fields,
    url: Option<&UpstreamUrl>,
    origin: &Origin,
    allow_plaintext: bool,
) {
    match url {
        None if *origin == Origin::Default && !fields.has_problem(BASE_URL.path) => {
            fields.missing(&BASE_URL, "https://<slug>.behest.app", "");
        }
        Some(url) if !url.is_tls() && !url.is_loopback() && allow_plaintext => {
            fields.warnings.push(format!(
                "upstream.base_url is {url}: keys, tokens and messages travel unencrypted"
            ));
        }
        Some(url) if !url.is_tls() && !url.is_loopback() => {
            let text = "must begin with https:// unless the host is loopback; where the network \
                        itself is private, set upstream.allow_plaintext = true";
            fields.problem_at(&BASE_URL, origin, text);
        }
        Some(_) | None => {}
    }
}

/// `SSL_CERT_FILE` is set for other programs too, so one that cannot be read only warns.
fn ssl_cert_file(fields: &mut Fields) -> Option<PathBuf> {
    let path = PathBuf::from(fields.layers.env("SSL_CERT_FILE")?);
    match read_bounded(Path::new(&path)) {
        Ok(content) => {
            fields.watch(&path, Some(&content));
            Some(path)
        }
        Err(fault) => {
            let name = shown(&path);
            let warning = format!("SSL_CERT_FILE names {name}, which is ignored: {fault}");
            fields.warnings.push(warning);
            None
        }
    }
}
