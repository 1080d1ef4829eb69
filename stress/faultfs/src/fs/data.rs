//! Operations on the content of files.

use std::{fs::File, io, os::unix::fs::FileExt};

use fuser::{FileHandle, INodeNo};
use rustix::io::Errno;

use super::{Core, OpenHandle};
use crate::{protocol::UnsyncedData, recording::Event};

/// The unit of a disk, which rejects direct reads and writes with other offsets and lengths.
const SECTOR_BYTES: u64 = 512;

impl Core {
    pub(super) fn open(&self, ino: INodeNo, writing: bool, direct: bool) -> io::Result<FileHandle> {
        let inode = self.inode(ino)?;
        let file = inode.open_file(writing)?;
        Ok(self.add_handle(OpenHandle::File { file, inode: inode.number, direct }))
    }

    pub(super) fn read(&self, handle: FileHandle, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        self.with_file(handle, |file, _, direct| {
            check_alignment(direct, offset, count)?;
            let mut bytes = vec![0; count];
            let mut filled = 0;
            while filled < count {
                match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                    0 => break,
                    more => filled += more,
                }
            }
            // Never longer than requested: the kernel turns that into an error.
            bytes.truncate(filled);
            Ok(bytes)
        })
    }

    /// Writes at most `limit` bytes and no more than the space limit allows. Returns their number.
    pub(super) fn write(
        &self,
        handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        limit: usize,
    ) -> io::Result<u32> {
        self.with_file(handle, |file, inode, direct| {
            check_alignment(direct, offset, bytes.len())?;
            let mut durability = self.durability();
            let len = file.metadata()?.len();
            let mut count = bytes.len().min(limit) as u64;
            let growth = (offset + count).saturating_sub(len.max(offset));
            let (granted, refusal) = self.faults.reserve_space(growth);
            count -= growth - granted;
            match refusal {
                // The kernel turns a short direct write into EIO, but a real disk reports the lack of space.
                Some(errno) if direct || count == 0 => {
                    self.faults.release_space(granted);
                    return Err(errno.into());
                }
                _ => {}
            }
            let end = offset + count;
            file.write_all_at(&bytes[..count as usize], offset)?;
            // The disk writes whole sectors, with the other bytes that the page cache has.
            let from = offset - offset % SECTOR_BYTES;
            let mut data = vec![0; (end.next_multiple_of(SECTOR_BYTES).min(end.max(len)) - from) as usize];
            file.read_exact_at(&mut data, from)?;
            durability.change(inode, len, Event::Write { offset: from, data })?;
            Ok(count as u32)
        })
    }

    pub(super) fn sync(&self, handle: FileHandle) -> io::Result<()> {
        self.with_file(handle, |file, inode, _| {
            let mut durability = self.durability();
            file.sync_data()?;
            durability.sync(inode)
        })
    }

    pub(super) fn set_len(&self, ino: INodeNo, len: u64) -> io::Result<()> {
        let inode = self.inode(ino)?;
        let file = inode.open_file(true)?;
        let mut durability = self.durability();
        let before = file.metadata()?.len();
        file.set_len(len)?;
        durability.change(inode.number, before, Event::SetLen(len))?;
        self.faults.release_space(before.saturating_sub(len));
        Ok(())
    }

    /// Applies the effect of a failed writeback to the unsynced data of a file.
    pub(super) fn fail_writeback(&self, ino: INodeNo, unsynced_data: UnsyncedData) -> io::Result<()> {
        let inode = self.inode(ino)?;
        let mut durability = self.durability();
        match unsynced_data {
            UnsyncedData::Kept => Ok(()),
            UnsyncedData::Forgotten => durability.forget_changes(inode.number),
            UnsyncedData::Reverted => durability.revert(inode.number, &inode.open_file(true)?),
        }
    }

    fn with_file<T>(
        &self,
        handle: FileHandle,
        operation: impl FnOnce(&File, u64, bool) -> io::Result<T>,
    ) -> io::Result<T> {
        match &*self.handle(handle)? {
            OpenHandle::File { file, inode, direct } => operation(file, *inode, *direct),
            OpenHandle::Dir { .. } => Err(Errno::ISDIR.into()),
        }
    }
}

fn check_alignment(direct: bool, offset: u64, count: usize) -> io::Result<()> {
    let aligned = offset.is_multiple_of(SECTOR_BYTES) && (count as u64).is_multiple_of(SECTOR_BYTES);
    if direct && !aligned { Err(Errno::INVAL.into()) } else { Ok(()) }
}
