//! Owns the command line of `ingest`.

use std::{path::PathBuf, time::Duration};

use super::{bad::Policy, serve::ServeArgs};
use crate::{store::WriteArgs, units};

/// Append lines of JSON to a journal, each one durable before it is counted
///
/// Reads NDJSON (one JSON value a line) from the files given, in their order, or from standard input. Files named
/// *.gz and *.zst are decompressed. Blank lines are passed over. The journal is created where it is missing.
/// At the end, and after Ctrl-C, a summary tells how many records are durable and how long the commits took.
#[derive(Debug, clap::Args)]
#[command(after_help = r#"Examples:
  ministore ingest events.jsonl day1.ndjson.zst day2.ndjson.gz
  producer | ministore ingest events.jsonl --on-error quarantine=bad.ndjson
  ministore ingest events.jsonl day1.ndjson --resume    # after a crash: no line lost, none twice
  ministore ingest events.jsonl --listen unix:/run/events.sock --listen tcp:127.0.0.1:7000

As a service it takes lines from many clients until SIGTERM or Ctrl-C; SIGHUP begins a new segment. A client whose first line is {"ministore":{"ack":"record"}} is told the number of each record once it is durable; "ack":"batch" tells of each batch, and "token":"…" is for where one is asked for.

Segments are deleted when one is begun, and --max-total-bytes and --max-age also delete at the start; never one that a hold protects (see inspect).

What --resume needs is kept in JOURNAL.ingest. It reads the same input from its start, compares the lines that are already in the journal, and appends the rest."#)]
pub(crate) struct Args {
    /// The journal
    pub(super) journal: PathBuf,

    /// The input files; `-`, or none, is standard input
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    /// Go on with a run of the same input that was interrupted, however it was
    #[arg(long)]
    pub(super) resume: bool,

    /// What becomes of a line that is not JSON: stop, skip, or quarantine=FILE (append it to FILE as it is)
    /// [default: stop; with --resume, what the interrupted run did]
    #[arg(long, value_name = "ACTION", value_parser = Policy::parse)]
    pub(super) on_error: Option<Policy>,

    /// Begin a new segment when one has reached this size (64MiB, 500M, 2G, …)
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, default_value = "64MiB")]
    pub(super) segment_bytes: u64,

    /// Keep at most so many segments, DELETING the oldest [default: keep all]
    #[arg(long, value_name = "N")]
    pub(super) max_segments: Option<usize>,

    /// Keep at most so many bytes of segments (100MiB, 20G, …), DELETING the oldest [default: keep all]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    pub(super) max_total_bytes: Option<u64>,

    /// Keep segments for so long (36h, 7d, …), DELETING those whose newest record is older [default: keep all]
    #[arg(long, value_name = "TIME", value_parser = units::parse_time)]
    pub(super) max_age: Option<Duration>,

    #[command(flatten)]
    pub(super) write: WriteArgs,

    /// Write no seals: the closed file is plain lines, and damage goes unnoticed
    #[arg(long)]
    pub(super) no_seals: bool,

    /// The summary as one JSON object
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

impl Args {
    /// Old segments may be deleted.
    pub(super) fn deletes(&self) -> bool {
        self.max_segments.is_some() || self.max_total_bytes.is_some() || self.max_age.is_some()
    }
}
