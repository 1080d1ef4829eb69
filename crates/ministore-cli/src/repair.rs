//! `ministore repair`: repairs a journal in place without losing intact records.

use std::path::PathBuf;

use ministore_uring::maintenance::{self, RepairMode, RepairReport};
use serde_json::json;

use crate::{
    exit::{CliError, ExitStatus},
    hint::quoted,
    json::JournalReport,
    output,
};

/// Repair a journal that does not open: finish interrupted rotations, truncate a damaged end
///
/// Truncated bytes are saved next to the file (JOURNAL.truncated-OFFSET). Damage in rotated segments cannot be repaired in
/// place: it is reported, and `salvage` copies the intact records into a new journal. Try `--dry-run` first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore repair events.jsonl --dry-run
  ministore repair events.jsonl && ministore verify events.jsonl")]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// Show what would be done, without changing anything
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let mode = if args.dry_run { RepairMode::DryRun } else { RepairMode::Apply };
    let repair =
        maintenance::repair(&args.journal, mode).map_err(|error| CliError::store(&args.journal, &error))?;
    if args.json {
        output::json(&JournalReport::new(&args.journal, json!({ "dry_run": args.dry_run }), &repair))?
    } else {
        output::lines(report(args, &repair))?
    }
    Ok(if repair.unrepairable.is_empty() { ExitStatus::Ok } else { ExitStatus::ProblemFound })
}

fn report(args: &Args, repair: &RepairReport) -> Vec<String> {
    let verb = if args.dry_run { "would: " } else { "done: " };
    let mut lines: Vec<String> = repair.actions.iter().map(|action| format!("{verb}{action}")).collect();
    lines.extend(repair.unrepairable.iter().map(|fault| format!("unrepairable: {fault}")));
    if !repair.unrepairable.is_empty() {
        let journal = quoted(&args.journal);
        lines.push(format!("copy the intact records: ministore salvage {journal} NEW"));
    } else if lines.is_empty() {
        lines.push(format!("{}: nothing to repair", args.journal.display()));
    }
    lines
}
