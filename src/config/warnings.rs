//! What works, but is probably not meant: each warning names the key, what follows from it, and what
//! to write instead.
//!
//! No value is quoted that could be a secret. What can be judged while a key is read is warned of
//! there; here are the judgements that need the whole configuration.

mod budgets;

use std::time::Duration;

use http::HeaderName;

use super::model::{AdminConfig, Config, RoutesConfig};
use crate::admission::cross_origin::CrossOriginConfig;
use crate::admission::routes::DEFAULT_ROUTES;
use crate::secret::Secret;
use crate::session::{CookieName, FormatConfig, ProviderKind, SessionConfig};

/// Minted tokens cannot be revoked: longer than this, a stolen one is worth having.
const LONG_TTL: Duration = Duration::from_hours(1);

/// Everything that looks wrong in `config`.
pub(super) fn of(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    admin(&config.admin, &mut warnings);
    origins(&config.cross_origin, &mut warnings);
    cookies(&config.session, &config.cross_origin, &mut warnings);
    shadowed_cookies(&config.session, &mut warnings);
    fronts(config, &mut warnings);
    app(config, &mut warnings);
    routes(&config.routes, &mut warnings);
    headers(&config.routes, &mut warnings);
    budgets::add(config, &mut warnings);
    short_secrets(config, &mut warnings);
    repeated_secrets(config, &mut warnings);
    if config.mint.ttl > LONG_TTL {
        let ttl = humantime::format_duration(config.mint.ttl);
        warnings.push(format!(
            "mint.ttl is {ttl}: a token cannot be revoked before its end, so a signed-out or stolen \
             one works that long; set mint.ttl = \"15m\""
        ));
    }
    warnings
}

/// What an app hears of its own address decides its cookies' names.
fn app(config: &Config, warnings: &mut Vec<String>) {
    if config.app.is_none() || !config.cross_origin.public_origins.is_empty() {
        return;
    }
    let is_told = config.server.tls.is_some() || !config.server.trusted_proxies.is_empty();
    if !is_told {
        warnings.push(
            "app.url is set, but not how browsers reach it: the app is told http and the request's \
             Host. Behind anything that speaks https an app then drops its __Secure- cookies, and \
             everybody is signed out. Set GATEWAY_PUBLIC_ORIGIN=https://app.example"
                .to_owned(),
        );
    }
}

fn admin(admin: &AdminConfig, warnings: &mut Vec<String>) {
    if admin.listen.ip().is_loopback() {
        return;
    }
    let shown = if admin.token.is_some() {
        "health and metrics, and with admin.token the configuration,"
    } else {
        "health and metrics"
    };
    warnings.push(format!(
        "admin.listen is {}: {shown} can be read from other machines, in plaintext; keep the port \
         out of reach of the public (a firewall, a NetworkPolicy, no Ingress or Service port), or \
         set GATEWAY_ADMIN_LISTEN=127.0.0.1:{}",
        admin.listen,
        admin.listen.port()
    ));
}

fn origins(config: &CrossOriginConfig, warnings: &mut Vec<String>) {
    let lists = [
        ("cross_origin.public_origins", &config.public_origins),
        ("cross_origin.allowed_origins", &config.allowed_origins),
    ];
    for (key, origins) in lists {
        for origin in origins.iter().filter(|origin| is_plaintext(origin)) {
            warnings.push(format!(
                "{key} holds {origin}: its pages come unencrypted, so anyone on the way can change \
                 them and speak as their users; serve them by https and write https://"
            ));
        }
    }
    let public = &config.public_origins;
    for origin in &config.allowed_origins {
        if !public.is_empty() && public.iter().all(|own| site(own) != site(origin)) {
            warnings.push(format!(
                "cross_origin.allowed_origins holds {origin}, which is another site than {}: \
                 browsers do not send it the session cookie (SameSite=Lax), so its requests end as \
                 session_missing; serve that page from a host of the app's own site",
                public.join(", ")
            ));
        }
    }
}

fn is_plaintext(origin: &str) -> bool {
    let Some(rest) = origin.strip_prefix("http://") else {
        return false;
    };
    let host = host(rest);
    !(host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || is_loopback_v4(host))
}

fn is_loopback_v4(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>()
        .is_ok_and(|address| address.is_loopback())
}

/// The host of `host[:port]`.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        Some(_) | None => authority,
    }
}

/// What two origins of one site share at least: the scheme and the last two labels. Where the public
/// suffix is longer (`co.uk`), other sites share it too: then nothing is said, and nothing false is.
fn site(origin: &str) -> (&str, &str) {
    let (scheme, rest) = origin.split_once("://").unwrap_or(("", origin));
    let host = host(rest);
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    let from = host.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
    let labels = host.get(from..).unwrap_or(host);
    (scheme, if is_address { host } else { labels })
}

/// The first provider with a name decides about its cookie, so that a later one never sees it.
fn shadowed_cookies(session: &SessionConfig, warnings: &mut Vec<String>) {
    let mut seen: Vec<(usize, CookieName)> = Vec::new();
    for (at, provider) in session.providers.iter().enumerate() {
        let names = match provider.cookie_names.as_slice() {
            [] => provider.kind.default_cookie_names(),
            names => names.to_vec(),
        };
        for name in names {
            if let Some((first, _)) = seen.iter().find(|(_, known)| *known == name) {
                warnings.push(format!(
                    "session.providers[{at}] never sees the cookie {name}: session.providers[{first}] \
                     looks for it too, and decides; give one of them other cookie_names"
                ));
            } else {
                seen.push((at, name));
            }
        }
    }
}

