//! Decides which of the verified groups may be yielded: only durable ones.

use std::{io, sync::Arc};

use super::{Durability, LiveSegment, PendingGroups};
use crate::{
    Result,
    format::PADDING_STEP_BYTES,
    format::scan::{
        Block, BoundedSource, LineReader, ProbeResult, ScanItem, ScanMode, ScanPosition, Scanner,
    },
    io::FileHandle,
};

impl LiveSegment {
    /// Advances the position over the pending groups, as far as they are or can be made durable.
    pub(super) fn accept(
        &mut self,
        from: ScanPosition,
        mut pending: PendingGroups,
        block: &mut Block,
        durability: &Durability,
    ) -> Result<()> {
        if !self.is_durable(&pending, durability)? {
            let (position, records) = pending.before_last;
            if records > 0 && !position.is_plain() {
                // The last group is left for the next read: a group that follows it by then shows that it is durable.
                block.truncate(records as usize);
                pending = PendingGroups { position, records, large: None, ..pending };
            } else if self.make_durable(from, &pending, durability)? {
                self.synced = true;
            } else {
                block.clear();
                return Ok(());
            }
        }
        if let Some((start, end)) = pending.large {
            self.large = Some(LineReader::with_limit(Arc::clone(&self.file), start, end));
        }
        self.position = pending.position;
        Ok(())
    }

    /// Returns whether all pending groups are known to be durable: the writer syncs a group before it writes the next
    /// one.
    fn is_durable(&self, pending: &PendingGroups, durability: &Durability) -> Result<bool> {
        if durability.is_bounded() || self.complete || pending.followed {
            return Ok(true);
        }
        let next = pending.position.probe_next(&*self.file).map_err(|error| self.read_error(error))?;
        Ok(!pending.position.is_plain()
            && matches!(next, ProbeResult::Group(_) | ProbeResult::CloseMarker(_)))
    }

    /// Syncs the pending groups. Returns `false` where the last one is not fully written, or was truncated.
    fn make_durable(
        &self,
        from: ScanPosition,
        pending: &PendingGroups,
        durability: &Durability,
    ) -> Result<bool> {
        if !is_fully_written(&*self.file, &pending.position).map_err(|error| self.read_error(error))? {
            return Ok(false);
        }
        durability.ensure(&*self.file, &self.path, !self.synced)?;
        if self.synced {
            return Ok(true);
        }
        // The writer may have failed to sync these groups before this file was opened: then only the page cache
        // contains them, and the sync above does not report the error. So they are read again from the disk.
        self.file.drop_page_cache(from.data_end(), pending.position.data_end() - from.data_end());
        self.verify_again(from, pending).map_err(|error| self.read_error(error))
    }

    /// Returns whether another scan finds the pending groups.
    fn verify_again(&self, from: ScanPosition, pending: &PendingGroups) -> io::Result<bool> {
        let window = BoundedSource { source: Arc::clone(&self.file), end: pending.position.offset() };
        let mut scanner = Scanner::resume(window, from, ScanMode::VerifyOnly);
        let mut discarded = Block::default();
        let mut records = 0;
        while records < pending.records {
            match scanner.next(&mut discarded)? {
                ScanItem::Group(group) => records += group.records,
                ScanItem::End(_) => return Ok(false),
            }
        }
        let again = scanner.position();
        Ok((again.data_end(), again.last_seal())
            == (pending.position.data_end(), pending.position.last_seal()))
    }
}

/// Returns whether the last group was written completely: with the LF after it, or with all of its padding. If the disk
/// is full, the writer truncates a group that was not, and other records get its sequence numbers.
fn is_fully_written(file: &dyn FileHandle, position: &ScanPosition) -> io::Result<bool> {
    let len = file.len()?;
    Ok(match position.probe_next(file)? {
        ProbeResult::Newline(_) | ProbeResult::Group(_) | ProbeResult::CloseMarker(_) => true,
        ProbeResult::Empty => len >= position.data_end() && len.is_multiple_of(PADDING_STEP_BYTES),
        ProbeResult::Unexpected | ProbeResult::Lost => false,
    })
}
