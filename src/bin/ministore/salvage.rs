//! Owns `ministore salvage`: everything that verifies, copied into a new journal.

use std::path::PathBuf;

use ministore_uring::maintenance::{self, Salvage};
use serde_json::json;

use crate::{
    exit::{Code, Failure},
    json, output, units, verify,
};

/// Copy every record that still verifies into a new journal; the damaged one is only read
///
/// A group is copied whole or not at all. Records get new sequence numbers in the new journal, counted from 1.
/// Exits with 1 where something could not be salvaged; each fault is told as `verify` tells it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore salvage events.jsonl salvaged.jsonl && ministore verify salvaged.jsonl
  ministore salvage events.jsonl salvaged.jsonl --json | jq '.lost[].reason'")]
pub(crate) struct Args {
    /// The damaged journal
    journal: PathBuf,

    /// The journal to make; it must not exist
    new: PathBuf,

    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let salvage = maintenance::salvage(&args.journal, &args.new)
        .map_err(|error| Failure::store(&args.journal, &error))?;
    if args.json {
        output::json(&as_json(args, &salvage))?
    } else {
        output::lines(report(args, &salvage))?
    }
    Ok(if salvage.faults.is_empty() { Code::Ok } else { Code::Faults })
}

fn as_json(args: &Args, salvage: &Salvage) -> serde_json::Value {
    json!({
        "journal": args.journal.to_string_lossy(),
        "new": args.new.to_string_lossy(),
        "records": salvage.records,
        "groups": salvage.groups,
        "lost": json::faults(&salvage.faults),
    })
}

fn report(args: &Args, salvage: &Salvage) -> Vec<String> {
    let (records, groups) =
        (units::counted(salvage.records, "record"), units::counted(salvage.groups, "group"));
    let (new, old) = (args.new.display(), args.journal.display());
    let mut lines = vec![format!("{new}: {records} in {groups} salvaged from {old}")];
    lines.extend(salvage.faults.iter().map(|fault| format!("lost: {}", verify::place(fault))));
    lines
}
