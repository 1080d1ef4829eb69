//! Finds records of an input that the journal already contains, before they are appended a second time.

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path};

use ministore_uring::{Reader, Records};
use serde_json::value::RawValue;

use super::{
    checkpoint::Checkpoint,
    line::{self, LINE_BYTES_MAX, RawLine},
};
use crate::{
    exit::CliError,
    input::Input,
    lines::{LineBlock, LineReader},
    reader,
};

/// An input is recognised by this many lines at its start.
const START_LINES: usize = 16;

/// The first lines of an input that are records.
#[derive(Debug)]
pub(super) struct InputStart {
    pub(super) name: String,
    lines: Vec<Vec<u8>>,
}

impl InputStart {
    /// Reads the beginnings of the inputs that can be read twice.
    pub(super) fn of_files(inputs: &[Input]) -> Vec<Self> {
        // An input that cannot be read is reported when it is ingested.
        let start = |input| Self::read(input).ok().filter(|start| !start.lines.is_empty());
        inputs.iter().filter(|input| input.is_regular_file()).filter_map(start).collect()
    }

    fn read(input: &Input) -> std::io::Result<Self> {
        let mut reader = LineReader::new(input.open(|_| {})?, LINE_BYTES_MAX);
        let (mut lines, mut number) = (Vec::new(), 0);
        while let Some(block) = reader.next_block()? {
            let LineBlock::Lines(block) = block else { continue };
            for line in block.split_inclusive(|&byte| byte == b'\n') {
                number += 1;
                let (bytes, has_lf) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
                let Ok(value) = line::value(RawLine { bytes, number, has_lf }) else { continue };
                if !value.is_empty() && line::check(&bytes[value.clone()]).is_ok() {
                    lines.push(bytes[value].to_vec());
                }
                if lines.len() == START_LINES {
                    return Ok(Self { name: input.name(), lines });
                }
            }
        }
        Ok(Self { name: input.name(), lines })
    }

    /// Whether the records from `seq` on are the lines of this input, as far as the journal reaches.
    pub(super) fn is_at(&self, reader: &Reader, seq: u64) -> bool {
        let records = self.lines.iter().zip(reader.records_from::<Box<RawValue>>(seq));
        let mut count = 0;
        for (expected, (line, record)) in (seq..).zip(records) {
            match record {
                Ok(record) if record.seq == expected && record.value.get().as_bytes() == line => count += 1,
                _ => return false,
            }
        }
        count > 0
    }
}

/// Finds the beginning of an input in these ranges. Returns its name and its first sequence number.
pub(super) fn find<'a>(
    journal: &Path,
    ranges: &[RangeInclusive<u64>],
    starts: &'a [InputStart],
) -> Result<Option<(&'a str, u64)>, CliError> {
    let failed = |error| CliError::store(journal, &error);
    let reader = reader::open(journal)?;
    for range in ranges {
        let records: Records<Box<RawValue>> = reader.records_from(*range.start());
        for record in records {
            let record = record.map_err(failed)?;
            if record.seq > *range.end() {
                break;
            }
            let begins = |start: &&InputStart| start.lines[0] == record.value.get().as_bytes();
            let found = starts.iter().filter(begins).find(|start| start.is_at(&reader, record.seq));
            if let Some(start) = found {
                return Ok(Some((&start.name, record.seq)));
            }
        }
    }
    Ok(None)
}

/// Returns the ranges of records that may come from these inputs: all except those of complete runs with other inputs.
pub(super) fn ranges_to_search(
    runs: &[Checkpoint],
    inputs: &[String],
    durable_seq: u64,
) -> Vec<RangeInclusive<u64>> {
    let is_other = |run: &&Checkpoint| {
        run.complete_records.is_some() && !run.inputs.iter().any(|name| inputs.contains(name))
    };
    let others: BTreeMap<u64, u64> = runs
        .iter()
        .filter(is_other)
        .map(|run| (run.start_seq, run.start_seq + run.complete_records.unwrap_or(0)))
        .collect();
    let (mut ranges, mut next) = (Vec::new(), 1);
    for (start, end) in others.into_iter().chain([(durable_seq + 1, durable_seq + 1)]) {
        if next < start {
            ranges.push(next..=start - 1);
        }
        next = next.max(end);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_runs_with_other_inputs_are_not_searched() {
        let run = |name: &str, start_seq, complete_records| Checkpoint {
            complete_records,
            inputs: vec![name.to_owned()],
            start_seq,
            ..Checkpoint::default()
        };
        let runs = [run("a", 3, Some(2)), run("b", 5, None), run("c", 8, Some(3)), run("d", 20, Some(1))];
        let ranges = |name: &str, durable_seq| ranges_to_search(&runs, &[name.to_owned()], durable_seq);
        assert_eq!(ranges("x", 20), [1..=2, 5..=7, 11..=19]);
        assert_eq!(ranges("x", 25), [1..=2, 5..=7, 11..=19, 21..=25]);
        assert_eq!(ranges("a", 20), [1..=7, 11..=19]);
        assert_eq!(ranges_to_search(&[], &[], 0), []);
        assert_eq!(ranges_to_search(&[run("a", 1, Some(9))], &[], 9), []);
    }
}
