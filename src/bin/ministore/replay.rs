//! Owns `ministore replay`: records out of a journal, byte for byte as they were put in.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use ministore_uring::{MiniStore, Record, maintenance};
use serde_json::value::RawValue;

use crate::exit::{Code, Failure};

/// Large enough that the system calls do not show beside reading and checking.
const BUFFER_BYTES: usize = 256 * 1024;

/// Write the records of a journal to standard output, one JSON line each, oldest first
///
/// Every segment is read, oldest first, and every seal is checked on the way. The journal may be open for
/// writing: what is durable when the end is reached is what is written. To see everything that a damaged
/// journal still holds, use `salvage`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore replay events.jsonl | jq .user
  ministore replay events.jsonl --from 1000001 --limit 10 --with-seq")]
pub(crate) struct Args {
    /// The journal
    journal: PathBuf,

    /// Begin with the record of this sequence number (or the oldest one still kept)
    #[arg(long, value_name = "SEQ", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,

    /// Stop after so many records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Put the sequence number and a tab before each line
    #[arg(long)]
    with_seq: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let copied = copy(args, &mut out);
    // What was read before a fault is written before the fault is told.
    out.flush().map_err(Failure::output)?;
    copied.map(|()| Code::Ok)
}

fn copy(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut records = MiniStore::records_from::<Box<RawValue>>(&args.journal, args.from).peekable();
    if records.peek().is_none() && !args.journal.exists() {
        // For a reader of records no journal is an empty one; for whoever has mistyped its name it is not.
        maintenance::examine(&args.journal).map_err(|error| Failure::store(&args.journal, &error))?;
    }
    while left > 0
        && let Some(record) = records.next()
    {
        let record = record.map_err(|error| Failure::store(&args.journal, &error))?;
        write_record(&record, args.with_seq, out).map_err(Failure::output)?;
        left -= 1;
    }
    Ok(())
}

fn write_record(record: &Record<Box<RawValue>>, with_seq: bool, out: &mut impl Write) -> io::Result<()> {
    if with_seq {
        write!(out, "{}\t", record.seq)?;
    }
    out.write_all(record.value.get().as_bytes())?;
    out.write_all(b"\n")
}
