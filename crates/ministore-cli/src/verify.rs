//! `ministore verify`: checks every seal and every link of a journal and reports all damage.

use std::path::PathBuf;

use ministore_uring::maintenance::{self, VerifyReport};
use serde_json::json;

use crate::{
    exit::{CliError, ExitStatus, hint, is_quiet},
    hint::quoted,
    json::JournalReport,
    output, units,
};

/// Check every checksum of a journal; exit with 1 if acknowledged data is damaged
///
/// Reads the whole journal, writes nothing, and reports all damage, one line each, with the segment, the byte offset, the
/// line and the sequence number. A torn tail (the rest of a group that a crash interrupted, never acknowledged) is reported
/// but is not damage: the next open truncates it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore verify events.jsonl && echo sound
  ministore verify events.jsonl --json | jq -r '.faults[].segment' | sort -u")]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let found = maintenance::verify(&args.journal).map_err(|error| CliError::store(&args.journal, &error))?;
    if args.json {
        let fields = json!({
            "sound": found.faults.is_empty(),
            "unchecksummed_segments": unchecksummed_segments(&found),
        });
        output::json(&JournalReport::new(&args.journal, fields, &found))?;
    } else {
        output::lines(report(args, &found))?;
        if !found.faults.is_empty() {
            let name = quoted(&args.journal);
            hint(format_args!(
                "'ministore salvage {name} NEW' copies the intact records; 'ministore repair {name} --dry-run' shows what can \
                 be repaired in place"
            ));
        }
    }
    Ok(if found.faults.is_empty() { ExitStatus::Ok } else { ExitStatus::ProblemFound })
}

fn report(args: &Args, found: &VerifyReport) -> Vec<String> {
    let mut lines: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    if found.faults.is_empty() && !is_quiet() {
        lines.push(totals(args, found));
    }
    if let Some(tail) = &found.torn_tail {
        lines.push(format!("{tail} (torn tail, never acknowledged: not damage)"));
    }
    lines
}

fn totals(args: &Args, found: &VerifyReport) -> String {
    let plain = match unchecksummed_segments(found) {
        0 => String::new(),
        some => format!(" ({some} without checksums: only the format was checked)"),
    };
    let [records, groups] =
        [(found.records, "record"), (found.groups, "group")].map(|(n, noun)| units::counted(n, noun));
    let segments = units::counted(found.segments.len() as u64, "segment");
    format!("{}: sound: {records} in {groups} in {segments}{plain}", args.journal.display())
}

fn unchecksummed_segments(found: &VerifyReport) -> usize {
    found.segments.iter().filter(|segment| !segment.checksummed).count()
}
