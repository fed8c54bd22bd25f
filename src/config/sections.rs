//! Reads the sections that belong to no other module.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::bounds::{any, bytes, count, lasting, timeout};
use super::fields::{Fields, Key, key};
use super::headers::{check_request_headers, check_response_headers};
use super::model::{LogFormat, RoutesConfig, ServerConfig, TelemetryConfig, TlsFiles};
use super::url::check_origin;
use super::values::Size;
use crate::admission::cross_origin::CrossOriginConfig;
use crate::admission::limits::LimitsConfig;
use crate::admission::trusted_proxies::AddressBlock;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// `[server]`
pub(super) fn server(fields: &mut Fields) -> ServerConfig {
    let seconds = Duration::from_secs;
    let or_none = || lasting(Duration::ZERO..=Duration::from_hours(24));
    ServerConfig {
        listen: fields.read(
            &LISTEN,
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            any,
        ),
        workers: workers(fields),
        max_connections: fields.read(&MAX_CONNECTIONS, 20_000, count(1..=1_000_000)),
        head_timeout: fields.read(&HEAD_TIMEOUT, seconds(10), timeout),
        idle_timeout: fields.read(&SERVER_IDLE_TIMEOUT, seconds(60), timeout),
        write_stall_timeout: fields.read(&WRITE_STALL_TIMEOUT, seconds(30), timeout),
        heartbeat: Some(fields.read(&HEARTBEAT, seconds(15), or_none()))
            .filter(|interval| !interval.is_zero()),
        drain_delay: fields.read(&DRAIN_DELAY, Duration::ZERO, or_none()),
        drain_limit: fields.read(&DRAIN_LIMIT, seconds(30), or_none()),
        h2_max_streams: h2_max_streams(fields),
        trusted_proxies: trusted_proxies(fields),
        tls: tls(fields),
    }
}

fn workers(fields: &mut Fields) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let given = fields.optional(&WORKERS, count(1..=1024));
    if given.is_none() {
        fields.show(WORKERS.path, cores.to_string());
    }
    given.unwrap_or(cores)
}

fn h2_max_streams(fields: &mut Fields) -> u32 {
    let count = fields.read(&H2_MAX_STREAMS, 100, count(1..=10_000));
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn trusted_proxies(fields: &mut Fields) -> Vec<AddressBlock> {
    let blocks: Vec<AddressBlock> = fields.read(&TRUSTED_PROXIES, Vec::new(), any);
    for block in blocks.iter().filter(|block| block.is_wildcard_like()) {
        fields.warnings.push(format!(
            "server.trusted_proxies holds {block}: whoever connects from there can name any address as its own. List only your own proxies"
        ));
    }
    blocks
}

const LISTEN: Key = key(
    "server.listen",
    "Address of the public listener. Only a restart changes it.",
)
.named(&["GATEWAY_LISTEN"]);
const WORKERS: Key = key(
    "server.workers",
    "Worker threads; default: the cores given to the process. Only a restart changes it.",
)
.named(&["GATEWAY_WORKERS"])
.example("2");
const MAX_CONNECTIONS: Key = key("server.max_connections", "Connections open at once.");
const HEAD_TIMEOUT: Key = key(
    "server.head_timeout",
    "For a request's head, from its first byte.",
);
const SERVER_IDLE_TIMEOUT: Key = key(
    "server.idle_timeout",
    "A connection without a request in flight.",
);
const WRITE_STALL_TIMEOUT: Key = key(
    "server.write_stall_timeout",
    "A client that stops reading while data waits for it.",
);
const HEARTBEAT: Key = key(
    "server.heartbeat",
    "Between two comments in an event stream that is silent, for what stands in front; 0s sends none.",
);
const DRAIN_DELAY: Key = key(
    "server.drain_delay",
    "From SIGTERM until no more connections are accepted.",
);
const DRAIN_LIMIT: Key = key(
    "server.drain_limit",
    "How long streams that are live then may finish.",
);
const H2_MAX_STREAMS: Key = key(
    "server.h2_max_streams",
    "HTTP/2 streams open at once on one connection.",
);
const TRUSTED_PROXIES: Key = key(
    "server.trusted_proxies",
    "Your proxies in front, whose X-Forwarded-* counts: [\"10.0.0.0/8\", \"fd00::1\"].",
);

/// `[server.tls]`: both files or none.
fn tls(fields: &mut Fields) -> Option<TlsFiles> {
    let cert_file = file(fields, &TLS_CERT);
    let key_file = file(fields, &TLS_KEY);
    if let Some(path) = &key_file {
        let origin = fields.last_origin();
        fields.warn_if_open(&TLS_KEY, &origin, path);
    }
    match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => Some(TlsFiles {
            cert_file,
            key_file,
        }),
        (None, None) => None,
        (Some(_), None) => {
            fields.missing(&TLS_KEY, "/path/to/tls.key", ": cert_file needs it");
            None
        }
        (None, Some(_)) => {
            fields.missing(&TLS_CERT, "/path/to/tls.crt", ": key_file needs it");
            None
        }
    }
}

