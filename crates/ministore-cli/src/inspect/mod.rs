//! `ministore inspect`: a table of the segments, the holds, and how the space is used.

mod space;

use std::path::PathBuf;

use anstyle::Style;
use ministore_uring::maintenance::{self, SegmentReport, SegmentState, VerifyReport};
use serde_json::{Value, json};

use crate::{
    exit::{CliError, ExitStatus},
    json::JournalReport,
    output,
    printable::printable,
    style::{Colors, ERROR, GOOD, HEADING, WARNING},
    units,
};
use space::SpaceUsage;

/// Show the segments of a journal, their state, the holds, and how the space is used
///
/// Reads the whole journal and writes nothing. The last row is the active segment, to which records are appended. `groups` is
/// the number of commit groups. `state` is one of: closed (complete), open (in use, or its writer was killed), torn tail (ends
/// with a group that was never acknowledged), damaged (see `verify`), older copy (all its records are in a rotated segment).
///
/// Below the table are the holds, which protect records from retention, and a bar for each segment that shows how its bytes
/// are used: records, overhead, preallocated padding.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore inspect events.jsonl
  ministore inspect events.jsonl --json | jq '.segments[] | select(.state == \"damaged\") | .path'")]
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
        output::json(&as_json(args, &found).map_err(output::json_failed)?)?
    } else {
        output::styled_lines(table(&found).into_iter().chain(holds(&found)).chain(bars(&found)))?
    }
    Ok(ExitStatus::Ok)
}

/// The library's report, with the space usage of each segment.
fn as_json(args: &Args, found: &VerifyReport) -> serde_json::Result<Value> {
    let fields = json!({ "file_bytes": file_bytes(found), "first_seq": found.first_seq() });
    let mut report = serde_json::to_value(JournalReport::new(&args.journal, fields, found))?;
    if let Some(segments) = report["segments"].as_array_mut() {
        for (object, segment) in segments.iter_mut().zip(&found.segments) {
            object["space"] = serde_json::to_value(SpaceUsage::of(segment))?;
        }
    }
    Ok(report)
}

fn file_bytes(found: &VerifyReport) -> u64 {
    found.segments.iter().map(|segment| segment.file_bytes).sum()
}

/// The holds, printed below the table.
fn holds(found: &VerifyReport) -> impl Iterator<Item = String> {
    let hold = |(name, seq): (&String, &u64)| {
        format!("hold {}: from record {}", printable(name), units::count(*seq))
    };
    found.holds.iter().map(hold)
}

/// The bars, printed below the holds.
fn bars(found: &VerifyReport) -> Vec<String> {
    if found.segments.is_empty() {
        return Vec::new();
    }
    let rows: Vec<_> =
        found.segments.iter().map(|segment| (name(segment), SpaceUsage::of(segment))).collect();
    let total = SpaceUsage::sum(rows.iter().map(|(_, space)| *space));
    let mut lines = vec![String::new()];
    lines.extend(space::bars(&rows, &total));
    lines
}

const HEADINGS: [&str; 7] = ["segment", "records", "sequence", "groups", "bytes", "checksums", "state"];

fn table(found: &VerifyReport) -> Vec<String> {
    let paint = Colors::of_stdout();
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(found.segments.iter().map(row));
    rows.push(totals(found));
    let mut lines = output::columns(&rows, &["segment", "checksums", "state"]);
    lines[0] = paint.with(HEADING, &lines[0]);
    // Only the last column is coloured, so that the alignment does not change.
    for (line, segment) in lines[1..].iter_mut().zip(&found.segments) {
        let state = segment.state.to_string();
        if let Some(start) = line.strip_suffix(&state) {
            *line = format!("{start}{}", paint.with(style_of(segment.state), state));
        }
    }
    lines
}

fn style_of(state: SegmentState) -> Style {
    match state {
        SegmentState::Closed => GOOD,
        SegmentState::Damaged => ERROR,
        SegmentState::TornTail | SegmentState::OlderCopy => WARNING,
        _ => Style::new(),
    }
}

fn name(segment: &SegmentReport) -> String {
    let name = segment.path.file_name().unwrap_or(segment.path.as_os_str());
    printable(&name.to_string_lossy()).into_owned()
}

fn row(segment: &SegmentReport) -> [String; 7] {
    let sequence = match (segment.first_seq, segment.last_seq) {
        (Some(first), Some(last)) => format!("{first}–{last}"),
        _ => "-".to_owned(),
    };
    [
        name(segment),
        units::count(segment.records),
        sequence,
        units::count(segment.groups),
        units::count(segment.file_bytes),
        if segment.checksummed { "yes" } else { "no" }.to_owned(),
        segment.state.to_string(),
    ]
}

fn totals(found: &VerifyReport) -> [String; 7] {
    [
        "total".to_owned(),
        units::count(found.records),
        String::new(),
        units::count(found.groups),
        units::count(file_bytes(found)),
        String::new(),
        String::new(),
    ]
}
