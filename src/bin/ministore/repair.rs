//! Owns `ministore repair`: the journal mended in place, as far as that loses nothing that still verifies.

use std::path::PathBuf;

use ministore_uring::maintenance::{self, Repair, RepairMode};
use serde_json::json;

use crate::{
    exit::{Code, Failure},
    hint::quoted,
    json, output, verify,
};

/// Mend a journal that does not open: finish what was cut off, cut what does not verify
///
/// What is cut from a file is kept beside it (JOURNAL.cut-OFFSET). Faults in archived segments cannot be mended
/// in place: they are told, and `salvage` copies everything that verifies into a new journal. Try it with
/// `--dry-run` first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore repair events.jsonl --dry-run
  ministore repair events.jsonl && ministore verify events.jsonl")]
pub(crate) struct Args {
    /// The journal
    journal: PathBuf,

    /// Say what would be done, and change no byte
    #[arg(long)]
    dry_run: bool,

    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let mode = if args.dry_run { RepairMode::DryRun } else { RepairMode::Apply };
    let repair =
        maintenance::repair(&args.journal, mode).map_err(|error| Failure::store(&args.journal, &error))?;
    if args.json {
        output::json(&as_json(args, &repair))?
    } else {
        output::lines(report(args, &repair))?
    }
    Ok(if repair.left.is_empty() { Code::Ok } else { Code::Faults })
}

fn as_json(args: &Args, repair: &Repair) -> serde_json::Value {
    json!({
        "journal": args.journal.to_string_lossy(),
        "dry_run": args.dry_run,
        "actions": repair.actions,
        "left": json::faults(&repair.left),
    })
}

fn report(args: &Args, repair: &Repair) -> Vec<String> {
    let verb = if args.dry_run { "would: " } else { "done: " };
    let mut lines: Vec<String> = repair.actions.iter().map(|action| format!("{verb}{action}")).collect();
    lines.extend(repair.left.iter().map(|fault| format!("left: {}", verify::place(fault))));
    if !repair.left.is_empty() {
        let journal = quoted(&args.journal);
        lines.push(format!("what is left cannot be mended in place: ministore salvage {journal} NEW"));
    } else if lines.is_empty() {
        lines.push(format!("{}: nothing to mend", args.journal.display()));
    }
    lines
}
