//! Owns what becomes of lines that cannot be records: the policy, the counts, and the quarantine file.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{Stop, sidecar};
use crate::exit::Failure;

/// The choice behind `--on-error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Policy {
    Stop,
    Skip,
    Quarantine(PathBuf),
}

impl Policy {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "stop" => Ok(Self::Stop),
            None if text == "skip" => Ok(Self::Skip),
            Some(("quarantine", file)) if !file.is_empty() => Ok(Self::Quarantine(file.into())),
            _ => Err("use stop, skip or quarantine=FILE".to_owned()),
        }
    }
}

/// As it is given on the command line.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => f.write_str("stop"),
            Self::Skip => f.write_str("skip"),
            Self::Quarantine(file) => write!(f, "quarantine={}", file.display()),
        }
    }
}

/// How many lines were passed over, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) skipped: u64,
    pub(super) quarantined: u64,
}

/// Carries the policy out.
#[derive(Debug)]
pub(super) struct BadLines {
    /// `None`: the policy is to stop.
    aside: Option<Aside>,
    counts: Counts,
}

#[derive(Debug)]
enum Aside {
    Skip,
    Quarantine(Quarantine),
}

impl BadLines {
    pub(super) fn stopping() -> Self {
        Self { aside: None, counts: Counts::default() }
    }

    pub(super) fn skipping() -> Self {
        Self { aside: Some(Aside::Skip), counts: Counts::default() }
    }

    pub(super) fn quarantining(quarantine: Quarantine) -> Self {
        Self { aside: Some(Aside::Quarantine(quarantine)), counts: Counts::default() }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// A bad line begins: either the run stops here, or [`raw`](Self::raw) and [`end`](Self::end) follow.
    pub(super) fn begin(&mut self, place: fmt::Arguments<'_>, reason: &str) -> Result<(), Stop> {
        if self.aside.is_none() {
            let hint = "mend the line, or go on without it: --on-error skip, or quarantine=FILE; what stands before it is \
                        durable, and --resume goes on from there";
            return Err(Failure::at_place(format!("{place}: {reason}")).hint(hint).into());
        }
        tracing::info!("{place}: {reason}: passed over");
        Ok(())
    }

    /// Some bytes of it, as they were read.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.aside {
            Some(Aside::Quarantine(quarantine)) => quarantine.write(bytes),
            _ => Ok(()),
        }
    }

    /// The line ends.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        match &mut self.aside {
            Some(Aside::Quarantine(quarantine)) => {
                self.counts.quarantined += 1;
                quarantine.write(b"\n")
            }
            Some(Aside::Skip) => {
                self.counts.skipped += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// No more lines: what was put aside is made durable.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.aside {
            Some(Aside::Quarantine(mut quarantine)) => quarantine.persist(),
            _ => Ok(()),
        }
    }
}

/// A file that bad lines are appended to as they are.
#[derive(Debug)]
pub(super) struct Quarantine {
    path: PathBuf,
    file: BufWriter<File>,
    /// Its size when the run began: where the same run begins again when it is resumed.
    pub(super) start_bytes: u64,
}

impl Quarantine {
    /// Opens or creates it. `start_bytes`: this run has been here before and reads its whole input again, so that
    /// everything behind that size will be written once more.
    pub(super) fn open(path: &Path, start_bytes: Option<u64>) -> Result<Self, Failure> {
        let refused = |error| Failure::file(path, "open it for appending", &error);
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(refused)?;
        let found = file.metadata().map_err(refused)?;
        let start_bytes = start_bytes.unwrap_or(u64::MAX).min(found.len());
        if found.is_file() && start_bytes < found.len() {
            file.set_len(start_bytes).map_err(refused)?;
        }
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), start_bytes })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| Failure::file(&self.path, "write", &error))
    }

    /// A whole line, which does not stay in memory.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.write(line)?;
        self.write(b"\n")?;
        self.file.flush().map_err(|error| Failure::file(&self.path, "write", &error))
    }

    /// What was written is made durable.
    pub(super) fn persist(&mut self) -> Result<(), Failure> {
        self.sync().map_err(|error| Failure::file(&self.path, "make it durable", &error))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        // A device or a pipe has nothing to sync, and says so with an error.
        if !self.file.get_ref().metadata()?.is_file() {
            return Ok(());
        }
        self.file.get_ref().sync_all()?;
        sidecar::sync_directory_of(&self.path)
    }
}
