//! Handles lines that are not records: the policy and the counts.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{
    StopReason,
    line::{LineError, LineErrorKind, LinePosition},
};
use crate::{
    exit::CliError,
    hint::quoted,
    input::Input,
    quarantine::{BadLineOrigin, Quarantine},
    units,
};

/// At most this many skipped lines are reported.
const SKIPPED_SHOWN: u64 = 5;

/// The value of `--on-error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnError {
    Stop,
    Skip,
    Quarantine(PathBuf),
}

impl OnError {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "stop" => Ok(Self::Stop),
            None if text == "skip" => Ok(Self::Skip),
            Some(("quarantine", file)) if !file.is_empty() => Ok(Self::Quarantine(file.into())),
            _ => Err("use stop, skip or quarantine=FILE".to_owned()),
        }
    }
}

/// Formats it as on the command line.
impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => f.write_str("stop"),
            Self::Skip => f.write_str("skip"),
            Self::Quarantine(file) => write!(f, "quarantine={}", file.display()),
        }
    }
}

/// The number of handled bad lines, by action.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BadLineCounts {
    pub(crate) skipped: u64,
    pub(crate) quarantined: u64,
}

/// A bad line, without its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BadLine<'a> {
    pub(crate) input: &'a Input,
    /// The name of the input in the quarantine file.
    pub(crate) origin: &'a str,
    pub(crate) position: LinePosition,
    pub(crate) error: &'a LineError,
}

impl BadLine<'_> {
    /// The error of a run that stops at this line.
    pub(crate) fn failure(&self) -> CliError {
        self.failure_with(
            "fix the line, or leave it out with --on-error skip or quarantine=FILE; the lines before it are durable, and \
             --resume continues after them",
        )
    }

    /// The error of an import, which then removes its output.
    pub(crate) fn failure_of_import(&self) -> CliError {
        self.failure_with(
            "fix the line, or leave it out: use 'ministore ingest' with --on-error skip or quarantine=FILE; if the file is damaged, \
             'ministore import --repair SOURCE JOURNAL' keeps what is whole",
        )
    }

    fn failure_with(&self, hint: &str) -> CliError {
        let LineError { offset, reason, .. } = self.error;
        let failure = CliError::bad_line(&self.input.name(), self.position, *offset, reason);
        failure.hint(self.hint().unwrap_or_else(|| hint.to_owned()))
    }

    /// The next step for a fault of the whole file: leaving the line out would not help.
    fn hint(&self) -> Option<String> {
        let file = self.input.path().map_or_else(|| "…".into(), quoted);
        let convert = |filter: &str| match self.input {
            Input::Stdin => format!("… | jq -c {filter} | ministore ingest JOURNAL"),
            Input::File(_) => format!("jq -c {filter} {file} | ministore ingest JOURNAL"),
        };
        Some(match self.error.kind {
            LineErrorKind::MultiLine { is_array: false, .. } => {
                format!("write one value per line: {}", convert("."))
            }
            LineErrorKind::MultiLine { is_array: true, .. } => {
                format!("write one element of the array per line: {}", convert("'.[]'"))
            }
            LineErrorKind::TrailingComma => {
                "write one value per line, without commas between them (sed 's/,$//')".to_owned()
            }
            LineErrorKind::Unterminated => {
                "if the number is complete, end its line with a line feed; then run this again (ingest: with --resume)"
                    .to_owned()
            }
            LineErrorKind::Single => return None,
        })
    }

    fn quarantine_origin(&self) -> BadLineOrigin<'_> {
        let offset = self.error.offset as u64;
        BadLineOrigin {
            input: self.origin,
            line: self.position.number,
            column: offset + 1,
            offset: Some(self.position.start + offset),
            reason: &self.error.reason,
        }
    }
}

/// Implements the policy.
#[derive(Debug)]
pub(crate) struct BadLines {
    sink: BadLineSink,
    counts: BadLineCounts,
    /// Warnings that are not printed yet: a progress bar may be in the way.
    warnings: Vec<String>,
}

/// The destination of bad lines.
#[derive(Debug)]
pub(super) enum BadLineSink {
    /// None: the run stops at the first one.
    Stop,
    Skip,
    Quarantine(Quarantine),
}

impl BadLines {
    pub(super) fn new(sink: BadLineSink) -> Self {
        Self { sink, counts: BadLineCounts::default(), warnings: Vec::new() }
    }

    pub(crate) fn counts(&self) -> BadLineCounts {
        self.counts
    }

    fn quarantine(&mut self) -> Option<&mut Quarantine> {
        if let BadLineSink::Quarantine(quarantine) = &mut self.sink { Some(quarantine) } else { None }
    }

    /// Handles a line.
    pub(crate) fn add(&mut self, line: BadLine<'_>, raw: &[u8]) -> Result<(), StopReason> {
        self.count(&line)?;
        if let Some(quarantine) = self.quarantine() {
            quarantine.add(line.quarantine_origin(), raw)?;
        }
        Ok(())
    }

    /// Starts a line that is too long for memory.
    pub(crate) fn begin_long(&mut self, line: BadLine<'_>) -> Result<(), StopReason> {
        self.count(&line)?;
        if let Some(quarantine) = self.quarantine() {
            quarantine.begin_long(line.quarantine_origin())?;
        }
        Ok(())
    }

    pub(crate) fn add_piece(&mut self, piece: &[u8], is_last: bool) -> Result<(), CliError> {
        let Some(quarantine) = self.quarantine() else { return Ok(()) };
        quarantine.add_piece(piece)?;
        if is_last { quarantine.end_long() } else { Ok(()) }
    }

    fn count(&mut self, line: &BadLine<'_>) -> Result<(), StopReason> {
        match &self.sink {
            BadLineSink::Stop => return Err(line.failure().into()),
            BadLineSink::Quarantine(_) => self.counts.quarantined += 1,
            BadLineSink::Skip => {
                self.counts.skipped += 1;
                if self.counts.skipped <= SKIPPED_SHOWN {
                    let column = line.error.offset + 1;
                    let (name, number, reason) =
                        (line.input.name(), line.position.number, &line.error.reason);
                    self.warnings.push(format!("{name}:{number}:{column}: {reason} (skipped)"));
                }
            }
        }
        Ok(())
    }

    /// Takes the warnings about skipped lines.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Writes what was collected. Called while no more input is available.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        self.quarantine().map_or(Ok(()), Quarantine::flush)
    }

    /// Makes the quarantine file durable.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        if let Some(more) = self.counts.skipped.checked_sub(SKIPPED_SHOWN).filter(|&more| more > 0) {
            self.warnings.push(format!("{} skipped", units::counted(more, "more bad line")));
        }
        self.quarantine().map_or(Ok(()), Quarantine::persist)
    }
}

/// Makes the path of a quarantine file absolute: a resumed run may be started in another directory.
pub(super) fn absolute(policy: OnError) -> OnError {
    let absolute = |file: &Path| std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    match policy {
        OnError::Quarantine(file) => OnError::Quarantine(absolute(&file)),
        other => other,
    }
}
