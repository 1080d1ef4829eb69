#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ministore_uring_fuzz::in_directory(|dir| ministore_uring::internals::fuzz::maintenance(data, dir));
});
