//! `JOURNAL.ingest-checkpoint`: the state that `--resume` needs after an interruption.
//!
//! Every accepted line gets one sequence number, in order. It is enough to store the first one durably before the first
//! append: the journal shows how many lines were appended.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    exit::{CliError, ExitStatus},
    paths::{sync_directory_of, with_suffix},
};

const VERSION: u32 = 1;

/// The content of the file, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: u32,
    /// The inputs in order, `-` for standard input.
    pub(super) inputs: Vec<String>,
    /// As given to `--on-error`, the path of a quarantine file made absolute.
    pub(super) on_error: String,
    /// The size of the quarantine file when the run began.
    pub(super) quarantine_start_bytes: Option<u64>,
    /// The sequence number of the run's first record.
    pub(super) start_seq: u64,
    /// The number of records of the run, once it is complete.
    pub(super) complete_records: Option<u64>,
}

impl Checkpoint {
    pub(super) fn new(inputs: Vec<String>, start_seq: u64) -> Self {
        Self {
            version: VERSION,
            inputs,
            on_error: String::new(),
            quarantine_start_bytes: None,
            start_seq,
            complete_records: None,
        }
    }
}

/// The file next to the journal.
#[derive(Debug, Clone)]
pub(super) struct CheckpointFile {
    pub(super) path: PathBuf,
}

impl CheckpointFile {
    pub(super) fn of(journal: &Path) -> Self {
        Self { path: with_suffix(journal, "ingest-checkpoint") }
    }

    /// Returns `None` if the file does not exist.
    pub(super) fn load(&self) -> Result<Option<Checkpoint>, CliError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::file(&self.path, "read", &error)),
        };
        let invalid = |reason: &dyn std::fmt::Display| {
            let failure =
                CliError::new(ExitStatus::BadData, format_args!("{}: {reason}", self.path.display()))
                    .path(&self.path);
            failure.hint("without it a run cannot be resumed: leave out --resume to append all of the input")
        };
        let run: Checkpoint = serde_json::from_slice(&text).map_err(|error| invalid(&error))?;
        if run.version != VERSION {
            return Err(invalid(&format_args!("unknown version {}", run.version)));
        }
        Ok(Some(run))
    }

    /// Replaces it durably and atomically.
    pub(super) fn save(&self, run: &Checkpoint) -> Result<(), CliError> {
        self.replace(run).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => CliError::file(&self.path, "write", &error),
            _ => CliError::new(
                ExitStatus::CannotCreate,
                format_args!("{}: cannot write: {error}", self.path.display()),
            ),
        })
    }

    fn replace(&self, run: &Checkpoint) -> io::Result<()> {
        let new = with_suffix(&self.path, "new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(run)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_directory_of(&self.path)
    }
}
