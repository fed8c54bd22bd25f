//! The real gateway over real sockets, with the emulator as Behest: a file for each subject.

#![expect(unreachable_pub, reason = "a test binary's modules have no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::missing_panics_doc,
    reason = "in a test each of these is a failed assertion"
)]

mod admission;
mod broken_answers;
mod client_address;
mod command_line;
mod cors;
mod cross_origin;
mod disconnects;
mod drain;
mod headers;
mod layers;
mod main_path;
mod preflights;
mod refused_bodies;
mod request_bodies;
mod rotation;
mod session_ids;
mod sessions;
mod streaming;
mod support;
mod targets;
mod telemetry;
mod tls;
mod tokens;
mod upstream_connections;
mod upstream_faults;
