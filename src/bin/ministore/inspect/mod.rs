//! Owns `ministore inspect`: a table of a journal's segments, and what their bytes are spent on.

mod space;

use std::path::PathBuf;

use anstyle::Style;
use ministore_uring::maintenance::{self, Examination, Segment, SegmentState};
use serde_json::{Value, json};

use crate::{
    exit::{Code, Failure},
    json, output,
    style::{ERROR, GOOD, HEADING, Paint, WARNING},
    units,
};
use space::Space;

/// Show the segments of a journal: what each holds, in what state it is, and where the space goes
///
/// Reads the whole journal and writes nothing. The last row is the active segment, the one that is written to.
/// `groups` is the number of commits that made the records durable. `state` is: closed (complete), open (in use,
/// or cut off while in use), torn tail (ends in a group that was never acknowledged), damaged (see `verify`).
///
/// Below the table stand the holds, the records that retention keeps for somebody, and a bar for each segment: which part
/// of its bytes are records, which part is what makes them safe, which part was only written ahead.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore inspect events.jsonl
  ministore inspect events.jsonl --json | jq '.segments[] | select(.state == \"damaged\") | .file'")]
pub(crate) struct Args {
    /// The journal
    journal: PathBuf,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let found = maintenance::examine(&args.journal).map_err(|error| Failure::store(&args.journal, &error))?;
    if args.json {
        output::json(&as_json(args, &found))?
    } else {
        output::lines(table(&found).into_iter().chain(holds(&found)).chain(bars(&found)))?
    }
    Ok(Code::Ok)
}

fn as_json(args: &Args, found: &Examination) -> Value {
    json!({
        "journal": args.journal.to_string_lossy(),
        "records": found.records,
        "groups": found.groups,
        "file_bytes": file_bytes(found),
        "first_seq": found.first_seq(),
        "holds": found.holds,
        "segments": found.segments.iter().map(segment_json).collect::<Vec<_>>(),
        "faults": json::faults(&found.faults),
        "torn_tail": found.torn_tail.as_ref().map(json::fault),
    })
}

fn segment_json(segment: &Segment) -> Value {
    let space = Space::of(segment);
    let mut object = json::segment(segment);
    object["space"] = json!({
        "header": space.header,
        "records": space.records,
        "seals": space.seals,
        "line_ends": space.line_ends,
        "padding": space.padding,
        "unverified": space.unverified,
    });
    object
}

fn file_bytes(found: &Examination) -> u64 {
    found.segments.iter().map(|segment| segment.file_bytes).sum()
}

/// Below the table: who holds which records.
fn holds(found: &Examination) -> impl Iterator<Item = String> {
    let hold = |(name, seq): (&String, &u64)| format!("hold {name}: from record {}", units::count(*seq));
    found.holds.iter().map(hold)
}

/// Below those: what the bytes are spent on.
fn bars(found: &Examination) -> Vec<String> {
    if found.segments.is_empty() {
        return Vec::new();
    }
    let rows: Vec<_> = found.segments.iter().map(|segment| (name(segment), Space::of(segment))).collect();
    let total = Space::sum(rows.iter().map(|(_, space)| *space));
    let mut lines = vec![String::new()];
    lines.extend(space::bars(&rows, &total));
    lines
}

const HEADINGS: [&str; 7] = ["segment", "records", "sequence", "groups", "bytes", "seals", "state"];

/// Where the state stands.
const STATE: usize = 6;

fn table(found: &Examination) -> Vec<String> {
    let paint = Paint::of_stdout();
    let mut rows = vec![(HEADINGS.map(str::to_owned), None)];
    rows.extend(found.segments.iter().map(|segment| (row(segment), Some(style_of(segment.state)))));
    rows.push((totals(found), Some(Style::new())));
    let width = |column: usize| rows.iter().map(|(row, _)| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let shown = rows.iter().map(|(row, state)| {
        let line = align(row, &widths);
        match state {
            None => paint.with(HEADING, line),
            // The last column: what stands before it is as long as it is without colours.
            Some(state) => match line.strip_suffix(&row[STATE]).filter(|_| !row[STATE].is_empty()) {
                Some(start) => format!("{start}{}", paint.with(*state, &row[STATE])),
                None => line,
            },
        }
    });
    shown.collect()
}

fn style_of(state: SegmentState) -> Style {
    match state {
        SegmentState::Closed => GOOD,
        SegmentState::Damaged => ERROR,
        SegmentState::TornTail => WARNING,
        _ => Style::new(),
    }
}

fn name(segment: &Segment) -> String {
    let name = segment.path.file_name().unwrap_or(segment.path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn row(segment: &Segment) -> [String; 7] {
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
        if segment.sealed { "sealed" } else { "plain" }.to_owned(),
        segment.state.to_string(),
    ]
}

fn totals(found: &Examination) -> [String; 7] {
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

/// Numbers to the right, words to the left.
fn align(row: &[String; 7], widths: &[usize; 7]) -> String {
    let numeric = [false, true, true, true, true, false, false];
    let cells = row.iter().zip(widths).zip(numeric).map(|((cell, &width), numeric)| {
        if numeric { format!("{cell:>width$}") } else { format!("{cell:width$}") }
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}
