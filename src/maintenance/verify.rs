//! Reading everything and checking every seal and link.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::io::Errno;
use serde::Serialize;

use super::Corruption;
use crate::{
    MiniStoreError, Result,
    format::scan::{Block, ResyncScanner, ScanItem, ScanMode, Scanner, Tail},
    format::{Header, SEAL_LEN},
    io::{FileHandle, FileSystem, OpenMode, os_file_system},
    journal::file_names::FileNames,
    journal::holds,
    journal::segment_set::SegmentSet,
    journal::segment_summary::check_plain_lines,
};

/// The parts of a journal, and the corruption found in it. See [`verify()`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Oldest first; the active one last.
    pub segments: Vec<SegmentReport>,
    /// Acknowledged data that does not verify. Empty for a sound journal.
    pub faults: Vec<Corruption>,
    /// An unacknowledged commit that a crash interrupted. Not a fault: the next open for writing truncates it.
    pub torn_tail: Option<Corruption>,
    /// Records that verify.
    pub records: u64,
    /// Commit groups that verify.
    pub groups: u64,
    /// The [holds](crate::MiniStore::hold): sequence numbers by name.
    pub holds: BTreeMap<String, u64>,
}

impl VerifyReport {
    /// The sequence number of the oldest record that verifies, where there is one and its number is known.
    #[must_use]
    pub fn first_seq(&self) -> Option<u64> {
        self.segments.iter().find(|segment| segment.records > 0)?.first_seq
    }
}

/// One file of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SegmentReport {
    /// The file.
    #[serde(serialize_with = "crate::serialize::path")]
    pub path: PathBuf,
    /// Records that verify.
    pub records: u64,
    /// Sequence number of the first, where there is one.
    pub first_seq: Option<u64>,
    /// Sequence number of the last that verifies without a gap before it.
    pub last_seq: Option<u64>,
    /// Commit groups that verify.
    pub groups: u64,
    /// The size of the file.
    pub file_bytes: u64,
    /// Bytes of header, lines and seals that verify, up to the first fault.
    pub data_bytes: u64,
    /// Bytes of the header's line among them, its line feed not counted.
    pub header_bytes: u64,
    /// Bytes of the records themselves among them. What is left is line feeds, one before each record.
    pub record_bytes: u64,
    /// Bytes of the seals among them.
    pub seal_bytes: u64,
    /// Bytes preallocated and not used.
    pub padding_bytes: u64,
    /// Whether its header says that a seal covers every line.
    pub checksummed: bool,
    /// How it ends.
    pub state: SegmentState,
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SegmentState {
    /// Complete.
    Closed,
    /// In use, or left open by a crash between two commits.
    Open,
    /// Left open by a crash during a commit.
    TornTail,
    /// Some acknowledged data does not verify.
    Damaged,
}

impl fmt::Display for SegmentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::TornTail => "torn tail",
            Self::Damaged => "damaged",
        })
    }
}

/// Reads the whole journal at `path` and checks every seal and every link between segments. Never writes, never takes a
/// lock; the journal may be open for writing.
///
/// # Errors
///
/// [`Io`](MiniStoreError::Io) where a file cannot be read, of kind `NotFound` where there is no journal. Corruption
/// inside the files is not an error here: it is in [`VerifyReport::faults`].
pub fn verify(path: impl AsRef<Path>) -> Result<VerifyReport> {
    verify_on(&*os_file_system(), path.as_ref())
}

