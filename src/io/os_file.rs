//! [`FileHandle`] and [`LockFile`] on a file of the operating system. The one place that decides how a file is opened:
//! never through a symbolic link for writing, never blocking on a FIFO.

use std::{
    fs::{self, File, TryLockError},
    io,
    num::NonZeroU64,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{FileExt, MetadataExt},
    },
    path::Path,
    time::SystemTime,
};

use rustix::{
    fs::{
        Advice, AtFlags, Mode, OFlags, Statx, StatxFlags, fadvise, fcntl_getfl, fcntl_setfl, makedev, openat,
        statat, statx,
    },
    io::{Errno, retry_on_intr},
};

use super::{FileHandle, FileId, LockFile, OpenDir};

/// Opens a regular file. Any other type of file fails at once: without `O_NONBLOCK`, opening a FIFO would block until
/// another process opens its other end.
pub(super) fn open_regular(dir: &OpenDir, path: &Path, flags: OFlags, mode: u32) -> io::Result<File> {
    let (dir, name) = dir.locate(path);
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match retry_on_intr(|| openat(dir, name, flags, Mode::from_raw_mode(mode))) {
        Err(Errno::NXIO) => return Err(not_a_regular_file()),
        opened => File::from(opened?),
    };
    if !file.metadata()?.is_file() {
        return Err(not_a_regular_file());
    }
    // io_uring honours the flag for regular files, too, and would return EAGAIN.
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags & !OFlags::NONBLOCK)?;
    Ok(file)
}

fn not_a_regular_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

impl FileHandle for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn len_if_linked(&self) -> io::Result<Option<u64>> {
        // Without the times: since Linux 6.13, reading them makes the next write store a new one in the inode, through
        // the file system's journal. That cost a third of a commit's latency.
        let wanted = StatxFlags::NLINK | StatxFlags::SIZE;
        let meta = match statx(self, "", AtFlags::EMPTY_PATH, wanted) {
            Ok(meta) => meta,
            // Older than Linux 4.11, or hidden by a seccomp filter.
            Err(Errno::NOSYS | Errno::PERM) => return linked_len_by_fstat(self),
            Err(error) => return Err(error.into()),
        };
        Ok((meta.stx_nlink > 0).then_some(meta.stx_size))
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(id_of(self.as_fd(), Path::new(""), AtFlags::EMPTY_PATH)?))
    }

    fn modified(&self) -> io::Result<Option<SystemTime>> {
        self.metadata()?.modified().map(Some)
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

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn allows_parallel_reads(&self) -> bool {
        !cfg!(shuttle)
    }

    fn drop_page_cache(&self, offset: u64, bytes: u64) {
        let _ = fadvise(self, offset, NonZeroU64::new(bytes), Advice::DontNeed);
    }

    fn try_lock(&self) -> io::Result<bool> {
        match File::try_lock(self) {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        File::unlock(self)
    }
}

#[derive(Debug)]
pub(super) struct OsLockFile {
    pub(super) id: FileId,
    pub(super) file: File,
}

impl LockFile for OsLockFile {
    fn id(&self) -> FileId {
        self.id
    }

    fn try_lock(&self) -> io::Result<bool> {
        FileHandle::try_lock(&self.file)
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn holder(&self) -> Option<u32> {
        let holder = holder_in(&fs::read_to_string("/proc/locks").ok()?, self.id)?;
        // A process that is gone may have left the lock to a fork, whose process id /proc/locks does not show.
        Path::new(&format!("/proc/{holder}")).exists().then_some(holder)
    }
}

/// Returns the holder of an exclusive `flock` on a file. Parses lines like `1: FLOCK  ADVISORY  WRITE 4711 08:01:131090
/// 0 EOF` (proc(5)).
fn holder_in(locks: &str, (dev, inode): FileId) -> Option<u32> {
    let device = (rustix::fs::major(dev), rustix::fs::minor(dev));
    locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, id, ..] = fields[..] else { return None };
        let [major, minor, ino] = id.split(':').collect::<Vec<_>>()[..] else { return None };
        let major = u32::from_str_radix(major, 16).ok()?;
        let minor = u32::from_str_radix(minor, 16).ok()?;
        ((major, minor) == device && ino.parse() == Ok(inode)).then(|| pid.parse().ok())?
    })
}

/// Returns the identity of a file. As in `len_if_linked`: no times. And no request to a server, because an identity
/// never changes.
pub(super) fn id_of(dir: BorrowedFd<'_>, name: &Path, flags: AtFlags) -> Result<FileId, Errno> {
    match statx(dir, name, flags | AtFlags::STATX_DONT_SYNC, StatxFlags::INO) {
        Ok(found) => Ok(id_in(&found)),
        // Older than Linux 4.11, or hidden by a seccomp filter.
        Err(Errno::NOSYS | Errno::PERM) => statat(dir, name, flags).map(|found| (found.st_dev, found.st_ino)),
        Err(error) => Err(error),
    }
}

pub(super) fn id_in(found: &Statx) -> FileId {
    (makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino)
}

fn linked_len_by_fstat(file: &File) -> io::Result<Option<u64>> {
    let meta = file.metadata()?;
    Ok((meta.nlink() > 0).then_some(meta.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_holder_is_read_from_proc_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 08:01:77 0 EOF\n\
                     2: FLOCK  ADVISORY  READ  2 08:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 4711 08:01:77 0 EOF\n";
        let dev = makedev(8, 1);
        assert_eq!(holder_in(locks, (dev, 77)), Some(4711));
        assert_eq!(holder_in(locks, (dev, 78)), None);
    }
}
