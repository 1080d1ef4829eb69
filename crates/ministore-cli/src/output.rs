//! Writes reports to standard output.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::Serialize;

use crate::{
    exit::{CliError, ExitStatus},
    printable::{printable, printable_json},
};

/// Writes all lines at once, so that a report stays together when several programs share a terminal.
pub(crate) fn lines<T: Display>(lines: impl IntoIterator<Item = T>) -> Result<(), CliError> {
    styled_lines(lines.into_iter().map(|line| printable(&line.to_string()).into_owned()))
}

/// Writes lines that contain styles. Text from elsewhere in them must be [`printable`].
pub(crate) fn styled_lines(lines: impl IntoIterator<Item = String>) -> Result<(), CliError> {
    bytes(lines.into_iter().fold(String::new(), |text, line| text + &line + "\n").as_bytes())
}

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(CliError::output)
}

/// Writes names and values in two columns.
pub(crate) fn pairs(rows: &[(&str, String)]) -> Result<(), CliError> {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines(rows.iter().map(|(name, value)| format!("{name:width$}  {value}")))
}

/// Formats rows, of which the first one contains the headings. Columns are aligned to the right, except those in `left`.
pub(crate) fn columns(rows: &[impl AsRef<[String]>], left: &[&str]) -> Vec<String> {
    let Some(headings) = rows.first().map(AsRef::as_ref) else { return Vec::new() };
    let width = |n: usize| rows.iter().map(|row| row.as_ref()[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..headings.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(headings).zip(&widths).map(|((cell, heading), &width)| {
            if left.contains(&&**heading) { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(|row| line(row.as_ref())).collect()
}

/// Writes one JSON value on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let json = serde_json::to_string(value).map_err(json_failed)?;
    styled_lines([printable_json(&json).into_owned()])
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn json_failed(error: serde_json::Error) -> CliError {
    CliError::new(ExitStatus::Internal, format_args!("cannot write JSON: {error}"))
}
