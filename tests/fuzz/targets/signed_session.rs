//! Fuzzes JWTs, genuine, odd, damaged and forged: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::signed_session::check(data));
