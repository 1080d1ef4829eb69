//! Owns the lines of a resumed run that are in the journal already: each one is compared with its record, so that
//! nothing is taken for granted about an input that is read a second time.

use std::{iter::Peekable, path::Path, path::PathBuf};

use ministore_uring::{MiniStore, Records};
use serde_json::value::RawValue;

use super::{
    line::{self, Fault},
    sidecar::Run,
};
use crate::{
    exit::{Code, Failure},
    units,
};

/// Walks through the journal beside the input.
#[derive(Debug)]
pub(super) struct PassOver {
    journal: PathBuf,
    records: Peekable<Records<Box<RawValue>>>,
    /// The number of the next line's record, and of the last one.
    next_seq: u64,
    last_seq: u64,
    /// The journal ends with this run's records: lines may follow.
    may_append: bool,
}

/// What to do where a run cannot go on.
const ANEW: &str =
    "give the same input again, whole; without --resume all of it is appended, behind what is there";

/// What a line turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in the journal.
    Present,
    /// It was no record when it was first read either.
    Bad(Fault),
}

impl PassOver {
    /// `None` where nothing of the run is in the journal.
    pub(super) fn new(journal: &Path, run: &Run, durable_seq: u64) -> Result<Option<Self>, Failure> {
        let end_seq = run.complete_records.map(|records| run.start_seq + records);
        let reached = durable_seq + 1;
        if reached < end_seq.unwrap_or(run.start_seq) {
            let message = format!("{}: ends before the records of the ingest to resume", journal.display());
            return Err(Failure::new(Code::BadData, message).hint(ANEW));
        }
        let end_seq = end_seq.unwrap_or(reached);
        if end_seq == run.start_seq && reached == end_seq {
            return Ok(None);
        }
        Ok(Some(Self {
            journal: journal.to_owned(),
            records: MiniStore::records_from(journal, run.start_seq).peekable(),
            next_seq: run.start_seq,
            last_seq: end_seq - 1,
            may_append: end_seq == reached,
        }))
    }

    pub(super) fn may_append(&self) -> bool {
        self.may_append
    }

    /// Every line of the run that is in the journal has been met.
    pub(super) fn is_done(&self) -> bool {
        self.next_seq > self.last_seq
    }

    /// Looks at the next line. `place` names it, should it not be the one that was read before.
    pub(super) fn check(&mut self, value: &[u8], place: &dyn Fn() -> String) -> Result<Verdict, Failure> {
        let record = self.record()?;
        if let Some(record) = &record
            && record.get().as_bytes() == value
        {
            self.next_seq += 1;
            return Ok(Verdict::Present);
        }
        if let Err(fault) = line::check(value) {
            return Ok(Verdict::Bad(fault));
        }
        if record.is_some() {
            let reason = format!("differs from record {} of the journal", self.next_seq);
            let line = format!("{}: {reason}: not the input of the interrupted run", place());
            return Err(Failure::at_place(line).hint(ANEW));
        }
        self.next_seq += 1;
        Ok(Verdict::Present)
    }

    /// The record of the next line; `None` where it is not kept any more. Once taken it is gone, but a bad line
    /// must leave it for the line that follows: so it is only taken when the numbers say that it is behind.
    fn record(&mut self) -> Result<Option<&RawValue>, Failure> {
        let next_seq = self.next_seq;
        while self
            .records
            .next_if(|record| record.as_ref().is_ok_and(|record| record.seq < next_seq))
            .is_some()
        {}
        match self.records.peek() {
            Some(Ok(record)) if record.seq == next_seq => Ok(Some(&record.value)),
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(Failure::store(&self.journal, error)),
            None => {
                let message = format!("{}: record {next_seq} cannot be found", self.journal.display());
                Err(Failure::new(Code::Internal, message))
            }
        }
    }

    /// The input has ended.
    pub(super) fn input_ended(&self) -> Result<(), Failure> {
        if self.is_done() {
            return Ok(());
        }
        let message = format!(
            "{}: holds {} more than the input has lines: not the input of the interrupted run, or others have \
             appended since",
            self.journal.display(),
            units::counted(self.last_seq + 1 - self.next_seq, "record")
        );
        Err(Failure::new(Code::BadData, message).hint(ANEW))
    }

    /// A line follows the last one that is in the journal.
    pub(super) fn go_on(&self) -> Result<(), Failure> {
        if self.may_append {
            return Ok(());
        }
        let message = format!(
            "{}: the input has grown since it was ingested, and others have appended to the journal behind it",
            self.journal.display()
        );
        Err(Failure::new(Code::BadData, message).hint(ANEW))
    }
}
