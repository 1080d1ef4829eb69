//! A short soak and a memory test on each backend.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::{
    io::{self, Write},
    process::Command,
};

/// MiB to append: many times the allowed memory, and several segments.
const APPEND_MIB: &str = "256";

fn check_run(backend: &str, args: &[&str], last_line: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ministore-soak"));
    command.args(args).args(["--backend", backend, "--dir", env!("CARGO_TARGET_TMPDIR")]);
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if backend != "blocking" && stderr.contains("BackendUnavailable") {
        let _ = writeln!(io::stderr(), "\nSKIPPED: soak on {backend}: io_uring is not available");
        return;
    }
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains(last_line), "{stdout}");
    eprintln!("{stdout}");
}

fn check_soak(backend: &str) {
    let last_line = "nothing was lost, repeated, reordered or misnumbered; nothing leaked";
    check_run(backend, &["--seconds", "5"], last_line);
}

fn check_memory(backend: &str) {
    check_run(backend, &["--pass", APPEND_MIB, "--queue", "1"], "memory is bounded");
}

#[test]
fn soak_loses_and_leaks_nothing_on_uring() {
    check_soak("io_uring");
}

#[test]
fn soak_loses_and_leaks_nothing_on_tokio_uring() {
    check_soak("tokio-uring");
}

#[test]
fn soak_loses_and_leaks_nothing_on_blocking() {
    check_soak("blocking");
}

#[test]
fn memory_is_bounded_by_limits_on_uring() {
    check_memory("io_uring");
}

#[test]
fn memory_is_bounded_by_limits_on_tokio_uring() {
    check_memory("tokio-uring");
}

#[test]
fn memory_is_bounded_by_limits_on_blocking() {
    check_memory("blocking");
}
