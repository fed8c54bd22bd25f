//! behest-gateway: a session cookie goes in, a per-user Behest token goes upstream, the stream comes
//! back.
//!
//! # A request's life
//!
//! One straight function, [`gateway::Gateway::handle`], which admits and calls `forward`, top to bottom:
//!
//! 1. **admitted** ([`admission`]): limits of the head, framing, route table, cross-origin defence,
//!    declared body. Only an [`admission::Admitted`] goes on, and only it can be given a token.
//!    A preflight ends here; what pages on other origins may read is decided here for every answer.
//! 2. **authenticated** ([`session`]): the app's session cookie becomes an [`identity::Identity`],
//!    unless an operator has ended the session ([`revocation`]). From here on the request, and then its
//!    answer, ends when that happens.
//! 3. **held** ([`forward::request_body`]): a small body is read whole, so that it can be sent again; then
//!    what it may cost is reserved ([`charge`]).
//! 4. **given a token** ([`token`]): from the cache, or from one mint that everyone shares.
//! 5. **rewritten** ([`forward::headers`]): headers by allow-list, then the bearer and the session id.
//! 6. **forwarded** ([`client`]): over this worker's own connections; a 401 is minted for and sent
//!    once more.
//! 7. **answered** ([`forward::body`]): streamed, observed, and settled and logged when its body has ended.
//!
//! What is outside `/v1` goes to the app after the first step, where one is configured ([`app`]): as it
//! is, without a session being looked for, and by a way that no token can take.
//!
//! Every failure on the way is a [`error::GatewayError`] and becomes a response in [`mod@error`], the
//! only file that knows status codes.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | session | what the app's cookie says: a user, a tier, an end |
//! | identity | user, tier and session id: the key of the token cache and the only input of a mint |
//! | token | the user's own short-lived Behest JWT |
//! | mint | to make a token: by one call with the API key, or by signing locally |
//! | upstream, downstream | Behest; the caller |
//! | generation | one configuration made ready to serve; replaced whole on reload |
//! | worker | a thread with a runtime and upstream connections of its own |
//!
//! # Where things are
//!
//! | module | what it owns |
//! |---|---|
//! | [`config`] | every key, its sources, its checks; what `check` prints |
//! | [`server`] | listeners, workers, connections, rotation, drain, health and metrics pages |
//! | [`generation`] | a gateway built from a configuration, and what outlives it |
//! | [`gateway`] | the straight function |
//! | [`mod@error`] | failures as responses |
//! | [`admission`] | what may be asked |
//! | [`session`] | THE list of session providers; [`mod@inspect`] explains one cookie |
//! | [`token`] | THE list of mint modes; the cache |
//! | [`revocation`] | sessions that an operator has ended |
//! | [`charge`] | one request's cost: claimed, read, settled, told |
//! | [`metering`] | tokens and cost, read from answers as they pass |
//! | [`budget`] | what a user may spend: limits, reservations, the stores that count |
//! | [`usage`] | one record a request: where it goes, and what is shown of all of them |
//! | [`forward`] | the way to Behest and back |
//! | [`app`] | the way to the app, for everything outside `/v1` |
//! | [`client`], [`tls`] | the one way out; TLS in both directions |
//! | [`telemetry`] | metrics, and what may be logged |
//! | [`health`] | whether a gateway on this machine is ready |
//! | [`doctor`] | what may be wrong around a gateway, a file for each check |
//! | [`clock`], [`secret`], [`identity`], `flight`, `retry_after` | what everything stands on |
//! | `emulator` | Behest as a double (feature `emulator`); shares no code with the gateway |
//!
//! Who may know whom is enforced by a test (`tests/it/layers.rs`).
//!
//! # Why it is like this
//!
//! - **No tower, no framework.** Seven fixed steps need no algebra, and an argument cannot be
//!   forgotten where a request extension can.
//! - **An allow-list in both directions.** Duende.BFF's proxy path forwarded the session cookie
//!   upstream (GHSA-vvg7-p7jw-8qr3); here a header has no way through unless it is named.
//! - **One worker, one runtime, one pool.** An upstream pool for each thread instead of one shared,
//!   and a current-thread runtime for each core, were the two largest savings measured on proxies of
//!   this kind.
//! - **A dropped answer closes its upstream connection.** The Stop button must stop the bill, whatever
//!   the upstream is doing, so a lease ends its connection's driver itself.
//! - **An idle connection is looked at before it is used.** Bytes that nobody asked for are the next
//!   user's answer otherwise, and the runtime may not have heard of them yet ([`client`]).
//! - **Tokens need no shared store.** Session ids are derived and minting twice is harmless. What replicas
//!   share, where they do, is counters and revocations ([`budget::store`]).
//! - **One rule for every limit.** Let through while used and reserved are below it; a limit is then
//!   passed by one estimate at most, in memory and in Redis alike.

pub mod admission;
pub mod app;
pub mod budget;
pub mod charge;
pub mod client;
pub mod clock;
pub mod config;
pub mod doctor;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod error;
mod flight;
pub mod forward;
pub mod gateway;
pub mod generation;
pub mod health;
pub mod identity;
pub mod inspect;
pub mod metering;
#[cfg(test)]
mod properties;
mod retry_after;
pub mod revocation;
pub mod secret;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod usage;
