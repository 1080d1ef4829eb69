//! `JOURNAL.ingest-checkpoint`: the runs of `ingest` that appended to this journal, for `--resume` after an interruption.
//!
//! Every accepted line gets one sequence number, in order. It is enough to store the first one durably before the first
//! append: the journal shows how many lines were appended.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::{
    exit::{CliError, ExitStatus},
    ownership::CHECKPOINT_SUFFIX,
    paths::{directory_of, open_with, os_error, resolved, sync_directory_of, with_suffix},
};

const VERSION: u32 = 2;

/// The number of runs that are kept.
const RUNS_MAX: usize = 256;

/// The random part of a temporary name.
const RANDOM_BYTES: usize = 6;

/// The content of the file, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    version: u32,
    /// Oldest first.
    runs: Vec<Checkpoint>,
}

/// A run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
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

/// The file next to the journal. It is found however the journal is named: symbolic links are resolved.
#[derive(Debug, Clone)]
pub(super) struct CheckpointFile {
    pub(super) path: PathBuf,
}

impl CheckpointFile {
    pub(super) fn of(journal: &Path) -> Self {
        Self { path: with_suffix(&resolved(journal), CHECKPOINT_SUFFIX) }
    }

    /// Returns the runs, oldest first; none if the file does not exist. A file that is something else is an error, because it
    /// must not be replaced.
    pub(super) fn load(&self) -> Result<Vec<Checkpoint>, CliError> {
        let invalid = |reason: &str| {
            let reason = format_args!("is not a checkpoint of this program ({reason})");
            CliError::about(&self.path, ExitStatus::CannotCreate, reason).hint(
                "nothing was changed: move the file away; a run that it describes can then not be resumed",
            )
        };
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Ok(found) if !found.is_file() => return Err(invalid("not a regular file")),
            _ => {}
        }
        let mut text = Vec::new();
        let opened = open_with(&self.path, OFlags::NOFOLLOW | OFlags::NONBLOCK);
        opened
            .and_then(|mut file| file.read_to_end(&mut text))
            .map_err(|error| CliError::file(&self.path, "read", &error))?;
        let content: Content = serde_json::from_slice(&text).map_err(|error| invalid(&error.to_string()))?;
        if content.version != VERSION {
            return Err(invalid(&format!("version {}", content.version)));
        }
        Ok(content.runs)
    }

    /// Replaces the file durably and atomically. The caller holds the lock of the journal.
    pub(super) fn save(&self, runs: &[Checkpoint]) -> Result<(), CliError> {
        self.replace(runs).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => CliError::file(&self.path, "write", &error),
            _ => CliError::new(
                ExitStatus::CannotCreate,
                format_args!("{}: cannot write: {error}", self.path.display()),
            ),
        })
    }

    fn replace(&self, runs: &[Checkpoint]) -> io::Result<()> {
        let runs = runs[runs.len().saturating_sub(RUNS_MAX)..].to_vec();
        let mut text = serde_json::to_vec_pretty(&Content { version: VERSION, runs })?;
        text.push(b'\n');
        let mut file = tempfile::Builder::new()
            .prefix(&self.temporary_prefix())
            .rand_bytes(RANDOM_BYTES)
            .tempfile_in(directory_of(&self.path))
            .map_err(os_error)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| os_error(error.error))?;
        sync_directory_of(&self.path)
    }

    fn temporary_prefix(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name + "."
    }

    /// Removes temporary files that a killed run left. The caller holds the lock of the journal.
    pub(super) fn remove_temporaries(&self) {
        let prefix = self.temporary_prefix();
        for entry in fs::read_dir(directory_of(&self.path)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_temporary = name.strip_prefix(&prefix).is_some_and(|random| random.len() == RANDOM_BYTES);
            if is_temporary && entry.file_type().is_ok_and(|found| found.is_file()) {
                // The next run tries again.
                drop(fs::remove_file(entry.path()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn run(start_seq: u64) -> Checkpoint {
        Checkpoint { inputs: vec!["in".to_owned()], start_seq, ..Checkpoint::default() }
    }

    #[test]
    fn saved_runs_are_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = CheckpointFile::of(&dir.path().join("j"));
        assert_eq!(file.load().unwrap(), []);
        let runs: Vec<_> = (1..=300).map(run).collect();
        file.save(&runs).unwrap();
        assert_eq!(file.load().unwrap(), runs[300 - RUNS_MAX..]);
        fs::write(dir.path().join("j.ingest-checkpoint.a1b2c3"), "").unwrap();
        fs::write(dir.path().join("j.ingest-checkpoint.notes"), "").unwrap();
        file.remove_temporaries();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn other_file_is_not_a_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let file = CheckpointFile::of(&dir.path().join("j"));
        for content in ["", "{}", "// MINISTORE JOURNAL v0.1.4\n", "{\"version\":9,\"runs\":[]}"] {
            fs::write(&file.path, content).unwrap();
            assert!(file.load().is_err(), "{content}");
        }
        fs::remove_file(&file.path).unwrap();
        symlink("/dev/null", &file.path).unwrap();
        assert!(file.load().is_err());
    }

    #[test]
    fn checkpoint_of_a_link_is_that_of_its_target() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("j"), "").unwrap();
        symlink("j", dir.path().join("link")).unwrap();
        let path_of = |name: &str| CheckpointFile::of(&dir.path().join(name)).path;
        assert_eq!(path_of("link"), path_of("j"));
    }
}
