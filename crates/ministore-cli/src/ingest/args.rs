//! Defines the command line of `ingest`.

use std::path::PathBuf;

use clap::builder::Resettable;

use super::bad_lines::OnError;
use crate::store::JournalArgs;

/// Append JSON lines from files or standard input to a journal
///
/// Reads NDJSON (one JSON value per line) from the given files, in order, or from standard input. gzip and Zstandard files are
/// recognised by their content and decompressed. Blank lines are skipped. The journal is created if it does not exist. At the end, and after Ctrl-C, a
/// summary reports how many records are durable and the commit latency.
///
/// To receive lines from clients over sockets, use `ministore serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore ingest events.jsonl day1.ndjson.zst day2.ndjson.gz
  producer | ministore ingest events.jsonl --on-error quarantine=bad.ndjson
  ministore ingest events.jsonl day1.ndjson --resume    # after a crash: no line is lost or appended twice

Retention runs when a segment is started; --max-total-bytes and --max-age also run when the journal is opened. Segments that a hold protects are kept (see inspect).

--resume uses JOURNAL.ingest-checkpoint. It reads the same input from the start, compares it with the records that are already in the journal, and appends the rest.")]
// The environment does not set retention here, because that would delete records of every journal.
#[command(mut_arg("max_segments", |arg| arg.env(Resettable::Reset)))]
#[command(mut_arg("max_total_bytes", |arg| arg.env(Resettable::Reset)))]
#[command(mut_arg("max_age", |arg| arg.env(Resettable::Reset)))]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// The input files; `-` or none: standard input
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    /// Continue an interrupted run with the same input
    #[arg(long)]
    pub(super) resume: bool,

    /// Append the input even if the journal may already contain it
    #[arg(long)]
    pub(super) allow_duplicates: bool,

    /// What to do with a line that is not JSON: stop, skip, or quarantine=FILE (append it to FILE, with its origin and the
    /// reason)
    /// [default: stop; with --resume, the setting of the interrupted run]
    #[arg(long, value_name = "ACTION", value_parser = OnError::parse)]
    pub(super) on_error: Option<OnError>,

    #[command(flatten)]
    pub(super) options: JournalArgs,

    /// Print the summary as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
