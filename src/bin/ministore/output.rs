//! Owns standard output: what is written there, and what a reader that went away means.

use std::{
    fmt::Display,
    io::{self, Write},
};

use crate::exit::Failure;

/// Writes whole lines at once, so that a report is not torn when several programs share a terminal.
pub(crate) fn lines<T: Display>(lines: impl IntoIterator<Item = T>) -> Result<(), Failure> {
    let text = lines.into_iter().fold(String::new(), |text, line| text + &line.to_string() + "\n");
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::output)
}

/// A report of names and values, in two columns.
pub(crate) fn pairs(rows: &[(&str, String)]) -> Result<(), Failure> {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines(rows.iter().map(|(name, value)| format!("{name:width$}  {value}")))
}

/// One JSON value on one line.
pub(crate) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    lines([value])
}
