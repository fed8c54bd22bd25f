//! behest-gateway: a session cookie goes in, a per-user Behest token goes upstream, the stream comes back.
pub mod admission;
pub mod client;
pub mod clock;
pub mod config;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod error;
pub mod forward;
pub mod gateway;
pub mod generation;
pub mod identity;
pub mod secret;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod tls;
pub mod token;
