//! Process kills, exits, forks and execs that a journal must survive, on every available backend.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

#[path = "it/abrupt_exit.rs"]
mod abrupt_exit;
#[path = "it/exec.rs"]
mod exec;
#[path = "it/fork.rs"]
mod fork;
#[path = "it/kills.rs"]
mod kills;

use std::path::Path;

use ministore_crash::workdir;
use ministore_uring::Backend;

/// Returns the program that runs the child processes.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ministore-crash"))
}

/// Returns the directory for the journal directories.
fn base_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn on_each_backend(test: impl Fn(Backend)) {
    for backend in workdir::backends(base_dir()) {
        // The test harness shows this line if the test fails.
        eprintln!("on {backend}:");
        test(backend);
    }
}
