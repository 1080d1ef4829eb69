//! Owns `ministore replay`: records out of a journal, or a part of each, byte for byte as they were put in.

mod condition;
mod follow;
mod pointer;
mod selection;

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use ministore_uring::{MiniStore, maintenance};

use crate::exit::{Code, Failure};
use condition::Condition;
use pointer::Pointer;
use selection::{Selection, Wanted};

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
///
/// `--from`, `--to` and `--last` choose a run of records, `--where` those of them that are wanted, `--pointer` what is
/// written of each; `--limit` counts what is written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore replay events.jsonl | jq .user
  ministore replay events.jsonl --from 1000001 --to 1000010 --with-seq
  ministore replay events.jsonl --last 20 --follow               # as tail -n 20 -f
  ministore replay events.jsonl --where '/type=\"login\"' --where /user/id
  ministore replay events.jsonl --pointer /user/name | sort | uniq -c")]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// Begin with the record of this sequence number (or the oldest one still kept)
    ///
    /// Without it, begin with the oldest. With `--follow`, a record that was deleted already is an error.
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,

    /// End with the record of this sequence number
    ///
    /// With `--follow`, wait for it.
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,

    /// Only the newest N records; with --follow, begin with them
    ///
    /// They are found without reading those before them.
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to"])]
    last: Option<u64>,

    /// Only records that have a value there, or that very value (JSON); all conditions must hold
    ///
    /// POINTER is a JSON pointer (RFC 6901): /user/name, /tags/0; '~1' is a '/' in a name, '~0' a '~'. Numbers are the same
    /// however they are written (1, 1.0), texts whatever their escapes.
    #[arg(long = "where", value_name = "POINTER[=JSON]", value_parser = Condition::parse)]
    conditions: Vec<Condition>,

    /// Write only the value there of each record, and pass over records that have none
    #[arg(long, value_name = "POINTER", value_parser = Pointer::parse)]
    pointer: Option<Pointer>,

    /// Stop when so many lines are written
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Put the sequence number and a tab before each line
    #[arg(long)]
    with_seq: bool,

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
    check_there(&args.journal)?;
    let mut selection = Selection::of(args, false)?;
    let mut lines = MiniStore::lines_from(&args.journal, selection.from.max(1));
    while selection.wanted() == Wanted::More
        && let Some(line) = lines.next_line().map_err(|error| Failure::store(&args.journal, &error))?
    {
        if selection.take(&line, out).map_err(|taken| taken.failure(args))? == Wanted::Enough {
            break;
        }
    }
    Ok(())
}

/// For a reader of records no journal is an empty one; for whoever has mistyped its name it is not.
pub(crate) fn check_there(journal: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::store(journal, &error);
    // While it is rotated the active segment has no name for a moment: then there are older ones.
    if !journal.exists() && MiniStore::lines(journal).next_line().map_err(failed)?.is_none() {
        maintenance::examine(journal).map_err(failed)?;
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
