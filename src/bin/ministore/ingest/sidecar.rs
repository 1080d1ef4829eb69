//! Owns `JOURNAL.ingest`: what a run must leave behind so that it can be resumed after any interruption.
//!
//! Every line that is accepted gets one sequence number, in order. It is therefore enough to remember the number of
//! the first one, durably, before it is appended: the journal itself tells how far the run came.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::exit::{Code, Failure};

const VERSION: u32 = 1;

/// What the file holds, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    version: u32,
    /// The inputs in order, `-` for standard input.
    pub(super) inputs: Vec<String>,
    /// As given to `--on-error`, the path of a quarantine file made absolute.
    pub(super) on_error: String,
    /// The size of the quarantine file when the run began.
    pub(super) quarantine_start_bytes: Option<u64>,
    /// The sequence number of the run's first record.
    pub(super) start_seq: u64,
    /// How many records the run put into the journal, once it has come to its end.
    pub(super) complete_records: Option<u64>,
}

impl Run {
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

/// The file beside the journal.
#[derive(Debug, Clone)]
pub(super) struct Sidecar {
    pub(super) path: PathBuf,
}

impl Sidecar {
    pub(super) fn of(journal: &Path) -> Self {
        Self { path: with_suffix(journal, ".ingest") }
    }

    /// `None` where there is none.
    pub(super) fn load(&self) -> Result<Option<Run>, Failure> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file(&self.path, "read", &error)),
        };
        let not_ours = |reason: &dyn std::fmt::Display| {
            let failure = Failure::new(Code::BadData, format_args!("{}: {reason}", self.path.display()));
            failure.hint("without it no run can go on: leave out --resume, and all of the input is appended")
        };
        let run: Run = serde_json::from_slice(&text).map_err(|error| not_ours(&error))?;
        if run.version != VERSION {
            return Err(not_ours(&format_args!("version {} is not known here", run.version)));
        }
        Ok(Some(run))
    }

    /// Replaces it durably: after a crash there is the old file or the new one, whole.
    pub(super) fn save(&self, run: &Run) -> Result<(), Failure> {
        self.replace(run).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::file(&self.path, "write", &error),
            _ => Failure::new(
                Code::CannotCreate,
                format_args!("{}: cannot write: {error}", self.path.display()),
            ),
        })
    }

    fn replace(&self, run: &Run) -> io::Result<()> {
        let new = with_suffix(&self.path, ".new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(run)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_directory_of(&self.path)
    }
}

/// Makes the name of a file durable.
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
