//! behest-gateway: a session cookie goes in, a per-user Behest token goes upstream, the stream comes back.
pub mod client;
pub mod clock;
pub mod config;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod identity;
pub mod inspect;
pub mod secret;
pub mod session;
pub mod telemetry;
pub mod token;
