//! `ministore salvage`: copies the intact records into a new journal.

use std::path::PathBuf;

use ministore_uring::maintenance::{self, LostRecords, SalvageReport, SalvagedRecords};
use serde_json::json;

use crate::{
    exit::{CliError, ExitStatus},
    json::JournalReport,
    output, ownership, units,
};

/// Copy the intact records of a damaged journal into a new one
///
/// The damaged journal is only read. A commit group is copied whole or not at all. The records of the new journal are numbered
/// from 1; the output says which numbers they had, and which records are lost (with --json: `map` and `lost`). Exits with 1 if
/// something could not be copied; all damage is reported as by `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore salvage events.jsonl salvaged.jsonl && ministore verify salvaged.jsonl
  ministore salvage events.jsonl salvaged.jsonl --json >map.json
  jq '.lost[] | {first_seq, records}' map.json")]
pub(crate) struct Args {
    /// The damaged journal
    pub(crate) journal: PathBuf,

    /// The journal to create; it must not exist
    new: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    ownership::check_journal_name(&args.new)?;
    let salvage = maintenance::salvage(&args.journal, &args.new)
        .map_err(|error| CliError::store(&args.journal, &error))?;
    if args.json {
        let fields = json!({ "new": args.new.to_string_lossy() });
        output::json(&JournalReport::new(&args.journal, fields, &salvage))?
    } else {
        output::lines(report(args, &salvage))?
    }
    Ok(if salvage.faults.is_empty() { ExitStatus::Ok } else { ExitStatus::ProblemFound })
}

fn report(args: &Args, salvage: &SalvageReport) -> Vec<String> {
    let (records, groups) =
        (units::counted(salvage.records, "record"), units::counted(salvage.groups, "group"));
    let (new, old) = (args.new.display(), args.journal.display());
    let mut lines = vec![format!("{new}: {records} in {groups} salvaged from {old}")];
    let is_renumbered = |run: &SalvagedRecords| run.old_first_seq != Some(run.new_first_seq);
    if salvage.map.iter().any(is_renumbered) {
        lines.extend(salvage.map.iter().map(renumbered));
    }
    lines.extend(salvage.lost.iter().map(|lost| format!("lost: {}", lost_records(lost))));
    lines.extend(salvage.faults.iter().map(|fault| format!("not copied: {fault}")));
    lines
}

/// Says which numbers copied records had and have.
fn renumbered(run: &SalvagedRecords) -> String {
    let old = match run.old_first_seq {
        Some(first) => format!("{}{}", about(run.is_estimated), numbers(first, run.records)),
        None => format!("{} of unknown number", units::counted(run.records, "record")),
    };
    format!("{old} of {}: now {}", run.segment.display(), numbers(run.new_first_seq, run.records))
}

/// Names lost records.
pub(crate) fn lost_records(lost: &LostRecords) -> String {
    let place = format!("{}, byte {}", lost.segment.display(), lost.offset);
    match lost.first_seq {
        Some(first) => format!("{}{} ({place})", about(lost.is_estimated), numbers(first, lost.records)),
        None => format!("{} of unknown number ({place})", units::counted(lost.records, "record")),
    }
}

fn about(is_estimated: bool) -> &'static str {
    if is_estimated { "about " } else { "" }
}

fn numbers(first: u64, records: u64) -> String {
    match records {
        1 => format!("record {first}"),
        _ => format!("records {first}–{}", first.saturating_add(records).saturating_sub(1)),
    }
}
