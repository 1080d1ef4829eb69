//! Selects the part of a journal that is replayed: the range, the number of records, and the part of each record.

use std::io::Write;

use ministore_uring::{RawRecord, Reader};
use serde_json::value::RawValue;

use super::{Args, Format, write_record};
use crate::exit::{CliError, ExitStatus};

/// Selects records while they are read, oldest first.
#[derive(Debug)]
pub(super) struct RangeFilter<'a> {
    args: &'a Args,
    /// The first record; 0: the oldest that exists.
    pub(super) from: u64,
    /// The number of records that may still be read.
    read_left: u64,
    /// The number of lines that may still be written.
    write_left: u64,
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
        Ok(Self { args, from, read_left, write_left: args.limit.unwrap_or(u64::MAX) })
    }

    /// Whether no further record is selected.
    pub(super) fn is_over(&self) -> bool {
        self.read_left == 0 || self.write_left == 0
    }

    /// Writes the selected part of the next record.
    pub(super) fn write(&mut self, record: &RawRecord<'_>, out: &mut impl Write) -> Result<(), CliError> {
        let to = self.args.to.unwrap_or(u64::MAX);
        self.read_left = if record.seq < to { self.read_left - 1 } else { 0 };
        if record.seq > to {
            return Ok(());
        }
        // Lines that no seal covers may not be JSON.
        let json: &RawValue = record.parse().map_err(|error| CliError::store(&self.args.journal, &error))?;
        if !self.args.conditions.iter().all(|condition| condition.holds(json)) {
            return Ok(());
        }
        let shown = self.args.pointer.as_ref().map_or(Some(json), |pointer| pointer.find(json));
        if let Some(shown) = shown {
            let format = Format::of(self.args.with_seq, self.args.json);
            write_record(record.seq, shown.get().as_bytes(), format, out).map_err(CliError::output)?;
            self.write_left -= 1;
        }
        Ok(())
    }
}

/// Returns the sequence number of the first of the last N records; 0 if there are no more than N.
fn first_of_last(args: &Args, reader: &Reader, last: u64) -> Result<u64, CliError> {
    let failed = |error| CliError::store(&args.journal, &error);
    let from = (reader.last_seq().map_err(failed)? + 1).saturating_sub(last);
    Ok(if from <= reader.first_seq().map_err(failed)? { 0 } else { from })
}
