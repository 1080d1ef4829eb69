//! Owns `ministore get`: single records of a journal, by their numbers.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use ministore_uring::MiniStore;
use serde_json::value::RawValue;

use crate::{
    exit::{Code, Failure},
    replay::{check_there, write_record},
};

/// Write single records of a journal to standard output, one JSON line each, in the order asked for
///
/// Only the segment that holds a record is read, up to it, and every seal on the way is checked. A record that is
/// not there ends the program with code 66. For many records in a row, use `replay --from`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore get events.jsonl 1000001
  ministore get events.jsonl --with-seq 7 3 12")]
pub(crate) struct Args {
    /// The journal
    journal: PathBuf,

    /// Sequence numbers, counted from 1
    #[arg(required = true, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    seqs: Vec<u64>,

    /// Put the sequence number and a tab before each line
    #[arg(long)]
    with_seq: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let copied = copy(args, &mut out);
    // What was found before a fault is written before the fault is told.
    out.flush().map_err(Failure::output)?;
    copied.map(|()| Code::Ok)
}

fn copy(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let failure = |error| Failure::store(&args.journal, &error);
    let reader = MiniStore::reader(&args.journal);
    for &seq in &args.seqs {
        let Some(record) = reader.get::<Box<RawValue>>(seq).map_err(failure)? else {
            check_there(&args.journal)?;
            let message = format_args!("{}: there is no record {seq} yet", args.journal.display());
            let failed = Failure::new(Code::NoInput, message);
            return Err(match reader.last_seq().map_err(failure)? {
                0 => failed.hint("the journal has no records yet"),
                newest => failed.hint(format_args!("the newest record is {newest}")),
            });
        };
        let json = record.value.get().as_bytes();
        write_record(seq, json, args.with_seq, out).map_err(Failure::output)?;
    }
    Ok(())
}
