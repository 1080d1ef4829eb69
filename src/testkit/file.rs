//! Open files of the simulated disk, and the writes and syncs of them.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use rustix::io::Errno;

use super::{
    directory::Inode,
    fault_plan::CrashKind,
    fs::{SimFs, id_of},
    state::{OpDecision, OpKind},
};
use crate::{
    format::scan::ReadAt,
    io::{FileHandle, FileId},
    options::ReadLimits,
};

/// An open file.
#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) fs: SimFs,
    pub(super) inode: Inode,
    /// The number of failed syncs that were reported to this handle.
    pub(super) reported_failures: Mutex<u64>,
    pub(super) writable: bool,
    pub(super) read_limits: ReadLimits,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(Errno::BADF.into()) }
    }
}

impl ReadAt for SimFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fs.host.maybe_yield_on_read();
        let state = self.fs.host.state();
        state.check_alive(self.fs.incarnation)?;
        Ok(state.read_at(self.inode, into, offset))
    }

    fn read_limits(&self) -> ReadLimits {
        self.read_limits
    }
}

impl FileHandle for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.fs.host.state();
        state.check_alive(self.fs.incarnation)?;
        Ok(state.len(self.inode))
    }

    fn len_if_linked(&self) -> io::Result<Option<u64>> {
        let mut state = self.fs.host.state();
        state.check_alive(self.fs.incarnation)?;
        state.check_memory()?;
        Ok(Some(state.len(self.inode)))
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(id_of(self.inode)))
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.fs.host.state();
        state.check_alive(self.fs.incarnation)?;
        state.check_memory().map(|()| true)
    }

    fn modified(&self) -> io::Result<Option<SystemTime>> {
        let state = self.fs.host.state();
        state.check_alive(self.fs.incarnation)?;
        Ok(Some(state.modified(self.inode)))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        write(&self.fs, self.inode, bytes, offset, WriteMode::Cached)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.fs.host.apply(self.fs.incarnation, OpKind::SetLen, |state| state.set_len(self.inode, len))
    }

    fn sync(&self) -> io::Result<()> {
        sync(&self.fs, self.inode, &mut self.reported_failures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reloads the pages that a failed sync dropped.
    fn drop_page_cache(&self, _offset: u64, _bytes: u64) {
        self.fs.host.state().forget_dropped(self.inode);
    }
}

/// The state of the written bytes when a write returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteMode {
    /// They are in the page cache.
    Cached,
    /// They bypassed the page cache, and need a sync to be durable.
    Direct,
    /// They bypassed the page cache, and are durable.
    DirectDurable,
}

/// Writes bytes in one or more pieces, as the kernel may do.
pub(super) fn write(fs: &SimFs, inode: Inode, bytes: &[u8], offset: u64, mode: WriteMode) -> io::Result<()> {
    let pieces = {
        let mut state = fs.host.state();
        let mut rng = state.rng.fork();
        state.plan.pieces(bytes.len(), &mut rng)
    };
    let mut done = 0;
    for end in pieces {
        write_piece(fs, inode, &bytes[done..end], offset + done as u64, mode)?;
        done = end;
    }
    Ok(())
}

fn write_piece(fs: &SimFs, inode: Inode, bytes: &[u8], at: u64, mode: WriteMode) -> io::Result<()> {
    let is_durable = mode == WriteMode::DirectDurable;
    fs.host.yield_point();
    let mut state = fs.host.state();
    match state.begin(fs.incarnation, OpKind::Write) {
        OpDecision::Apply => {
            let granted =
                state.take_space_for(inode, at, bytes.len() as u64, mode != WriteMode::Cached) as usize;
            let (written, rest) = bytes.split_at(granted);
            if is_durable {
                state.write_through(inode, at, written);
            } else {
                state.write(inode, at, written);
            }
            if rest.is_empty() { Ok(()) } else { Err(Errno::NOSPC.into()) }
        }
        OpDecision::Crash(CrashKind::PowerCut) => {
            // Any of its sectors may be on the disk, as after a cached write without a sync.
            state.write(inode, at, bytes);
            Err(Errno::IO.into())
        }
        OpDecision::Crash(CrashKind::Kill) => {
            if state.rng.chance(50) && is_durable {
                state.write_through(inode, at, bytes);
            } else if state.rng.chance(50) {
                state.write(inode, at, bytes);
            }
            Err(Errno::IO.into())
        }
        OpDecision::Fail(errno) => {
            if state.check_alive(fs.incarnation).is_ok() {
                let written = state.rng.below(bytes.len() as u64 + 1) as usize;
                if is_durable {
                    state.fail_write_through(inode, at, bytes);
                } else {
                    state.write(inode, at, &bytes[..written]);
                }
            }
            Err(errno.into())
        }
    }
}

pub(super) fn sync(fs: &SimFs, inode: Inode, reported_failures: &mut u64) -> io::Result<()> {
    fs.host.yield_point();
    let mut state = fs.host.state();
    match state.begin(fs.incarnation, OpKind::Sync) {
        OpDecision::Apply => state.sync(inode, reported_failures),
        OpDecision::Crash(_) => {
            if state.rng.chance(50) {
                let _ = state.sync(inode, reported_failures);
            }
            Err(Errno::IO.into())
        }
        OpDecision::Fail(errno) => {
            if state.check_alive(fs.incarnation).is_ok() {
                state.fail_sync(inode);
                *reported_failures = state.failures(inode);
            }
            Err(errno.into())
        }
    }
}
