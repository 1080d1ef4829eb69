//! What holds for every input: shared by the property tests and the fuzz target `repair_lines`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a violated property must panic")]

use std::convert::Infallible;

use super::{Damage, LineRepair, RepairEvent};

/// The body of the fuzz target. The first two bytes choose the size of reads and the longest line.
pub(crate) fn check_fuzzed(data: &[u8], is_record: impl Fn(&[u8]) -> bool) {
    let [chunk, max, data @ ..] = data else { return };
    let text_bytes_max = 1 + usize::from(*max) * 4;
    // A longer record would be removed from the repaired lines.
    let is_record = |value: &[u8]| value.len() <= text_bytes_max && is_record(value);
    drop(check(data, 1 + usize::from(*chunk), text_bytes_max, is_record));
}

/// A part of the input: its place, its length, and the record if it is one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RepairedPart {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    pub(crate) record: Option<Vec<u8>>,
}

/// Repairs `data`, read in chunks of `chunk` bytes.
pub(crate) fn repair(
    data: &[u8],
    chunk: usize,
    text_bytes_max: usize,
    is_record: impl Fn(&[u8]) -> bool,
) -> (Vec<RepairedPart>, Damage) {
    let mut parts: Vec<RepairedPart> = Vec::new();
    let mut report = |event: RepairEvent<'_>| {
        let (place, length, record) = match event {
            RepairEvent::Record { place, record } => (place, record.len(), Some(record.to_vec())),
            RepairEvent::Removed { place, bytes, .. } => (place, bytes.len(), None),
            RepairEvent::NulBytes { place, length } => {
                let length = usize::try_from(length).unwrap();
                let start = usize::try_from(place.offset).unwrap();
                assert!(data[start..start + length].iter().all(|&byte| byte == 0));
                (place, length, None)
            }
            RepairEvent::LongLine { piece, is_first: false, .. } => {
                parts.last_mut().unwrap().length += piece.len();
                return Ok(());
            }
            RepairEvent::LongLine { place, piece, .. } => (place, piece.len(), None),
        };
        let offset = usize::try_from(place.offset).unwrap();
        let before = &data[..offset];
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |lf| lf + 1);
        let expected = (lines as u64 + 1, (offset - line_start) as u64 + 1);
        assert_eq!((place.line, place.column), expected, "the place of byte {offset}");
        parts.push(RepairedPart { offset, length, record });
        Ok::<(), Infallible>(())
    };
    let mut repair = LineRepair::new(text_bytes_max, is_record);
    for chunk in data.chunks(chunk.max(1)) {
        repair.push(chunk, &mut report).unwrap();
    }
    let damage = repair.finish(&mut report).unwrap();
    (parts, damage)
}

/// Checks that records and removed bytes are the whole input except white space, that every record is accepted, and that the
/// repaired lines are sound. Returns the records.
pub(crate) fn check(
    data: &[u8],
    chunk: usize,
    text_bytes_max: usize,
    is_record: impl Fn(&[u8]) -> bool,
) -> Vec<Vec<u8>> {
    let (parts, damage) = repair(data, chunk, text_bytes_max, &is_record);
    let (whole, same_damage) = repair(data, data.len(), text_bytes_max, &is_record);
    assert!(parts == whole && damage == same_damage, "the result depends on the size of reads");
    let mut done = 0;
    let mut records = Vec::new();
    for part in parts {
        assert!(part.offset >= done && part.length > 0, "parts overlap, or one is empty: {part:?}");
        assert_blank(&data[done..part.offset]);
        done = part.offset + part.length;
        if let Some(record) = part.record {
            assert_eq!(record, data[part.offset..done]);
            assert!(is_record(&record) && !record.contains(&b'\n'));
            records.push(record);
        }
    }
    assert_blank(&data[done..]);
    assert_eq!(damage.records, records.len() as u64);
    let repaired = records.iter().flat_map(|record| [record, &b"\n"[..]].concat()).collect::<Vec<u8>>();
    let (again, none) = repair(&repaired, chunk, text_bytes_max, &is_record);
    assert!(none.is_none(), "the repaired lines are damaged: {none:?}");
    assert!(again.into_iter().map(|part| part.record.unwrap()).eq(records.iter().cloned()));
    records
}

fn assert_blank(bytes: &[u8]) {
    assert!(bytes.iter().all(|byte| b" \t\r\n".contains(byte)), "lost: {:?}", String::from_utf8_lossy(bytes));
}