/// As [`verify`], on `disk`.
pub(crate) fn verify_on(disk: &dyn FileSystem, path: &Path) -> Result<VerifyReport> {
    let names = FileNames::resolve(disk, path)?;
    let SegmentSet { rotated, active } = SegmentSet::take(disk, &names)?;
    if rotated.is_empty() && active.is_none() {
        return Err(MiniStoreError::file(names.active(), "find the journal")(Errno::NOENT.into()));
    }
    let mut examiner = Verifier::default();
    for (_, path) in rotated {
        let file = match disk.open(&path, OpenMode::ReadOnly) {
            // Retention deletes the oldest segments at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound && examiner.found.segments.is_empty() => {
                continue;
            }
            opened => opened.map_err(MiniStoreError::file(&path, "open"))?,
        };
        examiner.segment(&path, &file, false).map_err(MiniStoreError::file(&path, "read"))?;
    }
    if let Some((path, file)) = active {
        examiner.segment(&path, &file, true).map_err(MiniStoreError::file(&path, "read"))?;
    }
    let mut found = examiner.finish();
    match holds::load(disk, &names) {
        Ok(holds) => found.holds = holds,
        Err(MiniStoreError::Corrupt { segment, offset, line, seq, reason }) => {
            found.faults.push(Corruption { segment, offset, line, seq, reason });
        }
        Err(error) => return Err(error),
    }
    Ok(found)
}

#[derive(Debug, Default)]
struct Verifier {
    found: VerifyReport,
    /// What the next segment must continue.
    expected: Option<ExpectedLink>,
}

#[derive(Debug)]
struct ExpectedLink {
    /// Unknown behind damage, and behind plain segments until one states its number.
    next_seq: Option<u64>,
    last_seal: Option<u32>,
    torn: Option<Corruption>,
}

impl Verifier {
    fn segment(&mut self, path: &Path, file: &Arc<dyn FileHandle>, active: bool) -> io::Result<()> {
        let file_bytes = file.len()?;
        if active && file_bytes == 0 {
            return Ok(());
        }
        let mut segment = SegmentReport {
            path: path.into(),
            records: 0,
            first_seq: None,
            last_seq: None,
            groups: 0,
            file_bytes,
            data_bytes: 0,
            header_bytes: 0,
            record_bytes: 0,
            seal_bytes: 0,
            padding_bytes: 0,
            checksummed: false,
            state: SegmentState::Damaged,
        };
        match Scanner::open(Arc::clone(file), ScanMode::VerifyOnly)? {
            Ok(scanner) => self.scan(&mut segment, scanner, file)?,
            Err(fault) => {
                self.found.faults.push(Corruption::of_file(path, fault.to_string()));
                self.expected = Some(ExpectedLink { next_seq: None, last_seal: None, torn: None });
            }
        }
        self.found.records += segment.records;
        self.found.groups += segment.groups;
        self.found.segments.push(segment);
        Ok(())
    }

    fn scan(
        &mut self,
        segment: &mut SegmentReport,
        mut scanner: Scanner<Arc<dyn FileHandle>>,
        file: &Arc<dyn FileHandle>,
    ) -> io::Result<()> {
        let header = scanner.header();
        segment.header_bytes = scanner.position().data_end();
        segment.checksummed = header != Header::Plain;
        let first = self.check_link(&segment.path, header);
        let mut block = Block::default();
        let mut end = loop {
            match scanner.next(&mut block)? {
                ScanItem::Group(group) => {
                    segment.records += group.records;
                    segment.groups += u64::from(group.seal.is_some());
                }
                ScanItem::End(end) => break end,
            }
        };
        if header == Header::Plain && end.last_seal.is_none() {
            check_plain_lines(file, &mut segment.records, &mut end)?;
        }
        segment.data_bytes = end.data_end;
        segment.seal_bytes = segment.groups * SEAL_LEN as u64;
        let around_records = segment.header_bytes + segment.seal_bytes + segment.records;
        segment.record_bytes = segment.data_bytes.saturating_sub(around_records);
        let next_seq = first.map(|first| first + segment.records);
        if segment.records > 0 {
            segment.first_seq = first;
            segment.last_seq = next_seq.map(|next| next - 1);
        }
        segment.state = match &end.tail {
            Some(tail) if tail.damaged => SegmentState::Damaged,
            Some(_) => SegmentState::TornTail,
            None if end.closed || (end.last_seal.is_none() && !segment.checksummed && end.has_newline) => {
                SegmentState::Closed
            }
            None => SegmentState::Open,
        };
        let fault = end.tail.as_ref().map(|tail| Corruption::new(&segment.path, tail, next_seq));
        if let (Some(tail), Some(fault)) = (end.tail.as_ref().filter(|tail| tail.damaged), &fault) {
            self.found.faults.push(fault.clone());
            self.sweep(segment, file, tail)?;
        } else if fault.is_none() {
            segment.padding_bytes = end.file_end.saturating_sub(end.data_end + u64::from(end.has_newline));
            segment.padding_bytes -= u64::from(end.closed);
        }
        let damaged = segment.state == SegmentState::Damaged;
        self.expected = Some(ExpectedLink {
            next_seq: next_seq.filter(|_| !damaged),
            last_seal: end.last_seal.filter(|_| !damaged),
            torn: fault.filter(|_| !damaged),
        });
        Ok(())
    }

