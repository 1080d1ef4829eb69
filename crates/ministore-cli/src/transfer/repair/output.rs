//! Where a repair writes records and removed bytes.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ministore_uring::MiniStore;

use super::lines::{Place, Reason, RepairEvent};
use crate::{
    exit::{CliError, ExitStatus},
    ingest::batch::BatchWriter,
    input::Input,
    quarantine::{BadLineOrigin, Quarantine},
};

/// Buffered records of a file.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that is written under a temporary name. Errors call it by its final one.
pub(super) struct NewFile {
    file: File,
    name: PathBuf,
}

impl NewFile {
    pub(super) fn create(path: &Path, name: &Path) -> Result<Self, CliError> {
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = created.map_err(|error| CliError::create(name, &error))?;
        Ok(Self { file, name: name.to_owned() })
    }
}

/// Where records are written.
pub(super) enum RecordOutput<'a> {
    None,
    Journal(Box<BatchWriter<'a>>),
    Lines { out: BufWriter<File>, name: PathBuf },
}

impl<'a> RecordOutput<'a> {
    pub(super) fn journal(store: &'a MiniStore) -> Self {
        Self::Journal(Box::new(BatchWriter::new(store)))
    }

    pub(super) fn lines(path: &Path, name: &Path) -> Result<Self, CliError> {
        let NewFile { file, name } = NewFile::create(path, name)?;
        Ok(Self::Lines { out: BufWriter::with_capacity(BUFFER_BYTES, file), name })
    }

    fn add(&mut self, record: &[u8]) -> Result<(), CliError> {
        match self {
            Self::None => Ok(()),
            Self::Journal(writer) => {
                let rejected =
                    |reason| CliError::new(ExitStatus::Internal, format_args!("checked record: {reason}"));
                writer.push(record)?.map_err(|error| rejected(error.reason))
            }
            Self::Lines { out, name } => {
                let written = out.write_all(record).and_then(|()| out.write_all(b"\n"));
                written.map_err(|error| CliError::file(name, "write", &error))
            }
        }
    }

    /// Makes the records durable.
    fn finish(&mut self) -> Result<(), CliError> {
        match self {
            Self::None => Ok(()),
            Self::Journal(writer) => writer.flush(),
            Self::Lines { out, name } => {
                let synced = out.flush().and_then(|()| out.get_ref().sync_all());
                synced.map_err(|error| CliError::file(name, "write", &error))
            }
        }
    }
}

/// The outputs of a repair.
pub(super) struct RepairOutput<'a> {
    records: RecordOutput<'a>,
    removed: Option<Quarantine>,
    /// The name of the input in the file of removed bytes.
    input: String,
}

impl<'a> RepairOutput<'a> {
    /// Writes nothing.
    pub(super) fn none() -> Self {
        Self { records: RecordOutput::None, removed: None, input: String::new() }
    }

    pub(super) fn new(records: RecordOutput<'a>, removed: NewFile, input: &Input) -> Self {
        let removed = Some(Quarantine::of_new_file(removed.name, removed.file));
        Self { records, removed, input: input.name() }
    }

    pub(super) fn add(&mut self, event: RepairEvent<'_>) -> Result<(), CliError> {
        let (place, reason) = match event {
            RepairEvent::Record { record, .. } => return self.records.add(record),
            RepairEvent::Removed { place, reason, .. } => (place, reason),
            RepairEvent::NulBytes { place, .. } => (place, Reason::NulBytes),
            RepairEvent::LongLine { place, .. } => (place, Reason::TooLong),
        };
        let Some(removed) = &mut self.removed else { return Ok(()) };
        let Place { offset, line, column } = place;
        let origin =
            BadLineOrigin { input: &self.input, line, column, offset: Some(offset), reason: reason.name() };
        match event {
            RepairEvent::Record { .. } => Ok(()),
            RepairEvent::Removed { bytes, .. } => removed.add(origin, bytes),
            RepairEvent::NulBytes { length, .. } => removed.add_nul_bytes(origin, length),
            RepairEvent::LongLine { piece, is_first, is_last, .. } => {
                if is_first {
                    removed.begin_long(origin)?;
                }
                removed.add_piece(piece)?;
                if is_last { removed.end_long() } else { Ok(()) }
            }
        }
    }

    /// Makes everything durable.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        self.removed.as_mut().map_or(Ok(()), Quarantine::persist)?;
        self.records.finish()
    }
}