/// A name without a prefix can be set by any host of the site, and over http: then a page signs its
/// visitor in as somebody else (RFC 6265bis section 4.1.3). Only libraries that have names with a
/// prefix are reminded of them: the others' names are not the app's to choose, or not meant to have one.
fn cookies(session: &SessionConfig, origins: &CrossOriginConfig, warnings: &mut Vec<String>) {
    let public = &origins.public_origins;
    if public.is_empty() || !public.iter().all(|origin| origin.starts_with("https://")) {
        return;
    }
    let has_prefix = |kind: ProviderKind| {
        let mut names = kind.default_cookie_names().into_iter();
        names.any(|name| name.as_str().starts_with("__Secure-"))
    };
    let providers = session.providers.iter().filter(|p| has_prefix(p.kind));
    let names = providers.flat_map(|p| &p.cookie_names);
    for name in names {
        let name = name.as_str();
        if !name.starts_with("__Secure-") && !name.starts_with("__Host-") {
            warnings.push(format!(
                "session.providers[].cookie_names holds {name}: another host of the site, or anyone \
                 on the way by http, can set a cookie of that name; over https the app's should be \
                 called __Host-{name} or __Secure-{name}"
            ));
        }
    }
}

/// An app that is asked is told how the browser reaches it, and its cookies' names depend on that.
fn fronts(config: &Config, warnings: &mut Vec<String>) {
    let asks = |format: &FormatConfig| matches!(format, FormatConfig::Lookup(_));
    let server = &config.server;
    let providers = &config.session.providers;
    if !config.cross_origin.public_origins.is_empty()
        || server.tls.is_some()
        || !server.trusted_proxies.is_empty()
    {
        return;
    }
    if let Some(provider) = providers.iter().find(|provider| asks(&provider.format)) {
        warnings.push(format!(
            "session.providers holds {}, and nothing says how browsers reach the app: it is told \
             http, at which an app behind https finds no __Secure- cookie and takes everyone for \
             signed out; set cross_origin.public_origins (GATEWAY_PUBLIC_ORIGIN=https://…)",
            provider.kind.label()
        ));
    }
}

/// Words of paths that administer: a browser should not reach them with its user's token.
const ADMINISTRATION: [&str; 8] = [
    "admin", "internal", "keys", "projects", "secrets", "tenants", "tokens", "users",
];

fn routes(config: &RoutesConfig, warnings: &mut Vec<String>) {
    for route in &config.extra {
        let text = route.to_string();
        let path = text.split_once(' ').map_or("", |(_, path)| path);
        let mut segments = path.split('/');
        if DEFAULT_ROUTES.contains(&text.as_str()) {
            warnings.push(format!(
                "routes.extra holds {text}, which is always offered: take it out"
            ));
        } else if path.contains("{id}/{id}") {
            warnings.push(format!(
                "routes.extra holds {text}, where {{id}}/{{id}} stands for any two names: write the \
                 second one out, a route for each"
            ));
        } else if segments.any(|segment| ADMINISTRATION.contains(&segment)) {
            warnings.push(format!(
                "routes.extra holds {text}: every signed-in user can call it; make sure that it \
                 administers nothing"
            ));
        }
    }
}

/// Parts of names of headers that servers are made to trust, or that carry secrets.
const TRUSTED: [&str; 12] = [
    "admin", "auth", "cookie", "email", "internal", "key", "role", "secret", "tenant", "tier",
    "token", "user",
];

fn headers(config: &RoutesConfig, warnings: &mut Vec<String>) {
    let suspect = |name: &&HeaderName| TRUSTED.iter().any(|word| name.as_str().contains(word));
    for name in config.request_headers.iter().filter(suspect) {
        warnings.push(format!(
            "routes.request_headers holds {name}: a page chooses its value; make sure that Behest \
             does not take it for the gateway's word"
        ));
    }
    for name in config.response_headers.iter().filter(suspect) {
        warnings.push(format!(
            "routes.response_headers holds {name}: its value reaches the page's scripts; make sure \
             that it is no secret"
        ));
    }
}

/// Every secret that has no bound of its own elsewhere, by its key.
fn secrets(config: &Config) -> Vec<(&'static str, &Secret)> {
    let named = [
        ("session_id.key", config.session.session_id.key.as_ref()),
        ("admin.token", config.admin.token.as_ref()),
        (
            "telemetry.user_hash_key",
            config.telemetry.user_hash_key.as_ref(),
        ),
        ("usage.hash_key", config.usage.hash_key.as_ref()),
    ];
    let named = named.into_iter();
    named
        .filter_map(|(key, secret)| Some((key, secret?)))
        .collect()
}

fn short_secrets(config: &Config, warnings: &mut Vec<String>) {
    for (key, secret) in secrets(config) {
        if secret.len() < 32 {
            warnings.push(format!(
                "{key} has only {} bytes, and 32 are the least that cannot be guessed; make one with \
                 `openssl rand -base64 33`",
                secret.len()
            ));
        }
    }
}

fn repeated_secrets(config: &Config, warnings: &mut Vec<String>) {
    let mut all = vec![("mint.key (BEHEST_KEY)", &config.mint.key)];
    let providers = config.session.providers.iter();
    let sessions = providers.flat_map(|provider| provider.format.secrets());
    all.extend(sessions.map(|secret| ("session.secrets (AUTH_SECRET)", secret)));
    all.extend(secrets(config));
    let mut told = Vec::new();
    for (at, (key, secret)) in all.iter().enumerate() {
        let rest = all.iter().skip(at + 1);
        for (other, _) in rest.filter(|(_, other)| other.expose() == secret.expose()) {
            if key != other && !told.contains(&(key, other)) {
                told.push((key, other));
                warnings.push(format!(
                    "{key} and {other} are the same secret: who learns one has both; give each its \
                     own"
                ));
            }
        }
    }
}
