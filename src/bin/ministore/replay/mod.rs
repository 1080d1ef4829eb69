//! Owns `ministore replay`: records out of a journal, byte for byte as they were put in.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use ministore_uring::{MiniStore, maintenance};
use serde_json::value::RawValue;

use crate::{
    exit::{Code, Failure},
    follow,
};

/// Large enough that the system calls do not show beside reading and checking.
const BUFFER_BYTES: usize = 256 * 1024;

/// Write the records of a journal to standard output, one JSON line each, oldest first
///
/// Every segment is read, oldest first, and every seal is checked on the way. The journal may be open for
/// writing: what is durable when the end is reached is what is written. To see everything that a damaged
/// journal still holds, use `salvage`.
///
/// With `--follow` it does not end there, but goes on with whatever is appended, by whatever process, as soon as that is
/// durable, until it is interrupted or nobody reads its output any more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore replay events.jsonl | jq .user
  ministore replay events.jsonl --from 1000001 --limit 10 --with-seq
  ministore replay events.jsonl --follow --with-seq")]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// Begin with the record of this sequence number (or the oldest one still kept)
    ///
    /// Without it, begin with the oldest. With `--follow`, a record that was deleted already is an error.
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: Option<u64>,

    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,

    /// Put the sequence number and a tab before each line
    #[arg(long)]
    pub(crate) with_seq: bool,

    /// Go on with the records that come
    #[arg(long, short)]
    follow: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let copied =
        if args.follow { follow::run(args, &mut out) } else { copy(args, &mut out).map(|()| Code::Ok) };
    // What was read before a fault is written before the fault is told.
    out.flush().map_err(Failure::output)?;
    copied
}

fn copy(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let from = args.from.unwrap_or(1);
    let mut records = MiniStore::records_from::<Box<RawValue>>(&args.journal, from).peekable();
    if records.peek().is_none() {
        check_there(&args.journal)?;
    }
    while left > 0
        && let Some(record) = records.next()
    {
        let record = record.map_err(|error| Failure::store(&args.journal, &error))?;
        let json = record.value.get().as_bytes();
        write_record(record.seq, json, args.with_seq, out).map_err(Failure::output)?;
        left -= 1;
    }
    Ok(())
}

/// For a reader of records no journal is an empty one; for whoever has mistyped its name it is not.
pub(crate) fn check_there(journal: &Path) -> Result<(), Failure> {
    if !journal.exists() {
        maintenance::examine(journal).map_err(|error| Failure::store(journal, &error))?;
    }
    Ok(())
}

pub(crate) fn write_record(seq: u64, json: &[u8], with_seq: bool, out: &mut impl Write) -> io::Result<()> {
    if with_seq {
        write!(out, "{seq}\t")?;
    }
    out.write_all(json)?;
    out.write_all(b"\n")
}
