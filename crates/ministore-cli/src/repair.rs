//! `ministore repair`: repairs a journal in place without losing a record that verifies.

use std::path::PathBuf;

use ministore_uring::maintenance::{self, RepairMode, RepairReport};
use serde_json::json;

use crate::{
    exit::{CliError, ExitStatus},
    hint::quoted,
    json::JournalReport,
    output,
    salvage::lost_records,
    units,
};

/// Repair a journal in place without losing a record that verifies
///
/// Try `salvage` first: it copies everything that verifies into a new journal. `repair` finishes interrupted rotations, truncates
/// the end of the active segment if nothing in it verifies, and moves an older copy of a segment aside. Truncated bytes are saved
/// next to the file (JOURNAL.truncated-OFFSET). Damage before records that verify is not repaired: it is reported.
///
/// Exits with 1 if acknowledged records are lost (new records get their numbers), or if damage is left.
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
    let is_whole = repair.unrepairable.is_empty() && repair.lost.is_empty();
    Ok(if is_whole { ExitStatus::Ok } else { ExitStatus::ProblemFound })
}

fn report(args: &Args, repair: &RepairReport) -> Vec<String> {
    let verb = if args.dry_run { "would: " } else { "done: " };
    let mut lines: Vec<String> = repair.actions.iter().map(|action| format!("{verb}{action}")).collect();
    lines.extend(repair.unrepairable.iter().map(|fault| format!("unrepairable: {fault}")));
    let journal = quoted(&args.journal);
    if !repair.unrepairable.is_empty() {
        lines.push(format!("copy the intact records: ministore salvage {journal} NEW"));
    } else if lines.is_empty() {
        lines.push(format!("{}: nothing to repair", args.journal.display()));
    }
    let lost_verb = if args.dry_run { "would be lost: " } else { "lost: " };
    lines.extend(repair.lost.iter().map(|lost| format!("{lost_verb}{}", lost_records(lost))));
    if !repair.lost.is_empty() {
        lines.push("their numbers are given to the next records".to_owned());
    }
    if !repair.actions.is_empty() || !repair.unrepairable.is_empty() {
        lines.push(format!("{} verify; all of them are kept", units::counted(repair.records, "record")));
    }
    lines
}
