//! Owns which part of a journal is replayed: from where, to where, how many, and what of each record.

use std::{io, io::Write};

use ministore_uring::{Line, MiniStore, MiniStoreError};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Args, condition::Condition, pointer::Pointer, write_record};
use crate::exit::{Code, Failure};

/// A run of records, found before the first is read.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// The first; 0 stands for the oldest that is there.
    pub(super) from: u64,
    /// The last.
    to: u64,
    /// How many at most are looked at.
    look_at: u64,
    /// How many more are to be written.
    write: u64,
    conditions: &'a [Condition],
    pointer: Option<&'a Pointer>,
    with_seq: bool,
}

/// Whether another record is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    More,
    Enough,
}

impl<'a> Selection<'a> {
    /// `follow`: records that come are wanted, too.
    pub(super) fn of(args: &'a Args, follow: bool) -> Result<Self, Failure> {
        if let (Some(from), Some(to)) = (args.from, args.to)
            && to < from
        {
            let message = format_args!("--to {to} comes before --from {from}");
            return Err(Failure::new(Code::Usage, message).hint("--from is the first record, --to the last"));
        }
        let (from, look_at) = match args.last {
            // Counted from what is there now; those that come meanwhile are more than was asked for.
            Some(last) => (first_of_last(args, last)?, if follow { u64::MAX } else { last }),
            None => (args.from.unwrap_or(0), u64::MAX),
        };
        Ok(Self {
            from,
            to: args.to.unwrap_or(u64::MAX),
            look_at,
            write: args.limit.unwrap_or(u64::MAX),
            conditions: &args.conditions,
            pointer: args.pointer.as_ref(),
            with_seq: args.with_seq,
        })
    }

    /// Whether anything is wanted at all.
    pub(super) fn wanted(&self) -> Wanted {
        if self.look_at == 0 || self.write == 0 { Wanted::Enough } else { Wanted::More }
    }

    /// Writes what is wanted of the next record.
    pub(super) fn take(&mut self, line: &Line<'_>, out: &mut impl Write) -> Result<Wanted, Taken> {
        if line.seq > self.to {
            return Ok(Wanted::Enough);
        }
        self.look_at -= 1;
        // Lines that no seal covers are only known to be JSON when they are looked at.
        let json: &RawValue = line.parse().map_err(Taken::Journal)?;
        if self.conditions.iter().all(|condition| condition.holds(json)) {
            let shown = self.pointer.map_or(Some(json), |pointer| pointer.find(json));
            if let Some(shown) = shown {
                write_record(line.seq, shown.get().as_bytes(), self.with_seq, out).map_err(Taken::Output)?;
                self.write -= 1;
            }
        }
        Ok(if line.seq == self.to { Wanted::Enough } else { self.wanted() })
    }
}

/// Why a record could not be taken.
#[derive(Debug)]
pub(super) enum Taken {
    Journal(MiniStoreError),
    Output(io::Error),
}

impl Taken {
    pub(super) fn failure(self, args: &Args) -> Failure {
        match self {
            Self::Journal(error) => Failure::store(&args.journal, &error),
            Self::Output(error) => Failure::output(error),
        }
    }
}

/// Where the last so many records begin: the newest segment says it, and the oldest how far back there are any.
fn first_of_last(args: &Args, last: u64) -> Result<u64, Failure> {
    let failed = |error| Failure::store(&args.journal, &error);
    let reader = MiniStore::reader(&args.journal);
    let newest = reader.last_seq().map_err(failed)?;
    let from = (newest + 1).saturating_sub(last);
    if from <= 1 {
        return Ok(0);
    }
    let oldest = reader.range::<IgnoredAny>(..).next().transpose().map_err(failed)?;
    Ok(if oldest.is_some_and(|oldest| oldest.seq >= from) { 0 } else { from })
}
