//! What the gateway promises of any input, as checks: each takes bytes and panics where a promise is
//! broken.
//!
//! The fuzz targets run them, and so do the gateway's own unit tests (`src/properties.rs`), with
//! generated input and with the seeds. Where a check knows the right answer, it knows it from a
//! naive reading of the rules and shares no code with the gateway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "in a check each of these is a broken promise"
)]

/// The crate under test. In the gateway's unit tests this name stands for the crate itself.
use behest_gateway as gateway;

pub mod authorization;
pub mod config;
pub mod cookie_header;
pub mod cross_origin;
pub mod event_stream;
pub mod header_rewrite;
pub mod input;
pub mod mint_answer;
pub mod other_sessions;
pub mod other_stands;
pub mod request_head;
pub mod route_table;
pub mod rules;
pub mod scripted;
pub mod sealed_session;
#[expect(dead_code, reason = "shared with the unit tests, which use all of it")]
#[path = "../../../src/session/sealer.rs"]
mod sealer;
pub mod sessions;
pub mod signed_session;
pub mod usage_meter;
pub mod usage_swallow;
pub mod writers;
