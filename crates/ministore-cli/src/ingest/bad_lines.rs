//! Handles lines that are not records: the policy, the counts, and the quarantine file.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::StopReason;
use crate::{exit::CliError, paths::sync_directory_of};

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

/// Implements the policy.
#[derive(Debug)]
pub(crate) struct BadLines {
    /// `None`: stop at the first bad line.
    sink: Option<BadLineSink>,
    counts: BadLineCounts,
}

/// The destination of bad lines if the run continues.
#[derive(Debug)]
enum BadLineSink {
    Skip,
    Quarantine(Quarantine),
}

impl BadLines {
    pub(crate) fn stopping() -> Self {
        Self { sink: None, counts: BadLineCounts::default() }
    }

    pub(crate) fn skipping() -> Self {
        Self { sink: Some(BadLineSink::Skip), counts: BadLineCounts::default() }
    }

    pub(crate) fn quarantining(quarantine: Quarantine) -> Self {
        Self { sink: Some(BadLineSink::Quarantine(quarantine)), counts: BadLineCounts::default() }
    }

    pub(crate) fn counts(&self) -> BadLineCounts {
        self.counts
    }

    /// Starts a bad line: either the run stops, or [`raw`](Self::raw) and [`end`](Self::end) follow.
    pub(crate) fn begin(
        &mut self,
        input: &str,
        line: u64,
        column: usize,
        reason: &str,
    ) -> Result<(), StopReason> {
        if self.sink.is_none() {
            let hint = "fix the line, or leave it out with --on-error skip or quarantine=FILE; the lines before it are \
                        durable, and --resume continues after them";
            return Err(CliError::bad_line(input, line, column, reason).hint(hint).into());
        }
        tracing::info!("{input}:{line}:{column}: {reason} (skipped)");
        Ok(())
    }

    /// Adds bytes of the line, unchanged.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        match &mut self.sink {
            Some(BadLineSink::Quarantine(quarantine)) => quarantine.write(bytes),
            _ => Ok(()),
        }
    }

    /// Ends the line.
    pub(crate) fn end(&mut self) -> Result<(), CliError> {
        match &mut self.sink {
            Some(BadLineSink::Quarantine(quarantine)) => {
                self.counts.quarantined += 1;
                quarantine.write(b"\n")
            }
            Some(BadLineSink::Skip) => {
                self.counts.skipped += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Makes the quarantine file durable.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        match self.sink {
            Some(BadLineSink::Quarantine(mut quarantine)) => quarantine.persist(),
            _ => Ok(()),
        }
    }
}

/// A file to which bad lines are appended unchanged.
#[derive(Debug)]
pub(crate) struct Quarantine {
    path: PathBuf,
    file: BufWriter<File>,
    /// Its size when the run started. A resumed run truncates it to this size.
    pub(crate) start_bytes: u64,
}

impl Quarantine {
    /// Opens or creates it. `start_bytes`: a resumed run reads its whole input again and rewrites everything after this
    /// size.
    pub(crate) fn open(path: &Path, start_bytes: Option<u64>) -> Result<Self, CliError> {
        let refused = |error| CliError::file(path, "open it for appending", &error);
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(refused)?;
        let found = file.metadata().map_err(refused)?;
        let start_bytes = start_bytes.unwrap_or(u64::MAX).min(found.len());
        if found.is_file() && start_bytes < found.len() {
            file.set_len(start_bytes).map_err(refused)?;
        }
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), start_bytes })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.file.write_all(bytes).map_err(|error| CliError::file(&self.path, "write", &error))
    }

    /// Writes a whole line and flushes it.
    pub(crate) fn write_line(&mut self, line: &[u8]) -> Result<(), CliError> {
        self.write(line)?;
        self.write(b"\n")?;
        self.file.flush().map_err(|error| CliError::file(&self.path, "write", &error))
    }

    /// Makes it durable.
    pub(crate) fn persist(&mut self) -> Result<(), CliError> {
        self.sync().map_err(|error| CliError::file(&self.path, "make it durable", &error))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        // A device or a pipe cannot be synced.
        if !self.file.get_ref().metadata()?.is_file() {
            return Ok(());
        }
        self.file.get_ref().sync_all()?;
        sync_directory_of(&self.path)
    }
}
