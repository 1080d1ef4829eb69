//! Owns the command line as a whole: the subcommands and what `--help` says about them together. Each
//! subcommand's own arguments stand beside its code.

use clap::{
    Parser, Subcommand,
    builder::styling::{AnsiColor, Style, Styles},
};

use crate::{
    bench, compare, completions, doctor, get, ingest, inspect, man, repair, replay, salvage,
    style::HEADING,
    transfer::{export, import},
    verify,
};

/// The parser's own words in the colours of the program's.
const STYLES: Styles = Styles::styled()
    .header(HEADING)
    .usage(HEADING)
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(Style::new())
    .error(crate::style::ERROR)
    .invalid(AnsiColor::Yellow.on_default())
    .valid(AnsiColor::Green.on_default());

/// A durable, checked log of JSON lines: put lines in, get them out, and look after the journal.
///
/// A journal is a file of JSON Lines, with archived segments beside it (JOURNAL.001, JOURNAL.002, …). Every
/// record has a sequence number, counted from 1, and every group of records that was made durable together
/// carries a seal that shows whether a byte of it has changed.
#[derive(Debug, Parser)]
#[command(name = "ministore", version, styles = STYLES, max_term_width = 100, subcommand_value_name = "COMMAND", after_help = EXAMPLES_AND_EXIT_CODES)]
pub(crate) struct Cli {
    /// Say on standard error what the engine does (otherwise: only its warnings)
    #[arg(short, long, global = true, display_order = 998)]
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
    Import(import::Args),
    Export(export::Args),
    Bench(bench::Args),
    Compare(compare::Args),
    Doctor(doctor::Args),
    Man(man::Args),
    Completions(completions::Args),
}

const EXAMPLES_AND_EXIT_CODES: &str = "\
Examples:
  producer | ministore ingest events.jsonl
  ministore replay events.jsonl --last 20 --follow
  ministore verify events.jsonl && ministore inspect events.jsonl

Exit codes:
  0    done, all is well
  1    done, and faults were found in the journal (doctor: something to heed; compare: B is worse)
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
