//! `ministore salvage`: copies the intact records into a new journal.

use std::path::PathBuf;

use ministore_uring::maintenance::{self, SalvageReport};
use serde_json::json;

use crate::{
    exit::{CliError, ExitStatus},
    json::JournalReport,
    output, ownership, units,
};

/// Copy the intact records of a damaged journal into a new one
///
/// The damaged journal is only read. A commit group is copied whole or not at all. The records of the new journal are numbered
/// from 1. Exits with 1 if something could not be copied; all damage is reported as by `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore salvage events.jsonl salvaged.jsonl && ministore verify salvaged.jsonl
  ministore salvage events.jsonl salvaged.jsonl --json | jq '.faults[].reason'")]
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
    lines.extend(salvage.faults.iter().map(|fault| format!("lost: {fault}")));
    lines
}
