//! Owns the command line as a whole: the subcommands and what `--help` says about them together. Each
//! subcommand's own arguments stand beside its code.

use clap::{Parser, Subcommand};

use crate::{bench, get, ingest, inspect, repair, replay, salvage, verify};

/// A durable, checked log of JSON lines: put lines in, get them out, and look after the journal.
///
/// A journal is a file of JSON Lines, with archived segments beside it (JOURNAL.001, JOURNAL.002, …). Every
/// record has a sequence number, counted from 1, and every group of records that was made durable together
/// carries a seal that shows whether a byte of it has changed.
#[derive(Debug, Parser)]
#[command(name = "ministore", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Say on standard error what the engine does (otherwise: only its warnings)
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done with a journal.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ingest(Box<ingest::Args>),
    Replay(replay::Args),
    Get(get::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Salvage(salvage::Args),
    Bench(bench::Args),
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done, all is well
  1    done, and faults were found in the journal
  64   the command line is wrong
  65   bad data: a line that is not JSON, a damaged journal
  66   no such journal, input or record
  69   io_uring was asked for and is not available
  70   a fault of this program
  73   an output cannot be created
  74   reading, writing or syncing failed (a full disk, too)
  75   another process is writing to the journal
  77   permission denied
  130  ended by Ctrl-C (143: by SIGTERM); what was accepted is durable";