const TLS_CERT: Key = key(
    "server.tls.cert_file",
    "PEM certificate chain; with key_file, serves TLS.",
)
.named(&["GATEWAY_TLS_CERT_FILE"])
.example("\"/etc/tls/tls.crt\"");
const TLS_KEY: Key = key("server.tls.key_file", "PEM private key of the certificate.")
    .named(&["GATEWAY_TLS_KEY_FILE"])
    .example("\"/etc/tls/tls.key\"");

/// A file that can be read, and is watched.
pub(super) fn file(fields: &mut Fields, key: &Key) -> Option<PathBuf> {
    let path: PathBuf = fields.optional(key, any)?;
    let origin = fields.last_origin();
    // The path stays set where the file cannot be read: the problem is reported once.
    let _content = fields.read_file(key, &origin, &path);
    Some(path)
}

/// `[limits]`
pub(super) fn limits(fields: &mut Fields) -> LimitsConfig {
    let mut size = |key: &Key, default, range| fields.read(key, Size(default), bytes(range)).0;
    let max_head = size(&MAX_HEAD, 32 * KIB, KIB..=MIB);
    let max_uri = size(&MAX_URI, 8 * KIB, 256..=64 * KIB);
    let max_body = size(&MAX_BODY, 32 * MIB, KIB..=4 * GIB) as u64;
    let min_body_rate = size(&MIN_BODY_RATE, KIB, 0..=MIB) as u64;
    LimitsConfig {
        max_head,
        max_uri,
        max_body,
        min_body_rate,
        body_grace: fields.read(&BODY_GRACE, Duration::from_secs(10), timeout),
        max_headers: fields.read(&MAX_HEADERS, 100, count(10..=1000)),
        requests_per_user: fields.read(&REQUESTS_PER_USER, 200, count(1..=1_000_000)),
    }
}

const MAX_HEAD: Key = key("limits.max_head", "Bytes of a request's head; more is 431.");
const MAX_URI: Key = key(
    "limits.max_uri",
    "Bytes of a request's target; more is 414.",
);
const MAX_BODY: Key = key("limits.max_body", "Bytes of a request's body; more is 413.");
const MIN_BODY_RATE: Key = key(
    "limits.min_body_rate",
    "Bytes a second that a request's body must come with; less is 408. 0 B allows any.",
);
const BODY_GRACE: Key = key(
    "limits.body_grace",
    "How long a body may fall behind that rate.",
);
const MAX_HEADERS: Key = key(
    "limits.max_headers",
    "Header lines of a request; more is 431.",
);
const REQUESTS_PER_USER: Key = key(
    "limits.requests_per_user",
    "One user's requests in flight; more is 429.",
);

