//! Fuzzes requests as bytes, through hyper and admission: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::request_head::check(data));
