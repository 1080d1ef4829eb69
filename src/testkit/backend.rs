//! The commit path on the simulated disk.

use std::{io, path::Path};

use rustix::io::Errno;

use super::{
    directory::Inode,
    fault_plan::DirectIo,
    file::{WriteMode, sync, write},
    fs::{SimFs, absolute},
};
use crate::io::{
    BLOCK_BYTES, CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, SyncKind,
};

/// Commits to files of the simulated disk.
#[derive(Debug)]
pub(super) struct SimBackend {
    fs: SimFs,
    file: Option<BackendFile>,
    next: Option<BackendFile>,
}

#[derive(Debug)]
struct BackendFile {
    inode: Inode,
    /// The number of failed syncs that were reported to this handle.
    reported_failures: u64,
    method: CommitMethod,
}

impl SimBackend {
    pub(super) fn new(fs: SimFs) -> Self {
        Self { fs, file: None, next: None }
    }

    fn open(&self, path: &Path, options: CommitOptions) -> io::Result<BackendFile> {
        self.fs.host.yield_point();
        let mut state = self.fs.host.state();
        state.check_alive(self.fs.incarnation)?;
        state.check_descriptors()?;
        state.note(|_| format!("open {} for commits", path.display()));
        let inode = state.find(&absolute(path))?;
        let refused = state.plan.direct_io == DirectIo::RefusedAtOpen;
        let options = if refused { options.without_direct() } else { options };
        let method = options.method(state.plan.honors_dsync);
        Ok(BackendFile { inode, reported_failures: state.failures(inode), method })
    }
}

impl CommitBackend for SimBackend {
    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.file = Some(self.open(path, options)?);
        Ok(())
    }

    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.next = Some(self.open(path, options)?);
        Ok(())
    }

    fn switch(&mut self) {
        self.file = self.next.take();
    }

    fn fall_back_to_buffered(&mut self) -> io::Result<()> {
        self.file.iter_mut().for_each(|file| file.method = file.method.without_direct());
        Ok(())
    }

    fn method(&self) -> CommitMethod {
        self.file.as_ref().map_or(CommitMethod::BUFFERED, |file| file.method)
    }

    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError> {
        let Some(BackendFile { inode, reported_failures, method: CommitMethod { direct, sync: kind, .. } }) =
            &mut self.file
        else {
            return Err(CommitError::Failed(Errno::BADF.into()));
        };
        let bytes = buffer.bytes();
        if *direct {
            check_direct(&self.fs, bytes, offset).map_err(CommitError::Failed)?;
        }
        let is_dsync = *kind == SyncKind::Dsync;
        let honored = is_dsync && self.fs.host.state().plan.honors_dsync;
        let mode = match (*direct, honored) {
            (false, _) => WriteMode::Cached,
            (true, false) => WriteMode::Direct,
            (true, true) => WriteMode::DirectDurable,
        };
        write(&self.fs, *inode, bytes, offset, mode).map_err(CommitError::from_write)?;
        if is_dsync {
            return self.end_dsync(mode, honored);
        }
        sync(&self.fs, *inode, reported_failures).map_err(CommitError::Failed)
    }
}

impl SimBackend {
    /// Makes a write with `O_DSYNC` durable, as the kernel does before it returns.
    fn end_dsync(&mut self, mode: WriteMode, honored: bool) -> Result<(), CommitError> {
        match &mut self.file {
            Some(BackendFile { inode, reported_failures, .. }) if honored && mode == WriteMode::Cached => {
                sync(&self.fs, *inode, reported_failures).map_err(CommitError::from_write)
            }
            _ => {
                self.fs.host.state().completed_syncs += u64::from(mode == WriteMode::DirectDurable);
                Ok(())
            }
        }
    }
}

/// Fails a direct write that a file system would refuse. Records an unaligned one as a violation, because the engine
/// would hide it by falling back to buffered writes.
fn check_direct(fs: &SimFs, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut state = fs.host.state();
    let values = [offset, bytes.len() as u64, bytes.as_ptr().addr() as u64];
    if !values.iter().all(|value| value.is_multiple_of(BLOCK_BYTES)) {
        state.violations.push(format!("a direct write is not aligned: {} bytes at {offset}", bytes.len()));
        return Err(Errno::INVAL.into());
    }
    if state.plan.direct_io == DirectIo::RefusedAtWrite { Err(Errno::INVAL.into()) } else { Ok(()) }
}
