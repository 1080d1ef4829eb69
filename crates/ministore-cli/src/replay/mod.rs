//! `ministore replay` and `ministore tail`: write records of a journal, or a part of each, byte for byte as they were appended.

mod condition;
mod follow;
mod pointer;
mod selection;

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use crate::{
    exit::{CliError, ExitStatus},
    reader,
};
use condition::Condition;
use pointer::Pointer;
use selection::RangeFilter;

/// The size of the output buffer: large enough that the cost of system calls does not matter.
const BUFFER_BYTES: usize = 256 * 1024;

/// Write the records of a journal to standard output, one JSON line each, oldest first
///
/// Reads every segment, oldest first, and verifies every checksum on the way. The journal may be open for writing: all records
/// that are durable when the end is reached are written. To read everything that a damaged journal still contains, use
/// `salvage`.
///
/// With `--follow`, continues with records that any process appends, as soon as they are durable, until it is interrupted or
/// its output is closed.
///
/// `--from`, `--to` and `--last` select a range, `--where` filters it, `--pointer` selects a part of each record, and `--limit`
/// counts the lines written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore replay events.jsonl | jq .user
  ministore replay events.jsonl --from 1000001 --to 1000010 --with-seq
  ministore replay events.jsonl -n 20 -f                         # as tail -n 20 -f
  ministore replay events.jsonl --where '/type=\"login\"' --where /user/id
  ministore replay events.jsonl --pointer /user/name | sort | uniq -c
  ministore replay events.jsonl --json                           # {\"seq\":1,\"record\":…}")]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// Start at this sequence number (or at the oldest record still kept)
    ///
    /// Default: the oldest record. With `--follow`, a record that was already deleted is an error.
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,

    /// Stop after this sequence number
    ///
    /// With `--follow`, wait for it.
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,

    /// Only the newest N records; with --follow, start with them
    ///
    /// They are found without reading the records before them.
    #[arg(long, short = 'n', value_name = "N", conflicts_with_all = ["from", "to"])]
    last: Option<u64>,

    /// Only records that have a value at POINTER, or exactly this value (JSON); may be repeated, all must match
    ///
    /// POINTER is a JSON pointer (RFC 6901): /user/name, /tags/0; '~1' is a '/' in a name, '~0' a '~'. Numbers and strings are
    /// compared by value (1 equals 1.0), not by notation.
    #[arg(long = "where", value_name = "POINTER[=JSON]", value_parser = Condition::parse)]
    conditions: Vec<Condition>,

    /// Write only the value at POINTER of each record; skip records that have none
    #[arg(long, value_name = "POINTER", value_parser = Pointer::parse)]
    pointer: Option<Pointer>,

    /// Stop after writing N lines
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Write the sequence number and a tab before each record
    #[arg(long, conflicts_with = "json")]
    with_seq: bool,

    /// Continue with records as they are appended
    #[arg(long, short)]
    follow: bool,

    /// Write {"seq":…,"record":…} lines, and errors as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The number of records that `tail` writes by default.
const TAIL_RECORDS: u64 = 10;

/// Runs `ministore tail`: `replay` with another default.
pub(crate) fn tail(args: Args) -> Result<ExitStatus, CliError> {
    let is_ranged = args.from.is_some() || args.to.is_some();
    let last = args.last.or_else(|| (!is_ranged).then_some(TAIL_RECORDS));
    run(&Args { last, ..args })
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let copied =
        if args.follow { follow::run(args, &mut out) } else { copy(args, &mut out).map(|()| ExitStatus::Ok) };
    // Records before an error are written before the error is reported.
    out.flush().map_err(CliError::output)?;
    copied
}

fn copy(args: &Args, out: &mut impl Write) -> Result<(), CliError> {
    let reader = reader::open_existing(&args.journal)?;
    let mut selection = RangeFilter::of(args, &reader)?;
    let mut records = reader.raw_records_from(selection.from);
    while !selection.is_over()
        && let Some(record) = records.next_record().map_err(|error| CliError::store(&args.journal, &error))?
    {
        selection.write(&record, out)?;
    }
    Ok(())
}

/// The form of a line of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The record.
    Record,
    /// The sequence number, a tab, the record.
    WithSeq,
    /// An object of both.
    Json,
}

impl Format {
    pub(crate) fn of(with_seq: bool, json: bool) -> Self {
        match (with_seq, json) {
            (_, true) => Self::Json,
            (true, false) => Self::WithSeq,
            (false, false) => Self::Record,
        }
    }
}

pub(crate) fn write_record(seq: u64, json: &[u8], format: Format, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Record => {}
        Format::WithSeq => write!(out, "{seq}\t")?,
        Format::Json => write!(out, "{{\"seq\":{seq},\"record\":")?,
    }
    out.write_all(json)?;
    out.write_all(if format == Format::Json { b"}\n" } else { b"\n" })
}
