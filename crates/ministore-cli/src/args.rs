//! Defines the command line as a whole: the subcommands, the global options and the text of `--help` about them. The
//! arguments of a subcommand are defined in its module.

use std::{env, ffi::OsString, path::Path};

use clap::{
    Parser, Subcommand, ValueEnum,
    builder::styling::{AnsiColor, Style, Styles},
};
use tracing::Level;

use crate::{
    backup, bench, compare, completions, doctor,
    exit::LogFormat,
    get, ingest, inspect, man, repair, replay, restore, salvage, serve,
    style::{ColorMode, HEADING},
    transfer::{export, import},
    verify,
};

/// The parser's messages in the colours of the program's.
const STYLES: Styles = Styles::styled()
    .header(HEADING)
    .usage(HEADING)
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(Style::new())
    .error(crate::style::ERROR)
    .invalid(AnsiColor::Yellow.on_default())
    .valid(AnsiColor::Green.on_default());

/// A durable, checksummed log of JSON lines: append, read, follow, verify and repair journals
///
/// A journal is a file of JSON Lines, with rotated segments next to it (JOURNAL.001, JOURNAL.002, …). Every record has a
/// sequence number, counted from 1. Every commit group ends with a seal, a checksum that detects any changed byte.
#[derive(Debug, Parser)]
#[command(name = "ministore", version, styles = STYLES, max_term_width = 100, subcommand_value_name = "COMMAND", after_help = EXAMPLES_AND_EXIT_CODES)]
pub(crate) struct Cli {
    /// Log the library's events to standard error (default: its warnings only)
    #[arg(short, long, global = true, display_order = 990, help_heading = "Global options")]
    verbose: bool,

