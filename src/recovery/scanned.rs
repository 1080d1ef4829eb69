//! A segment read to its end, its lines not kept.

use std::io;

use serde::de::IgnoredAny;

use crate::{
    format::{Header, HeaderFault},
    scan::{Block, Collect, End, LineReader, ReadAt, Scanner, Step, Tail},
};

/// A segment, read to its end.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) header: Header,
    /// Records that verify.
    pub(crate) records: u64,
    /// Where the last group that verifies begins (a plain segment's lines, where no seal covers them); 0 where there
    /// is none.
    pub(crate) last_group: u64,
    pub(crate) end: End,
}

impl Scanned {
    /// Its lines need seals: its header says so, or a plain segment was continued with one.
    pub(crate) fn is_sealed(&self) -> bool {
        self.header != Header::Plain || self.end.last_seal.is_some()
    }
}

/// Reads a segment to its end, collecting nothing.
pub(crate) fn scan_to_end(source: &(impl ReadAt + ?Sized)) -> io::Result<Result<Scanned, HeaderFault>> {
    let _span = tracing::debug_span!("scan").entered();
    let mut scanner = match Scanner::open(source, Collect::Nothing)? {
        Ok(scanner) => scanner,
        Err(fault) => return Ok(Err(fault)),
    };
    let mut block = Block::default();
    let (mut records, mut last_group) = (0, 0);
    loop {
        match scanner.next(&mut block)? {
            Step::Group(group) => {
                records += group.records;
                last_group = group.offset;
            }
            Step::End(end) => return Ok(Ok(Scanned { header: scanner.header(), records, last_group, end })),
        }
    }
}

/// Lines without a seal can only be checked for being JSON. From the first that is not, the same rule holds as
/// for groups: if a good line follows, it is damage. Shortens the segment to the lines before it.
pub(crate) fn check_plain_lines(
    source: &(impl ReadAt + ?Sized),
    records: &mut u64,
    end: &mut End,
) -> io::Result<()> {
    let text_end = end.tail.as_ref().map_or(end.data_end, |tail| tail.offset + tail.bytes);
    let mut lines = LineReader::with_limit(source, 0, end.data_end);
    let mut number = 0;
    let mut fault: Option<Tail> = None;
    let mut good_end = 0;
    while let Some(line) = lines.next()? {
        number += 1;
        let good = number == 1 || serde_json::from_slice::<IgnoredAny>(line.bytes).is_ok();
        match &mut fault {
            Some(fault) => fault.damaged |= good,
            None if good => good_end = line.offset + line.bytes.trim_ascii_end().len() as u64,
            None => {
                *records = number - 2;
                fault = Some(Tail {
                    offset: good_end,
                    line: number,
                    bytes: text_end - good_end,
                    damaged: false,
                    reason: "a line is not JSON",
                });
            }
        }
    }
    if fault.is_some() {
        end.data_end = good_end;
        end.tail = fault;
    }
    Ok(())
}