    /// What stands behind damage: groups that verify are counted, further gaps are faults of their own.
    fn sweep(
        &mut self,
        segment: &mut SegmentReport,
        file: &Arc<dyn FileHandle>,
        tail: &Tail,
    ) -> io::Result<()> {
        let mut sweep = ResyncScanner::new(Arc::clone(file), tail.offset, tail.line);
        let mut block = Block::default();
        let mut in_fault = true;
        while let Some(resynced) = sweep.next(&mut block)? {
            block.clear();
            if resynced.verified {
                segment.records += resynced.records;
                segment.groups += 1;
            } else if !in_fault {
                self.found.faults.push(Corruption {
                    segment: segment.path.clone(),
                    offset: resynced.offset,
                    line: resynced.line,
                    seq: None,
                    reason: tail.reason.into(),
                });
            }
            in_fault = !resynced.verified;
        }
        Ok(())
    }

    /// Holds a segment against the one before; the number of its first record, where it is known.
    fn check_link(&mut self, path: &Path, header: Header) -> Option<u64> {
        let expected = self.expected.take();
        let Some(link) = header.link() else {
            let expected = expected?;
            self.found.faults.extend(expected.torn);
            return expected.next_seq;
        };
        if let Some(ExpectedLink { next_seq, last_seal, torn }) = expected {
            let unnumbered = 1 + self.unnumbered();
            let first_fits = next_seq.map_or(link.first >= unnumbered, |next| next == link.first);
            let seal_fits = next_seq.is_none() || link.prev == last_seal.unwrap_or(0);
            if !first_fits || !seal_fits {
                self.found.faults.extend(torn);
                let next = next_seq.unwrap_or(unnumbered);
                self.found.faults.push(Corruption::of_file(
                    path,
                    format!(
                        "it does not continue the segment before it: it begins with record {}, and {next} was to come",
                        link.first
                    ),
                ));
            } else if next_seq.is_none() {
                self.number_plain(link.first);
            }
        }
        Some(link.first)
    }

    /// Records of the plain segments at the front of the journal, whose numbers are not known yet.
    fn unnumbered(&self) -> u64 {
        let plain = self
            .found
            .segments
            .iter()
            .rev()
            .take_while(|segment| !segment.checksummed && segment.first_seq.is_none());
        plain.map(|segment| segment.records).sum()
    }

    /// Plain segments at the front of the journal get their numbers from the first that states its own.
    fn number_plain(&mut self, mut next: u64) {
        for segment in self.found.segments.iter_mut().rev() {
            if segment.checksummed || segment.first_seq.is_some() || segment.records == 0 {
                break;
            }
            segment.last_seq = Some(next.saturating_sub(1));
            next = next.saturating_sub(segment.records);
            segment.first_seq = Some(next);
        }
    }

    fn finish(mut self) -> VerifyReport {
        self.found.torn_tail = self.expected.take().and_then(|expected| expected.torn);
        if self.found.segments.iter().all(|segment| !segment.checksummed) {
            let records: u64 = self.found.segments.iter().map(|segment| segment.records).sum();
            self.number_plain(1 + records);
        }
        self.found
    }
}
