//! Copies every commit group that verifies into a new journal.

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

/// The most appends in flight.
const MAX_PENDING: usize = 1024;

/// The lines of a plain segment, which belong to no group, are copied in batches of this many bytes.
const PLAIN_BATCH_BYTES: usize = 1 << 20;

/// The records that [`salvage`] copied, and the corruption it left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Records copied. They are numbered again, from 1.
    pub records: u64,
    /// Commit groups copied, each whole.
    pub groups: u64,
    /// The corruption that was not copied.
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
    let fs = os_file_system();
    let (old, new) = (FileNames::resolve(&*fs, from.as_ref())?, FileNames::resolve(&*fs, to)?);
    if old.is_journal_file(&new.active()) || new.is_journal_file(&old.active()) {
        let text =
            format!("{} and {} cannot be two journals", old.active().display(), new.active().display());
        return Err(MiniStoreError::InvalidArgument(text));
    }
    let existing = SegmentSet::take(&*fs, &new)?;
    if !existing.rotated.is_empty() || existing.active.is_some() {
        return Err(MiniStoreError::file(to, "create the new journal")(Errno::EXIST.into()));
    }
    let store = JournalOptions::new()
        .max_record_bytes(LINE_BYTES_LIMIT)
        .max_batch_bytes(LINE_BYTES_LIMIT)
        .open_blocking(to)?;
    let mut salvager =
        Salvager { fs: &*fs, store: &store, result: SalvageReport::default(), pending: VecDeque::new() };
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
    fs: &'a dyn FileSystem,
    store: &'a MiniStore,
    result: SalvageReport,
    pending: VecDeque<PendingAppend>,
}

impl Salvager<'_> {
    /// Copies the groups of a segment that verify, also those after corruption.
    fn segment(&mut self, path: &PathBuf) -> Result<()> {
        let fail = || MiniStoreError::file(path, "read");
        let file = self.fs.open(path, OpenMode::ReadOnly).map_err(fail())?;
        let opened = Scanner::open(Arc::clone(&file), ScanMode::Read).map_err(fail())?;
        let tail = match opened {
            Ok(scanner) => self.copy_verified(scanner, &file, path)?,
            // With a corrupt header the first group cannot be checked, but every later one can.
            Err(HeaderError::Corrupt(_) | HeaderError::BadMagic) => {
                Some(Tail { offset: 0, line: 1, bytes: 0, is_corrupt: true, reason: "" })
            }
        };
        let Some(tail) = tail.filter(|tail| tail.is_corrupt) else { return Ok(()) };
        let mut resync = ResyncScanner::new(file, tail.offset, tail.line);
        let mut block = Block::default();
        while let Some(group) = resync.next(&mut block).map_err(fail())? {
            if group.verified {
                self.copy(&block, true)?;
            }
            block.clear();
        }
        Ok(())
    }

    /// Copies the groups up to the end, or up to the first that does not verify; returns the tail after them.
    fn copy_verified(
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
                    if group.seal.is_none() && block.byte_len() > PLAIN_BATCH_BYTES {
                        self.copy(&block, false)?;
                        block.clear();
                    }
                }
            }
            self.copy(&block, group.seal.is_some())?;
            block.clear();
        }
    }

    /// Copies a block as one batch. Lines that are not JSON are skipped. Records are not checked as new ones are: whatever the old
    /// journal accepted is copied.
    fn copy(&mut self, block: &Block, is_group: bool) -> Result<()> {
        let mut batch = JsonBatch::new();
        for value in (0..block.len()).filter_map(|index| block.span(index)).map(|span| block.value(span)) {
            // `IgnoredAny` would accept strings that are not UTF-8.
            if let Ok(record) = serde_json::from_slice::<&RawValue>(value) {
                batch.push_value(record.get().as_bytes())?;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.result.records += batch.records();
        self.result.groups += u64::from(is_group);
        self.pending.push_back(self.store.blocking().send(Append::json_batch(batch))?);
        while self.pending.len() > MAX_PENDING {
            self.wait_oldest()?;
        }
        Ok(())
    }

    fn wait_oldest(&mut self) -> Result<()> {
        self.pending.pop_front().map_or(Ok(()), |pending| pending.wait().map(drop))
    }

    fn finish(mut self) -> Result<SalvageReport> {
        while !self.pending.is_empty() {
            self.wait_oldest()?;
        }
        Ok(self.result)
    }
}
