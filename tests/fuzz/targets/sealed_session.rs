//! Fuzzes sealed sessions, genuine, odd and damaged: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::sealed_session::check(data));
