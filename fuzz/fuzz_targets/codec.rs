#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ministore_uring::internals::fuzz::codec(data));
