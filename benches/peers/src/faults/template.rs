//! Writes small logs for tests of damage, and reopens the damaged copies.

use std::{io, path::Path};

use super::{
    child_process::{ChildEvent, ChildProcess, OpenOutcome},
    integrity::{IntegrityReport, ReplayResult, SubmittedRecords},
    report::normalized_words,
    wire::{Command, Reply, varied_fill_bytes},
};
use crate::log_under_test::{LogKind, Record};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterExit {
    Closed,
    Killed,
}

/// Writes `count` records of appender 0, starting with number `from`; all must be acknowledged.
///
/// # Errors
///
/// The log did not acknowledge all records although there was no fault.
pub fn write(
    kind: LogKind,
    dir: &Path,
    segment_bytes: u64,
    from: u64,
    count: u64,
    exit: WriterExit,
) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut process = ChildProcess::start(kind, dir, segment_bytes)?.opened(kind)?;
    let events = process.execute(&Command::Append { appender: 0, from, count, fill_bytes: 0 });
    let acked = events.iter().filter(|event| matches!(event, ChildEvent::Reply(Reply::Acked(..)))).count();
    if acked as u64 != count {
        return Err(io::Error::other(format!(
            "{}: not acknowledged without a fault: {events:?}",
            kind.name()
        )));
    }
    match exit {
        WriterExit::Closed => drop(process.execute(&Command::Close)),
        WriterExit::Killed => drop(process.kill()),
    }
    Ok(())
}

/// Returns the records that [`write`] wrote.
pub fn records(numbers: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    numbers.map(|number| Record::new(0, number, varied_fill_bytes(number))).collect()
}

#[derive(Debug)]
pub enum ReopenOutcome {
    /// The log returned records without an error: its message about recovered damage, and the integrity report.
    Read(Option<String>, IntegrityReport),
    Failed(String),
    /// The log panicked, crashed or hung: how.
    Crashed(String),
}

impl ReopenOutcome {
    pub fn label(&self) -> String {
        match self {
            Self::Read(None, _) => "opened".to_string(),
            Self::Read(Some(_), _) => "opened and told".to_string(),
            Self::Failed(_) => "refused".to_string(),
            Self::Crashed(how) => format!("broke: {}", normalized_words(how)),
        }
    }

    /// Returns the log's message and the integrity report if the log was readable.
    ///
    /// # Errors
    ///
    /// A label of the failure, with its message shortened, if the log was not readable.
    pub fn shortened(self, shorten: fn(&str) -> String) -> Result<(Option<String>, IntegrityReport), String> {
        match self {
            Self::Read(message, report) => Ok((message, report)),
            Self::Failed(error) => Err(format!("refused: {}", shorten(&error))),
            Self::Crashed(how) => Err(format!("broke: {}", shorten(&how))),
        }
    }

    /// Returns the integrity report if the log was readable.
    ///
    /// # Errors
    ///
    /// A label of the failure if the log was not readable.
    pub fn into_report(self) -> Result<IntegrityReport, String> {
        self.shortened(normalized_words).map(|(_, report)| report)
    }
}

/// Opens the log in `dir` and reads it; the child continues to serve it.
pub fn open_and_read(
    kind: LogKind,
    dir: &Path,
    segment_bytes: u64,
    submitted: &SubmittedRecords,
) -> io::Result<(ChildProcess, ReopenOutcome)> {
    let mut process = ChildProcess::start(kind, dir, segment_bytes)?;
    let message = match process.wait_for_open() {
        OpenOutcome::Opened(message) => message,
        OpenOutcome::Failed(error) => {
            return Ok((process, ReopenOutcome::Failed(format!("opening: {error}"))));
        }
        OpenOutcome::Crashed(how) => return Ok((process, ReopenOutcome::Crashed(how))),
    };
    let outcome = match process.replay() {
        ReplayResult { crash: Some(how), .. } => ReopenOutcome::Crashed(how),
        ReplayResult { error: Some(error), .. } => ReopenOutcome::Failed(format!("reading: {error}")),
        returned => ReopenOutcome::Read(message, IntegrityReport::compare(submitted, &returned)),
    };
    Ok((process, outcome))
}
