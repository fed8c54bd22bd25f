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

mod admin;
mod admission;
mod app;
mod appz;
mod broken_answers;
mod broken_upstreams;
mod budgets;
mod client_address;
mod command_line;
mod compat;
mod confidentiality;
mod cors;
mod cross_origin;
mod disconnects;
mod doctor;
mod drain;
mod drain_under_load;
mod floods_http1;
mod floods_http2;
mod floors;
mod headers;
mod health;
mod heartbeats;
mod isolation;
mod layers;
mod lookup;
mod main_path;
mod mint_faults;
mod mutations;
mod preflights;
mod raw_requests;
mod redis;
mod refusal_lines;
mod refused_bodies;
mod rejected_tokens;
mod replicas;
mod request_bodies;
mod revocations;
mod rotation;
mod session_ids;
mod sessions;
mod signed;
mod slow_bodies;
mod slow_heads;
mod soak;
mod streaming;
mod support;
mod targets;
mod telemetry;
mod tls;
mod tokens;
mod upstream_connections;
mod upstream_faults;
mod usage_pages;
mod usage_sums;
mod websockets;
mod wiped;
mod withheld_errors;
