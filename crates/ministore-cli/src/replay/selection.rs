//! Selects the part of a journal that is replayed: the range, the number of records, and the part of each record.

use std::{io, io::Write};

use ministore_uring::{MiniStoreError, RawRecord, Reader};
use serde_json::value::RawValue;

use super::{Args, Format, condition::Condition, pointer::Pointer, write_record};
use crate::exit::{CliError, ExitStatus};

/// A range of records, determined before the first is read.
#[derive(Debug)]
pub(super) struct RangeFilter<'a> {
    /// The first record; 0: the oldest that exists.
    pub(super) from: u64,
    /// The last record.
    to: u64,
    /// The number of records that may still be read.
    read_left: u64,
    /// The number of lines that may still be written.
    write_left: u64,
    conditions: &'a [Condition],
    pointer: Option<&'a Pointer>,
    format: Format,
}

/// Whether to continue with the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Stop,
}

impl<'a> RangeFilter<'a> {
    pub(super) fn of(args: &'a Args, reader: &Reader) -> Result<Self, CliError> {
        if let (Some(from), Some(to)) = (args.from, args.to)
            && to < from
        {
            let message = format_args!("--to {to} is less than --from {from}");
            return Err(
                CliError::new(ExitStatus::Usage, message).hint("--from is the first record, --to the last")
            );
        }
        let (from, read_left) = match args.last {
            // Counted from the current end; records appended later are selected only with --follow.
            Some(last) => (first_of_last(args, reader, last)?, if args.follow { u64::MAX } else { last }),
            None => (args.from.unwrap_or(0), u64::MAX),
        };
        Ok(Self {
            from,
            to: args.to.unwrap_or(u64::MAX),
            read_left,
            write_left: args.limit.unwrap_or(u64::MAX),
            conditions: &args.conditions,
            pointer: args.pointer.as_ref(),
            format: Format::of(args.with_seq, args.json),
        })
    }

    /// Whether anything is selected at all.
    pub(super) fn flow(&self) -> Flow {
        if self.read_left == 0 || self.write_left == 0 { Flow::Stop } else { Flow::Continue }
    }

    /// Writes the selected part of the next record.
    pub(super) fn write(
        &mut self,
        record: &RawRecord<'_>,
        out: &mut impl Write,
    ) -> Result<Flow, WriteRecordError> {
        if record.seq > self.to {
            return Ok(Flow::Stop);
        }
        self.read_left -= 1;
        // Lines that no seal covers may not be JSON.
        let json: &RawValue = record.parse().map_err(WriteRecordError::Journal)?;
        if self.conditions.iter().all(|condition| condition.holds(json)) {
            let shown = self.pointer.map_or(Some(json), |pointer| pointer.find(json));
            if let Some(shown) = shown {
                write_record(record.seq, shown.get().as_bytes(), self.format, out)
                    .map_err(WriteRecordError::Output)?;
                self.write_left -= 1;
            }
        }
        Ok(if record.seq == self.to { Flow::Stop } else { self.flow() })
    }
}

/// Why a record could not be written.
#[derive(Debug)]
pub(super) enum WriteRecordError {
    Journal(MiniStoreError),
    Output(io::Error),
}

impl WriteRecordError {
    pub(super) fn into_cli_error(self, args: &Args) -> CliError {
        match self {
            Self::Journal(error) => CliError::store(&args.journal, &error),
            Self::Output(error) => CliError::output(error),
        }
    }
}

/// Returns the sequence number of the first of the last N records; 0 if there are no more than N.
fn first_of_last(args: &Args, reader: &Reader, last: u64) -> Result<u64, CliError> {
    let failed = |error| CliError::store(&args.journal, &error);
    let from = (reader.last_seq().map_err(failed)? + 1).saturating_sub(last);
    Ok(if from <= reader.first_seq().map_err(failed)? { 0 } else { from })
}
