//! Compares the lines of a resumed run with the records that are already in the journal.

use std::{iter::Peekable, path::Path, path::PathBuf};

use ministore_uring::Records;
use serde_json::value::RawValue;

use super::{
    checkpoint::Checkpoint,
    line::{self, LineError, LinePosition},
};
use crate::{
    exit::{CliError, ExitStatus},
    reader, units,
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

impl ResumeCheck {
    /// Returns `None` if the journal contains no record of the run, which is `runs[at]`.
    pub(super) fn new(
        journal: &Path,
        runs: &[Checkpoint],
        at: usize,
        durable_seq: u64,
    ) -> Result<Option<Self>, CliError> {
        let run = &runs[at];
        let reached = durable_seq + 1;
        // A later run began where an incomplete one ended, or later.
        let later = runs[at + 1..].iter().map(|later| later.start_seq).filter(|&start| start < reached).min();
        let end_seq = match run.complete_records {
            Some(records) => run.start_seq + records,
            None => later.unwrap_or(reached),
        };
        if reached < end_seq.max(run.start_seq) {
            let reason = "contains fewer records than the run to resume";
            return Err(CliError::about(journal, ExitStatus::BadData, reason).hint(HINT));
        }
        if end_seq == run.start_seq {
            return Ok(None);
        }
        Ok(Some(Self {
            journal: journal.to_owned(),
            records: reader::open(journal)?.records_from(run.start_seq).peekable(),
            next_seq: run.start_seq,
            last_seq: end_seq - 1,
            may_append: end_seq == reached && later.is_none(),
        }))
    }

    pub(super) fn may_append(&self) -> bool {
        self.may_append
    }

    /// Whether all records of the run have been compared.
    pub(super) fn is_done(&self) -> bool {
        self.next_seq > self.last_seq
    }

    /// Checks that the next line is in the journal. The inner error: it is not a record, now as in the interrupted run.
    pub(super) fn check(
        &mut self,
        value: &[u8],
        input: &str,
        position: LinePosition,
    ) -> Result<Result<(), LineError>, CliError> {
        let record = self.record()?;
        if let Some(record) = &record
            && record.get().as_bytes() == value
        {
            self.next_seq += 1;
            return Ok(Ok(()));
        }
        if let Err(line_error) = line::check(value) {
            return Ok(Err(line_error));
        }
        if record.is_some() {
            let seq = self.next_seq;
            let reason =
                format!("differs from record {seq} of the journal: not the input of the interrupted run");
            return Err(CliError::bad_line(input, position, 0, reason).seq(seq).hint(HINT));
        }
        self.next_seq += 1;
        Ok(Ok(()))
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
        let reason = format!(
            "contains {} more than the input: not the input of the interrupted run, or other records \
             were appended since",
            units::counted(self.last_seq + 1 - self.next_seq, "record")
        );
        Err(CliError::about(&self.journal, ExitStatus::BadData, reason).hint(HINT))
    }

    /// Called before the first line that is not in the journal: the one at `position` in `input`.
    pub(super) fn finish(&self, input: &str, position: LinePosition) -> Result<(), CliError> {
        if self.may_append {
            return Ok(());
        }
        let line = position.number;
        let reason = format!(
            "the lines before this one are in {}, up to record {}; other records were appended since, so that the run \
             cannot be resumed",
            self.journal.display(),
            self.last_seq
        );
        let hint = format!(
            "append the rest alone (tail -n +{line} FILE | ministore ingest JOURNAL); without --resume all of the input \
             is appended again"
        );
        Err(CliError::bad_line(input, position, 0, reason).hint(hint))
    }
}
