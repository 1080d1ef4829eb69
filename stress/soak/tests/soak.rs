//! A few seconds of the soak, and some hundred MiB through a small queue, on each backend.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::{
    io::{self, Write},
    process::Command,
};

/// Some hundred MiB: many times what may be in memory, and some segments.
const PASSED_MIB: &str = "256";

fn holds(backend: &str, args: &[&str], verdict: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ministore-soak"));
    command.args(args).args(["--backend", backend, "--dir", env!("CARGO_TARGET_TMPDIR")]);
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if backend == "uring" && stderr.contains("BackendUnavailable") {
        let _ = writeln!(io::stderr(), "\nSKIPPED: the soak on io_uring: it is not available");
        return;
    }
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains(verdict), "{stdout}");
    eprintln!("{stdout}");
}

fn nothing_is_lost_or_leaked(backend: &str) {
    let verdict = "nothing was lost, repeated, reordered or misnumbered; nothing leaked";
    holds(backend, &["--seconds", "5"], verdict);
}

fn memory_is_bounded(backend: &str) {
    holds(backend, &["--pass", PASSED_MIB, "--queue", "1"], "memory is bounded");
}

#[test]
fn nothing_is_lost_or_leaked_on_io_uring() {
    nothing_is_lost_or_leaked("uring");
}

#[test]
fn nothing_is_lost_or_leaked_on_blocking_calls() {
    nothing_is_lost_or_leaked("blocking");
}

#[test]
fn memory_is_bounded_by_the_limits_whatever_passes_on_io_uring() {
    memory_is_bounded("uring");
}

#[test]
fn memory_is_bounded_by_the_limits_whatever_passes_on_blocking_calls() {
    memory_is_bounded("blocking");
}