/// `[cross_origin]`
pub(super) fn cross_origin(fields: &mut Fields) -> CrossOriginConfig {
    let public_origins = fields.read(&PUBLIC_ORIGINS, Vec::new(), |all| all_origins(all));
    let allowed_origins: Vec<String> =
        fields.read(&ALLOWED_ORIGINS, Vec::new(), |all| all_origins(all));
    if public_origins.is_empty() && !fields.has_problem(PUBLIC_ORIGINS.path) {
        fields.warnings.push(
            "cross_origin.public_origins is not set: a page is taken for the app's own where its \
             Origin equals the request's Host. Set GATEWAY_PUBLIC_ORIGIN=https://app.example"
                .to_owned(),
        );
    }
    // With several hosts, pages of one may call another.
    if let [public] = &*public_origins
        && allowed_origins.contains(public)
    {
        fields.warnings.push(
            "cross_origin.allowed_origins holds the public origin: the app's own pages need no entry"
                .to_owned(),
        );
    }
    CrossOriginConfig {
        public_origins,
        allowed_origins,
        require_proof: fields.read(&REQUIRE_PROOF, false, any),
    }
}

const PUBLIC_ORIGINS: Key = key(
    "cross_origin.public_origins",
    "The app's own origins, as browsers send them: [\"https://app.example\"].",
)
.named(&["GATEWAY_PUBLIC_ORIGIN"]);
const ALLOWED_ORIGINS: Key = key(
    "cross_origin.allowed_origins",
    "Other origins whose pages may call and read the answers (CORS), within the app's site.",
)
.named(&["GATEWAY_ALLOWED_ORIGINS"]);
const REQUIRE_PROOF: Key = key(
    "cross_origin.require_proof",
    "Refuse requests with neither Origin nor Sec-Fetch-Site.",
);

fn all_origins(origins: &[String]) -> Result<(), String> {
    for (index, origin) in origins.iter().enumerate() {
        check_origin(origin)
            .map_err(|fault| format!("has a wrong entry: number {} {fault}", index + 1))?;
    }
    Ok(())
}

/// `[routes]`
pub(super) fn routes(fields: &mut Fields) -> RoutesConfig {
    RoutesConfig {
        extra: fields.read(&EXTRA_ROUTES, Vec::new(), any),
        request_headers: fields.read(&REQUEST_HEADERS, Vec::new(), |names| {
            check_request_headers(names)
        }),
        response_headers: fields.read(&RESPONSE_HEADERS, Vec::new(), |names| {
            check_response_headers(names)
        }),
    }
}

const EXTRA_ROUTES: Key = key(
    "routes.extra",
    "Routes beside the built-in ones: [\"GET /v1/files/{id}\"].",
);
const REQUEST_HEADERS: Key = key(
    "routes.request_headers",
    "Request headers that also pass to Behest.",
);
const RESPONSE_HEADERS: Key = key(
    "routes.response_headers",
    "Answer headers that also pass to the page.",
);

/// `[telemetry]`
pub(super) fn telemetry(fields: &mut Fields) -> TelemetryConfig {
    let per_second = fields.read(&REFUSALS_PER_SECOND, 10, count(1..=10_000));
    TelemetryConfig {
        access_log: fields.read(&ACCESS_LOG, true, any),
        log_format: fields.read(&LOG_FORMAT, LogFormat::Json, any),
        refusals_per_second: u32::try_from(per_second).unwrap_or(u32::MAX),
        user_hash_key: fields.secret(&USER_HASH_KEY).map(|(secret, _)| secret),
    }
}

const ACCESS_LOG: Key = key("telemetry.access_log", "One line for each request.");
const LOG_FORMAT: Key = key(
    "telemetry.log_format",
    "\"json\" or \"text\"; the access log is JSON in either case.",
);
const REFUSALS_PER_SECOND: Key = key(
    "telemetry.refusals_per_second",
    "Lines a second of requests without a known user, for each code word, after a burst of ten times that; the rest is counted.",
);
const USER_HASH_KEY: Key = key(
    "telemetry.user_hash_key",
    "Key of the user-id hash in logs; default: derived from the Behest key.",
)
.example("{ file = \"/run/secrets/user_hash_key\" }");