    /// Print errors only: no progress bar, notes, warnings or summaries
    #[arg(
        short,
        long,
        global = true,
        display_order = 991,
        conflicts_with = "verbose",
        help_heading = "Global options"
    )]
    pub(crate) quiet: bool,

    /// When to colour the output
    #[arg(
        long,
        global = true,
        display_order = 992,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        env = "MINISTORE_COLOR",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    color: ColorMode,

    /// The same as --color never
    #[arg(long, global = true, display_order = 993, help_heading = "Global options")]
    no_color: bool,

    /// The format of messages and of the log on standard error
    #[arg(
        long,
        global = true,
        display_order = 994,
        value_name = "FORMAT",
        value_enum,
        default_value = "text",
        env = "MINISTORE_LOG_FORMAT",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) log_format: LogFormat,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    pub(crate) fn color(&self) -> ColorMode {
        if self.no_color { ColorMode::Never } else { self.color }
    }

    /// The level of the library's events that are logged.
    pub(crate) fn log_level(&self) -> Level {
        match (self.quiet, self.verbose) {
            (true, _) => Level::ERROR,
            (false, false) => Level::WARN,
            (false, true) => Level::INFO,
        }
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ingest(Box<ingest::Args>),
    Serve(Box<serve::Args>),
    #[command(visible_alias = "cat")]
    Replay(replay::Args),
    /// Write the newest records of a journal to standard output; -f follows it
    ///
    /// The same as `replay --last 10`: with -n another number of records, with -f also the records appended later. All
    /// options of `replay` work here, too.
    Tail(replay::Args),
    Get(get::Args),
    #[command(visible_alias = "status")]
    Inspect(inspect::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Salvage(salvage::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Import(import::Args),
    Export(export::Args),
    Bench(bench::Args),
    Compare(compare::Args),
    Doctor(doctor::Args),
    Man(man::Args),
    Completions(completions::Args),
}

impl Command {
    /// The journal that the command works on.
    pub(crate) fn journal(&self) -> Option<&Path> {
        match self {
            Self::Ingest(args) => Some(&args.journal),
            Self::Serve(args) => Some(&args.journal),
            Self::Replay(args) | Self::Tail(args) => Some(&args.journal),
            Self::Get(args) => Some(&args.journal),
            Self::Inspect(args) => Some(&args.journal),
            Self::Verify(args) => Some(&args.journal),
            Self::Repair(args) => Some(&args.journal),
            Self::Salvage(args) => Some(&args.journal),
            Self::Backup(args) => Some(&args.journal),
            Self::Restore(args) => Some(&args.backup),
            Self::Export(args) => Some(&args.journal),
            Self::Import(args) => Some(&args.source),
            _ => None,
        }
    }

    /// Whether `--json` was given: then errors are JSON, too.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Ingest(args) => args.json,
            Self::Serve(args) => args.json,
            Self::Replay(args) | Self::Tail(args) => args.json,
            Self::Get(args) => args.json,
            Self::Inspect(args) => args.json,
            Self::Verify(args) => args.json,
            Self::Repair(args) => args.json,
            Self::Salvage(args) => args.json,
            Self::Backup(args) => args.json,
            Self::Restore(args) => args.json,
            Self::Import(args) => args.json,
            Self::Export(args) => args.json,
            Self::Bench(args) => args.json,
            Self::Compare(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Man(_) | Self::Completions(_) => false,
        }
    }
}

/// Returns the words of a command line up to `--`, before it is parsed.
fn options(raw: &[OsString]) -> impl Iterator<Item = &str> {
    raw.iter().skip(1).map_while(|arg| match arg.to_str() {
        Some("--") => None,
        text => Some(text.unwrap_or_default()),
    })
}

/// Returns the colour mode for messages of the argument parser.
pub(crate) fn early_color(raw: &[OsString]) -> ColorMode {
    if options(raw).any(|word| word == "--no-color") {
        return ColorMode::Never;
    }
    early_value(raw, "--color", "MINISTORE_COLOR").unwrap_or(ColorMode::Auto)
}

/// Returns the log format for messages of the argument parser.
pub(crate) fn early_log_format(raw: &[OsString]) -> LogFormat {
    early_value(raw, "--log-format", "MINISTORE_LOG_FORMAT").unwrap_or(LogFormat::Text)
}

/// Returns the last valid value of an option, or of its environment variable.
fn early_value<T: ValueEnum>(raw: &[OsString], option: &str, variable: &str) -> Option<T> {
    let read = |text: &str| T::from_str(text, false).ok();
    let mut found = env::var(variable).ok().and_then(|text| read(&text));
    let mut words = options(raw).peekable();
    while let Some(word) = words.next() {
        let value = match word.strip_prefix(option) {
            Some("") => words.peek().copied(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        found = value.and_then(read).or(found);
    }
    found
}

/// Whether errors of the argument parser are reported as JSON.
pub(crate) fn early_json(raw: &[OsString]) -> bool {
    options(raw).any(|word| word == "--json")
}

/// Whether this is `ingest` with the option that makes `serve` a service.
pub(crate) fn is_ingest_with_listen(raw: &[OsString]) -> bool {
    let command = options(raw).find(|word| !word.starts_with('-'));
    command == Some("ingest") && options(raw).any(|word| word == "--listen" || word.starts_with("--listen="))
}

const EXAMPLES_AND_EXIT_CODES: &str = "\
Examples:
  producer | ministore ingest events.jsonl
  ministore serve events.jsonl --listen tcp:127.0.0.1:7000
  ministore tail -n 20 -f events.jsonl
  ministore verify events.jsonl && ministore status events.jsonl

Exit codes:
  0    success
  1    found damage (verify, repair, salvage, import), a warning (doctor), a regression (compare)
  64   wrong usage
  65   bad data: a line that is not JSON, a damaged journal
  66   no such journal, input or record
  69   the requested backend is not available
  70   internal error: a bug in this program
  73   an output cannot be created
  74   a read, write or sync failed; also disk full
  75   another process has the journal open for writing
  77   permission denied
  130  interrupted by Ctrl-C (143: by SIGTERM; serve: 0); accepted records are durable";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn cli_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn color_is_known_before_parsing() {
        assert_eq!(early_color(&words("ministore verify --color always --what")), ColorMode::Always);
        assert_eq!(early_color(&words("ministore --color=never verify")), ColorMode::Never);
        assert_eq!(early_color(&words("ministore --no-color --color=always")), ColorMode::Never);
        assert_eq!(early_color(&words("ministore -- --color=always")), ColorMode::Auto);
    }

    #[test]
    fn ingest_with_listen_is_recognised() {
        assert!(is_ingest_with_listen(&words("ministore -v ingest j --listen tcp:h:1")));
        assert!(is_ingest_with_listen(&words("ministore ingest --max-clients 3 --listen=unix:s j")));
        assert!(!is_ingest_with_listen(&words("ministore ingest j --what")));
        assert!(!is_ingest_with_listen(&words("ministore serve j --listen x")));
    }
}
