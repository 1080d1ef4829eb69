//! [`Disk`] on real files, through the standard library.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use rustix::fs::OFlags;

use super::{BackendKind, BlockingLane, Disk, DiskFile, Lane, Open, UringLane};

/// Real files, committed to by one of the real lanes.
#[derive(Debug)]
pub(crate) struct RealDisk {
    pub(crate) backend: BackendKind,
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(how == Open::New);
        Ok(Arc::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn lane(&self) -> io::Result<Box<dyn Lane>> {
        Ok(match self.backend {
            BackendKind::Uring => Box::new(UringLane::new()?),
            BackendKind::Blocking => Box::new(BlockingLane::default()),
        })
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

/// A file opened for commits, and whether its writes bypass the page cache and are durable by themselves.
#[derive(Debug)]
pub(super) struct CommitFile {
    pub(super) file: File,
    pub(super) direct: bool,
}

impl CommitFile {
    /// Opens past the page cache where that is wanted and the file system allows it.
    pub(super) fn open(path: &Path, direct: bool) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true);
        if direct {
            let mut past_cache = options.clone();
            past_cache.custom_flags((OFlags::DIRECT | OFlags::DSYNC).bits() as i32);
            match past_cache.open(path) {
                Ok(file) => return Ok(Self { file, direct: true }),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { file: options.open(path)?, direct: false })
    }
}
