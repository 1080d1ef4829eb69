//! Copying what verifies into a new journal.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::io::Errno;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Corruption;
use crate::{
    Append, JournalOptions, JsonBatch, MiniStore, MiniStoreError, PendingAppend, Result,
    format::HeaderError,
    format::scan::{Block, LineReader, ResyncScanner, ScanItem, ScanMode, Scanner, Tail},
    io::{FileHandle, FileSystem, OpenMode, os_file_system},
    journal::file_names::FileNames,
    journal::segment_set::SegmentSet,
    options::LINE_BYTES_LIMIT,
};

/// Groups that may be on their way at a time.
const PENDING_MAX: usize = 1024;

/// A plain segment's lines, which belong to no group, are copied in portions of this many bytes.
const PORTION_BYTES: usize = 1 << 20;

/// The records that [`salvage`] copied, and the corruption it left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Records copied. They are numbered again, from 1.
    pub records: u64,
    /// Commit groups copied, each whole.
    pub groups: u64,
    /// What was not copied.
    pub faults: Vec<Corruption>,
}

/// Copies every commit group that verifies, in order, from the journal at `from` into a new one at `to`. The old
/// one is only read.
///
/// # Errors
///
/// [`Io`](MiniStoreError::Io), of kind `AlreadyExists` where there is a journal at `to`; as
/// [`JournalOptions::open`] and [`MiniStore::append`] for the new one.
pub fn salvage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<SalvageReport> {
    let found = super::verify(&from)?;
    let to = to.as_ref();
    let disk = os_file_system();
    let (old, new) = (FileNames::resolve(&*disk, from.as_ref())?, FileNames::resolve(&*disk, to)?);
    if old.is_journal_file(&new.active()) || new.is_journal_file(&old.active()) {
        let text =
            format!("{} and {} cannot be two journals", old.active().display(), new.active().display());
        return Err(MiniStoreError::InvalidArgument(text));
    }
    let there = SegmentSet::take(&*disk, &new)?;
    if !there.rotated.is_empty() || there.active.is_some() {
        return Err(MiniStoreError::file(to, "create the new journal")(Errno::EXIST.into()));
    }
    let store = JournalOptions::new()
        .max_record_bytes(LINE_BYTES_LIMIT)
        .max_batch_bytes(LINE_BYTES_LIMIT)
        .open_blocking(to)?;
    let mut salvager =
        Salvager { disk: &*disk, store: &store, result: SalvageReport::default(), pending: VecDeque::new() };
    salvager.result.faults = found.faults;
    salvager.result.faults.extend(found.torn_tail);
    for segment in found.segments {
        salvager.segment(&segment.path)?;
    }
    let result = salvager.finish()?;
    store.blocking().close()?;
    Ok(result)
}

struct Salvager<'a> {
    disk: &'a dyn FileSystem,
    store: &'a MiniStore,
    result: SalvageReport,
    pending: VecDeque<PendingAppend>,
}

impl Salvager<'_> {
    fn segment(&mut self, path: &PathBuf) -> Result<()> {
        let fail = || MiniStoreError::file(path, "read");
        let file = self.disk.open(path, OpenMode::ReadOnly).map_err(fail())?;
        let opened = Scanner::open(Arc::clone(&file), ScanMode::Read).map_err(fail())?;
        let tail = match opened {
            Ok(scanner) => self.verified(scanner, &file, path)?,
            // Its lines may be sound though its header is not; the second group on can still be checked.
            Err(HeaderError::Corrupt(_) | HeaderError::BadMagic) => {
                Some(Tail { offset: 0, line: 1, bytes: 0, damaged: true, reason: "" })
            }
        };
        let Some(tail) = tail.filter(|tail| tail.damaged) else { return Ok(()) };
        let mut sweep = ResyncScanner::new(file, tail.offset, tail.line);
        let mut block = Block::default();
        while let Some(resynced) = sweep.next(&mut block).map_err(fail())? {
            if resynced.verified {
                self.copy(&block, true)?;
            }
            block.clear();
        }
        Ok(())
    }

    /// Copies up to the first fault, and says what it is.
    fn verified(
        &mut self,
        mut scanner: Scanner<Arc<dyn FileHandle>>,
        file: &Arc<dyn FileHandle>,
        path: &Path,
    ) -> Result<Option<Tail>> {
        let fail = || MiniStoreError::file(path, "read");
        let mut block = Block::default();
        loop {
            let group = match scanner.next(&mut block).map_err(fail())? {
                ScanItem::Group(group) => group,
                ScanItem::End(end) => return Ok(end.tail),
            };
            if group.is_too_large {
                let mut lines = LineReader::with_limit(Arc::clone(file), group.offset, group.end);
                while let Some(line) = lines.next().map_err(fail())? {
                    block.push(line.bytes.trim_ascii_end(), line.offset);
                    if group.seal.is_none() && block.byte_len() > PORTION_BYTES {
                        self.copy(&block, false)?;
                        block.clear();
                    }
                }
            }
            self.copy(&block, group.seal.is_some())?;
            block.clear();
        }
    }

    /// Copies a block as one batch. Lines that no seal covers must at least be JSON. Whether a record could be appended
    /// today is not checked: what was accepted once is copied.
    fn copy(&mut self, block: &Block, sealed: bool) -> Result<()> {
        let mut batch = JsonBatch::new();
        for value in (0..block.len()).filter_map(|index| block.span(index)).map(|span| block.value(span)) {
            // `IgnoredAny` would pass strings that are not UTF-8.
            if let Ok(record) = serde_json::from_slice::<&RawValue>(value) {
                batch.push_value(record.get().as_bytes())?;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.result.records += batch.records();
        self.result.groups += u64::from(sealed);
        self.pending.push_back(self.store.blocking().send(Append::json_batch(batch))?);
        while self.pending.len() > PENDING_MAX {
            self.await_oldest()?;
        }
        Ok(())
    }

    fn await_oldest(&mut self) -> Result<()> {
        self.pending.pop_front().map_or(Ok(()), |pending| pending.wait().map(drop))
    }

    fn finish(mut self) -> Result<SalvageReport> {
        while !self.pending.is_empty() {
            self.await_oldest()?;
        }
        Ok(self.result)
    }
}
