//! Prints lines to standard error, subject to `--quiet` and `--json`.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::style::{Colors, HINT, WARNING};

/// Errors are printed as JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Only errors are printed.
static QUIET: AtomicBool = AtomicBool::new(false);

pub(crate) fn set_json(on: bool) {
    JSON.store(on, Ordering::Relaxed);
}

pub(crate) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

pub(crate) fn set_quiet(on: bool) {
    QUIET.store(on, Ordering::Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A path in a message may contain line feeds.
pub(super) fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// Prints what to do next, after a report on standard output.
pub(crate) fn hint(hint: impl Display) {
    if !is_quiet() {
        eprint_line(&format!("{} {hint}", Colors::of_stderr().with(HINT, "hint:")));
    }
}

/// Prints one line to standard error.
fn eprint_line(line: &str) {
    write(&one_line(line));
}

/// Writes several lines at once.
pub(super) fn write(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints one line to standard error that is not an error.
pub(crate) fn info(message: impl Display) {
    if !is_quiet() {
        eprint_line(&format!("ministore: {message}"));
    }
}

/// Prints one line to standard error about something that does not stop the program.
pub(crate) fn warn(message: impl Display) {
    if !is_quiet() {
        eprint_line(&format!("ministore: {} {message}", Colors::of_stderr().with(WARNING, "warning:")));
    }
}
