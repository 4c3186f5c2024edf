#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nixfleet::dashboard::fuzz::secrets(bytes));
