//! The real gateway over real sockets, with the emulator as Behest: a file for each subject.

#![expect(unreachable_pub, reason = "a test binary's modules have no outside")]

mod disconnects;
mod headers;
mod main_path;
mod request_bodies;
mod streaming;
mod support;
mod upstream_faults;
