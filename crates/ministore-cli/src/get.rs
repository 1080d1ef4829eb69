//! `ministore get`: single records of a journal by sequence number.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use serde_json::value::RawValue;

use crate::{
    exit::{CliError, ExitStatus},
    reader,
    replay::{Format, write_record},
};

/// Write single records of a journal to standard output, one JSON line each, in the given order
///
/// Only the segment that contains the record is read, up to the record, and every checksum on the way is verified. Exits with
/// 66 if a record does not exist. For many consecutive records, use `replay --from`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore get events.jsonl 1000001
  ministore get events.jsonl --with-seq 7 3 12
  ministore get events.jsonl --json 7    # {\"seq\":7,\"record\":…}")]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// Sequence numbers, counted from 1
    #[arg(required = true, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    seqs: Vec<u64>,

    /// Write the sequence number and a tab before each record
    #[arg(long, conflicts_with = "json")]
    with_seq: bool,

    /// Write {"seq":…,"record":…} lines, and errors as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let mut out = BufWriter::new(io::stdout().lock());
    let copied = copy(args, &mut out);
    // Records before an error are written before the error is reported.
    out.flush().map_err(CliError::output)?;
    copied.map(|()| ExitStatus::Ok)
}

fn copy(args: &Args, out: &mut impl Write) -> Result<(), CliError> {
    let failure = |error| CliError::store(&args.journal, &error);
    let reader = reader::open_existing(&args.journal)?;
    for &seq in &args.seqs {
        let Some(record) = reader.get::<Box<RawValue>>(seq).map_err(failure)? else {
            let reason = format_args!("record {seq} does not exist yet");
            let failed = CliError::about(&args.journal, ExitStatus::NoInput, reason).seq(seq);
            return Err(match reader.last_seq().map_err(failure)? {
                0 => failed.hint("the journal is empty"),
                newest => failed.hint(format_args!("the newest record is {newest}")),
            });
        };
        let json = record.value.get().as_bytes();
        write_record(seq, json, Format::of(args.with_seq, args.json), out).map_err(CliError::output)?;
    }
    Ok(())
}
