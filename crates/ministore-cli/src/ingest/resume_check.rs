//! Compares the lines of a resumed run with the records that are already in the journal.

use std::{iter::Peekable, path::Path, path::PathBuf};

use ministore_uring::{Reader, Records};
use serde_json::value::RawValue;

use super::{
    checkpoint::Checkpoint,
    line::{self, LineError},
};
use crate::{
    exit::{CliError, ExitStatus},
    units,
};

/// Reads the journal in step with the input.
#[derive(Debug)]
pub(super) struct ResumeCheck {
    journal: PathBuf,
    records: Peekable<Records<Box<RawValue>>>,
    /// The sequence numbers of the next record and of the last one.
    next_seq: u64,
    last_seq: u64,
    /// The journal ends with the records of this run: more may be appended.
    may_append: bool,
}

/// The hint if a run cannot be resumed.
const HINT: &str = "use the same complete input; without --resume all of it is appended again";

/// The result of comparing a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CheckedLine {
    /// It is in the journal.
    AlreadyPresent,
    /// It is not a record, now as in the interrupted run.
    Bad(LineError),
}

impl ResumeCheck {
    /// Returns `None` if the journal contains no record of the run.
    pub(super) fn new(journal: &Path, run: &Checkpoint, durable_seq: u64) -> Result<Option<Self>, CliError> {
        let end_seq = run.complete_records.map(|records| run.start_seq + records);
        let reached = durable_seq + 1;
        if reached < end_seq.unwrap_or(run.start_seq) {
            let message = format!("{}: contains fewer records than the run to resume", journal.display());
            return Err(CliError::new(ExitStatus::BadData, message).path(journal).hint(HINT));
        }
        let end_seq = end_seq.unwrap_or(reached);
        if end_seq == run.start_seq && reached == end_seq {
            return Ok(None);
        }
        Ok(Some(Self {
            journal: journal.to_owned(),
            records: Reader::open(journal)
                .map_err(|error| CliError::store(journal, &error))?
                .records_from(run.start_seq)
                .peekable(),
            next_seq: run.start_seq,
            last_seq: end_seq - 1,
            may_append: end_seq == reached,
        }))
    }

    pub(super) fn may_append(&self) -> bool {
        self.may_append
    }

    /// Whether all records of the run have been compared.
    pub(super) fn is_done(&self) -> bool {
        self.next_seq > self.last_seq
    }

    /// Compares the next line. `location` is its input and line number.
    pub(super) fn check(
        &mut self,
        value: &[u8],
        (input, number): (&str, u64),
    ) -> Result<CheckedLine, CliError> {
        let record = self.record()?;
        if let Some(record) = &record
            && record.get().as_bytes() == value
        {
            self.next_seq += 1;
            return Ok(CheckedLine::AlreadyPresent);
        }
        if let Err(line_error) = line::check(value) {
            return Ok(CheckedLine::Bad(line_error));
        }
        if record.is_some() {
            let seq = self.next_seq;
            let reason =
                format!("differs from record {seq} of the journal: not the input of the interrupted run");
            return Err(CliError::bad_line(input, number, 1, reason).seq(seq).hint(HINT));
        }
        self.next_seq += 1;
        Ok(CheckedLine::AlreadyPresent)
    }

    /// Returns the record of the next line, or `None` if it was deleted. It stays in the iterator until the next sequence
    /// number is requested, as a bad line must not consume it.
    fn record(&mut self) -> Result<Option<&RawValue>, CliError> {
        let next_seq = self.next_seq;
        while self
            .records
            .next_if(|record| record.as_ref().is_ok_and(|record| record.seq < next_seq))
            .is_some()
        {}
        match self.records.peek() {
            Some(Ok(record)) if record.seq == next_seq => Ok(Some(&record.value)),
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(CliError::store(&self.journal, error)),
            None => {
                let message = format!("{}: record {next_seq} is missing", self.journal.display());
                Err(CliError::new(ExitStatus::Internal, message))
            }
        }
    }

    /// Called at the end of the input.
    pub(super) fn input_ended(&self) -> Result<(), CliError> {
        if self.is_done() {
            return Ok(());
        }
        let message = format!(
            "{}: contains {} more than the input: not the input of the interrupted run, or other records \
             were appended since",
            self.journal.display(),
            units::counted(self.last_seq + 1 - self.next_seq, "record")
        );
        Err(CliError::new(ExitStatus::BadData, message).path(&self.journal).hint(HINT))
    }

    /// Called before the first line that is not in the journal.
    pub(super) fn finish(&self) -> Result<(), CliError> {
        if self.may_append {
            return Ok(());
        }
        let message = format!(
            "{}: the input has grown since it was ingested, and other records were appended since",
            self.journal.display()
        );
        Err(CliError::new(ExitStatus::BadData, message).path(&self.journal).hint(HINT))
    }
}
