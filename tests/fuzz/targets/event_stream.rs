//! Fuzzes Behest's answers, relayed in any pieces and broken off anywhere: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::event_stream::check(data));
