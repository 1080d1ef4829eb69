//! Operations on the contents of files.

use std::io;

use rustix::io::Errno;

use super::{Inode, SimState};

impl SimState {
    pub(in crate::testkit) fn len(&self, inode: Inode) -> u64 {
        self.files[inode].content.len() as u64
    }

    pub(in crate::testkit) fn read_at(&self, inode: Inode, into: &mut [u8], offset: u64) -> usize {
        self.files[inode].content.read_at(into, offset)
    }

    /// Reloads, by chance, the pages that a failed sync dropped: the next read returns the bytes on the disk.
    pub(in crate::testkit) fn maybe_forget_dropped(&mut self, inode: Inode) {
        let content = &mut self.files[inode].content;
        if content.has_dropped() && self.rng.chance(30) {
            content.forget_dropped();
            self.note(|state| format!("the cache forgets what was dropped of {}", state.describe(inode)));
        }
    }

    /// Reloads the pages of a file that a failed sync dropped.
    pub(in crate::testkit) fn forget_dropped(&mut self, inode: Inode) {
        self.files[inode].content.forget_dropped();
    }

    /// Reloads all pages that a failed sync dropped.
    pub(in crate::testkit) fn forget_all_dropped(&mut self) {
        self.files.iter_mut().for_each(|file| file.content.forget_dropped());
    }

    pub(in crate::testkit) fn cached(&self, inode: Inode) -> &[u8] {
        self.files[inode].content.cached()
    }

    /// Takes disk space for a write; returns how many of its bytes got it.
    pub(in crate::testkit) fn take_space_for(
        &mut self,
        inode: Inode,
        offset: u64,
        count: u64,
        at_once: bool,
    ) -> u64 {
        let file = &mut self.files[inode];
        let growth = (offset + count).saturating_sub(file.content.len() as u64);
        if self.plan.delayed_allocation && !at_once {
            file.unallocated += growth;
            return count;
        }
        let missing = growth - self.plan.take_space(growth);
        self.faults += u64::from(missing > 0);
        count - missing.min(count)
    }

    pub(in crate::testkit) fn write(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        self.note(|state| format!("write {} at {offset} into {}", bytes.len(), state.describe(inode)));
        self.files[inode].modified = self.clock;
        self.files[inode].content.write(offset as usize, bytes);
    }

    pub(in crate::testkit) fn write_through(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        self.note(|state| {
            format!("write {} at {offset} directly into {}", bytes.len(), state.describe(inode))
        });
        self.files[inode].modified = self.clock;
        self.files[inode].content.write_through(offset as usize, bytes);
    }

    /// Fails a write without the page cache: some of it is on the disk.
    pub(in crate::testkit) fn fail_write_through(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        self.note(|state| {
            format!("a direct write of {} at {offset} fails: {}", bytes.len(), state.describe(inode))
        });
        let content = &mut self.files[inode].content;
        content.write(offset as usize, bytes);
        content.fail_sync(&mut self.rng);
        content.forget_dropped();
    }

    pub(in crate::testkit) fn set_len(&mut self, inode: Inode, len: u64) -> io::Result<()> {
        self.note(|state| format!("set the length {len} of {}", state.describe(inode)));
        let file = &mut self.files[inode];
        let before = file.content.len() as u64;
        let growth = len.saturating_sub(before);
        let granted = self.plan.take_space(growth);
        if granted < growth {
            self.plan.free_space(granted);
            self.faults += 1;
            return Err(Errno::NOSPC.into());
        }
        let removed = before.saturating_sub(len);
        let never_taken = removed.min(file.unallocated);
        file.unallocated -= never_taken;
        self.plan.free_space(removed - never_taken);
        file.modified = self.clock;
        file.content.set_len(len as usize);
        Ok(())
    }

    /// Returns the number of failed syncs so far, which a handle that is opened now does not report.
    pub(in crate::testkit) fn failures(&self, inode: Inode) -> u64 {
        self.files[inode].failures
    }

    /// Makes a file durable. Fails if the disk has no space for it, and if an earlier failure was not reported to this
    /// handle.
    pub(in crate::testkit) fn sync(&mut self, inode: Inode, reported_failures: &mut u64) -> io::Result<()> {
        self.note(|state| format!("sync {}", state.describe(inode)));
        let file = &mut self.files[inode];
        let granted = self.plan.take_space(file.unallocated);
        if granted < file.unallocated {
            self.plan.free_space(granted);
            self.faults += 1;
            self.fail_sync(inode);
            *reported_failures = self.files[inode].failures;
            return Err(Errno::NOSPC.into());
        }
        file.unallocated = 0;
        file.content.sync();
        // It had nothing to write of the pages that an earlier one dropped.
        self.maybe_forget_dropped(inode);
        let file = &mut self.files[inode];
        if *reported_failures != file.failures {
            *reported_failures = file.failures;
            return Err(Errno::IO.into());
        }
        self.completed_syncs += 1;
        Ok(())
    }

    /// Fails a sync: the dirty pages are dropped.
    pub(in crate::testkit) fn fail_sync(&mut self, inode: Inode) {
        self.note(|state| format!("a sync fails of {}", state.describe(inode)));
        let file = &mut self.files[inode];
        file.failures += 1;
        file.unallocated = 0;
        file.content.fail_sync(&mut self.rng);
    }
}
