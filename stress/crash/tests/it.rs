//! What a journal must survive of its processes, on every backend that runs here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

#[path = "it/ends.rs"]
mod ends;
#[path = "it/exec.rs"]
mod exec;
#[path = "it/forks.rs"]
mod forks;
#[path = "it/kills.rs"]
mod kills;

use std::path::Path;

use ministore_crash::place::{self, On};

/// The program that plays the other processes.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ministore-crash"))
}

/// Where journals are made.
fn parent() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn on_each_backend(test: impl Fn(On)) {
    for on in place::backends(parent()) {
        // Shown where the test fails.
        eprintln!("on {on}:");
        test(on);
    }
}
