//! Prints lines to standard error, subject to `--quiet` and `--json`.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::Map;
use tracing::Level;

use super::log;
use crate::{
    printable::printable,
    style::{Colors, HINT},
};

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

/// Prints what to do next, after a report on standard output.
pub(crate) fn hint(hint: impl Display) {
    if is_quiet() {
        return;
    }
    let text = hint.to_string();
    if log::is_json() {
        return write(&log::object(Level::INFO, &format!("hint: {text}"), Map::new()));
    }
    let text = printable(&text);
    write(&log::plain(Level::INFO, &format!("{} {text}", Colors::of_stderr().with(HINT, "hint:"))));
}

/// Prints what the argument parser reports about a command line of [`printable`] arguments.
pub(crate) fn usage(error: &clap::Error) {
    let text = error.render();
    let text = if Colors::of_stderr().is_on() { text.ansi().to_string() } else { text.to_string() };
    write(&log::plain(Level::ERROR, text.trim_end()));
}

/// Writes lines of [`printable`] text at once.
pub(super) fn write(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints one line to standard error that is not an error.
pub(crate) fn info(message: impl Display) {
    if !is_quiet() {
        write(&log::line(Level::INFO, &message.to_string(), Map::new()));
    }
}

/// Prints one line to standard error about something that does not stop the program.
pub(crate) fn warn(message: impl Display) {
    if !is_quiet() {
        write(&log::line(Level::WARN, &message.to_string(), Map::new()));
    }
}
