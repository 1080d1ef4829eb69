//! A file that is open for commits.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{CommitError, CommitMethod, CommitOptions, OpenDir, method::is_trusted, os_file::open_regular};

/// The file, and how commits to it are made durable.
#[derive(Debug)]
pub(crate) struct CommitFile<H = ()> {
    pub(super) file: File,
    pub(super) method: CommitMethod,
    /// The backend's own handle of the same open file, if it needs one.
    #[cfg_attr(not(feature = "tokio-uring"), expect(dead_code, reason = "only tokio-uring has one"))]
    pub(super) handle: H,
}

impl CommitFile {
    /// Opens the file with the flags that the options ask for; without them, if its file system is not trusted with
    /// them or refuses them.
    pub(super) fn open(dir: &OpenDir, path: &Path, options: CommitOptions) -> io::Result<Self> {
        let open = |flags| open_regular(dir, path, OFlags::WRONLY | OFlags::NOFOLLOW | flags, 0);
        for options in [options, options.without_direct()] {
            let method = options.method(true);
            match open(method.open_flags()) {
                // The check uses the open file: its path may be on another file system since.
                Ok(file) if method.open_flags().is_empty() => {
                    let trusted = is_trusted(&file);
                    return Ok(Self { file, method: CommitMethod { trusted, ..method }, handle: () });
                }
                Ok(file) if options.trusts(&file) => return Ok(Self { file, method, handle: () }),
                Ok(_) => break,
                Err(error) if method.direct && error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { file: open(OFlags::empty())?, method: CommitMethod::BUFFERED, handle: () })
    }
}

impl<H> CommitFile<H> {
    /// Writes a group again from its start with blocking, buffered writes, and syncs it. Used after a short write: a
    /// file system or ring that makes one may not have written the bytes that it reports, or may refuse the rest at an
    /// offset that is not a multiple of a block.
    pub(super) fn write_again(&self, bytes: &[u8], offset: u64) -> Result<(), CommitError> {
        if self.method.direct {
            self.set_direct(false).map_err(CommitError::Failed)?;
        }
        let written = self.file.write_all_at(bytes, offset).map_err(CommitError::from_write);
        let synced = written.and_then(|()| self.file.sync_data().map_err(CommitError::Failed));
        if self.method.direct {
            self.set_direct(true).map_err(CommitError::Failed)?;
        }
        synced
    }

    fn set_direct(&self, yes: bool) -> io::Result<()> {
        let mut flags = fcntl_getfl(&self.file)?;
        flags.set(OFlags::DIRECT, yes);
        Ok(fcntl_setfl(&self.file, flags)?)
    }

    /// Uses buffered writes and `fdatasync` from then on. Keeps the descriptor, because a new one may not be available.
    /// `O_DSYNC` cannot be removed from it; it is not relied on.
    pub(super) fn fall_back_to_buffered(&mut self) -> io::Result<()> {
        self.set_direct(false)?;
        self.method = self.method.without_direct();
        Ok(())
    }
}
