//! Owns `ministore verify`: every seal and every link of a journal checked, every fault told.

use std::path::PathBuf;

use ministore_uring::maintenance::{self, Examination, Fault};
use serde_json::json;

use crate::{
    exit::{Code, Failure, hint},
    hint::quoted,
    json, output, units,
};

/// Check every seal and link of a journal; exit with 1 where acknowledged data is damaged
///
/// Reads everything, writes nothing, and does not stop at the first fault: one line tells each one, with the
/// segment, the byte offset, the line and the sequence number. A torn tail (what a crash left of a group that
/// was never acknowledged) is told, but is no fault: the next open cuts it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore verify events.jsonl && echo sound
  ministore verify events.jsonl --json | jq -r '.faults[].file' | sort -u")]
pub(crate) struct Args {
    /// The journal
    journal: PathBuf,

    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let found = maintenance::examine(&args.journal).map_err(|error| Failure::store(&args.journal, &error))?;
    if args.json {
        output::json(&as_json(args, &found))?;
    } else {
        output::lines(report(args, &found))?;
        if !found.faults.is_empty() {
            let name = quoted(&args.journal);
            hint(format_args!(
                "'ministore repair {name} --dry-run' says what can be mended in place, 'ministore salvage {name} NEW' \
                 copies what verifies"
            ));
        }
    }
    Ok(if found.faults.is_empty() { Code::Ok } else { Code::Faults })
}

fn as_json(args: &Args, found: &Examination) -> serde_json::Value {
    json!({
        "journal": args.journal.to_string_lossy(),
        "sound": found.faults.is_empty(),
        "segments": found.segments.len(),
        "records": found.records,
        "groups": found.groups,
        "plain_segments": plain_segments(found),
        "faults": json::faults(&found.faults),
        "torn_tail": found.torn_tail.as_ref().map(json::fault),
    })
}

fn report(args: &Args, found: &Examination) -> Vec<String> {
    let mut lines: Vec<String> = found.faults.iter().map(place).collect();
    if found.faults.is_empty() {
        lines.push(totals(args, found));
    }
    if let Some(tail) = &found.torn_tail {
        lines.push(format!("{} (a torn tail, never acknowledged: no fault)", place(tail)));
    }
    lines
}

/// One fault on one line.
pub(crate) fn place(fault: &Fault) -> String {
    let seq = fault.seq.map_or_else(String::new, |seq| format!(", record {seq}"));
    format!("{}: byte {}, line {}{seq}: {}", fault.segment.display(), fault.offset, fault.line, fault.reason)
}

fn totals(args: &Args, found: &Examination) -> String {
    let plain = match plain_segments(found) {
        0 => String::new(),
        some => format!(" ({some} without seals: only their form was checked)"),
    };
    let [records, groups] =
        [(found.records, "record"), (found.groups, "group")].map(|(n, noun)| units::counted(n, noun));
    let segments = units::counted(found.segments.len() as u64, "segment");
    format!("{}: sound: {records} in {groups} in {segments}{plain}", args.journal.display())
}

fn plain_segments(found: &Examination) -> usize {
    found.segments.iter().filter(|segment| !segment.sealed).count()
}
