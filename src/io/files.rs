//! [`FileSystem`] on real files, through the standard library. The one place that says how a file is opened: never
//! through a symbolic link for writing, never waiting for a FIFO, readable by its owner only unless told otherwise.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    num::NonZeroU64,
    os::fd::{AsFd, BorrowedFd},
    os::unix::{
        ffi::OsStringExt,
        fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use rustix::{
    fs::{
        Advice, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Statx, StatxFlags, fadvise, fcntl_getfl,
        fcntl_setfl, linkat, makedev, openat, renameat, renameat_with, statat, statx, unlinkat,
    },
    io::{Errno, retry_on_intr},
};

use super::{
    BackendKind, BlockingBackend, CommitBackend, CommitError, CommitMethod, CommitOptions, Executor,
    FileHandle, FileId, FileKind, FileSystem, HeldDir, LockFile, OpenMode, ThreadExecutor, UringBackend,
    method::is_trusted,
};

/// Who may read and write a new file: its owner.
pub(crate) const DEFAULT_FILE_MODE: u32 = 0o600;

/// Real files, committed to by one of the real lanes.
#[derive(Debug)]
pub(crate) struct OsFileSystem {
    backend: BackendKind,
    /// The permission bits of new files, before the process's umask.
    mode: u32,
    /// The directory of a journal that is open for writing.
    held: HeldDir,
    /// The directory that a reader syncs, held open: what is synced is the directory that was opened, and an error
    /// that the kernel noticed since is not missed.
    dir: OnceLock<(PathBuf, File)>,
}

impl OsFileSystem {
    pub(crate) fn new(backend: BackendKind, mode: u32) -> Self {
        Self { backend, mode, held: HeldDir::default(), dir: OnceLock::new() }
    }
}

impl Default for OsFileSystem {
    fn default() -> Self {
        Self::new(BackendKind::Blocking, DEFAULT_FILE_MODE)
    }
}

impl FileSystem for OsFileSystem {
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        if self.held.file(path).is_some() {
            return Ok(path.to_path_buf());
        }
        if self.held.contains(path) {
            // It was resolved before the directory was opened, and the directory may have been moved since.
            let (dir, name) = self.held.locate(path);
            return Ok(statat(dir, name, AtFlags::empty()).map(|_| path.to_path_buf())?);
        }
        fs::canonicalize(path)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        let (dir, name) = self.held.locate(path);
        let found = statat(dir, name, AtFlags::empty())?;
        Ok(match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            _ => FileKind::Other,
        })
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.create_dirs(parent)?;
        // First: a directory that exists is not synced again, so none may be left behind without its sync.
        let holder = File::open(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
        holder.sync_all().inspect_err(|_| {
            let _ = fs::remove_dir(dir);
        })
    }

    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
        let file = open_regular(&self.held, path, flags, self.mode)?;
        let meta = file.metadata()?;
        Ok(Box::new(OsLockFile { id: (meta.dev(), meta.ino()), file }))
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let flags = match how {
            OpenMode::ReadOnly => OFlags::RDONLY,
            OpenMode::ReadWrite => OFlags::RDWR | OFlags::NOFOLLOW,
            OpenMode::CreateNew => OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL,
        };
        Ok(Arc::new(open_regular(&self.held, path, flags, self.mode)?))
    }

    fn hold_dir(&self, dir: &Path) -> io::Result<HeldDir> {
        self.held.hold(dir)?;
        Ok(self.held.clone())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.held.locate(from), self.held.locate(to));
        Ok(renameat(from_dir, from, to_dir, to)?)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.held.locate(from), self.held.locate(to));
        match renameat_with(from_dir, from, to_dir, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            renamed => Ok(renamed?),
        }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.held.locate(from), self.held.locate(to));
        Ok(linkat(from_dir, from, to_dir, to, AtFlags::empty())?)
    }

    fn id_at(&self, path: &Path) -> io::Result<Option<FileId>> {
        let (dir, name) = self.held.locate(path);
        match id_of(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    fn named(&self, path: &Path) -> io::Result<Option<(FileId, u64)>> {
        let (dir, name) = self.held.locate(path);
        // As in `len_if_linked`: no times.
        match statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO | StatxFlags::SIZE) {
            Ok(found) => Ok(Some((id_in(&found), found.stx_size))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.held.locate(path);
        Ok(unlinkat(dir, name, AtFlags::empty())?)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if let Some(held) = self.held.file(dir) {
            return held.sync_all();
        }
        if self.dir.get().is_none() {
            let _ = self.dir.set((dir.to_path_buf(), File::open(dir)?));
        }
        match self.dir.get() {
            Some((held, file)) if held == dir => file.sync_all(),
            _ => File::open(dir)?.sync_all(),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        let opened;
        let dir = match self.held.file(dir) {
            Some(held) => held,
            None => {
                opened = File::open(dir)?;
                &opened
            }
        };
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        Ok(names)
    }

    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>> {
        Ok(match self.backend {
            BackendKind::Uring => Box::new(UringBackend::new()?),
            BackendKind::Blocking => Box::new(BlockingBackend::default()),
        })
    }

    fn executor(&self) -> io::Result<Box<dyn Executor>> {
        Ok(Box::new(ThreadExecutor::spawn()?))
    }
}

/// Opens a regular file. Anything else answers at once: opening a FIFO would wait for somebody at its other end.
fn open_regular(held: &HeldDir, path: &Path, flags: OFlags, mode: u32) -> io::Result<File> {
    let (dir, name) = held.locate(path);
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match retry_on_intr(|| openat(dir, name, flags, Mode::from_raw_mode(mode))) {
        Err(Errno::NXIO) => return Err(not_a_regular_file()),
        opened => File::from(opened?),
    };
    if !file.metadata()?.is_file() {
        return Err(not_a_regular_file());
    }
    // io_uring takes the flag seriously for regular files, too, and would answer EAGAIN.
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
        // Not the times: since Linux 6.13 whoever asks for those makes the next write note a new one in the inode,
        // through the file system's journal. That cost a third of a commit's latency.
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
struct OsLockFile {
    id: FileId,
    file: File,
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
        // A process that is gone may have left the lock to a fork, whose number is not told.
        Path::new(&format!("/proc/{holder}")).exists().then_some(holder)
    }
}

/// Reads lines like `1: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF` (proc(5)).
fn holder_in(locks: &str, (dev, inode): FileId) -> Option<u32> {
    let device = (rustix::fs::major(dev), rustix::fs::minor(dev));
    locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, place, ..] = fields[..] else { return None };
        let [major, minor, ino] = place.split(':').collect::<Vec<_>>()[..] else { return None };
        let major = u32::from_str_radix(major, 16).ok()?;
        let minor = u32::from_str_radix(minor, 16).ok()?;
        ((major, minor) == device && ino.parse() == Ok(inode)).then(|| pid.parse().ok())?
    })
}

/// The identity of a file. As in `len_if_linked`: no times. And no question to a server, for none of it changes.
fn id_of(dir: BorrowedFd<'_>, name: &Path, flags: AtFlags) -> Result<FileId, Errno> {
    match statx(dir, name, flags | AtFlags::STATX_DONT_SYNC, StatxFlags::INO) {
        Ok(found) => Ok(id_in(&found)),
        // Older than Linux 4.11, or hidden by a seccomp filter.
        Err(Errno::NOSYS | Errno::PERM) => statat(dir, name, flags).map(|found| (found.st_dev, found.st_ino)),
        Err(error) => Err(error),
    }
}

fn id_in(found: &Statx) -> FileId {
    (makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino)
}

fn linked_len_by_fstat(file: &File) -> io::Result<Option<u64>> {
    let meta = file.metadata()?;
    Ok((meta.nlink() > 0).then_some(meta.len()))
}

/// A file opened for commits, and how they are made durable.
#[derive(Debug)]
pub(super) struct CommitFile {
    pub(super) file: File,
    pub(super) method: CommitMethod,
}

impl CommitFile {
    /// Opens the file with the flags that the options ask for. Where its file system is not trusted with them, or
    /// refuses them, opens it without.
    pub(super) fn open(dir: &HeldDir, path: &Path, options: CommitOptions) -> io::Result<Self> {
        let open = |flags| open_regular(dir, path, OFlags::WRONLY | OFlags::NOFOLLOW | flags, 0);
        for options in [options, options.without_direct()] {
            let method = options.method(true);
            match open(method.open_flags()) {
                // Asked of the file that was opened: its path may be on another file system by now.
                Ok(file) if method.open_flags().is_empty() => {
                    let trusted = is_trusted(&file);
                    return Ok(Self { file, method: CommitMethod { trusted, ..method } });
                }
                Ok(file) if options.trusts(&file) => return Ok(Self { file, method }),
                Ok(_) => break,
                Err(error) if method.direct && error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { file: open(OFlags::empty())?, method: CommitMethod::BUFFERED })
    }

    /// Writes a group again from its start, by blocking writes through the page cache, and syncs it. For a write that
    /// was short: the file systems and rings that make one cannot be relied on to have written the bytes that they
    /// report, or to take the rest at an offset that is not a multiple of a block.
    pub(super) fn write_again(&self, bytes: &[u8], offset: u64) -> Result<(), CommitError> {
        if self.method.direct {
            self.set_direct(false).map_err(CommitError::Failed)?;
        }
        let written = self.file.write_all_at(bytes, offset).map_err(CommitError::of_write);
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

    /// Writes through the page cache from now on, and syncs with `fdatasync`. The descriptor stays: a new one may not be
    /// available. `O_DSYNC` cannot be removed from it, and is not relied on.
    pub(super) fn fall_back_to_buffered(&mut self) -> io::Result<()> {
        self.set_direct(false)?;
        self.method = self.method.without_direct();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_in_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 08:01:77 0 EOF\n\
                     2: FLOCK  ADVISORY  READ  2 08:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 4711 08:01:77 0 EOF\n";
        let dev = makedev(8, 1);
        assert_eq!(holder_in(locks, (dev, 77)), Some(4711));
        assert_eq!(holder_in(locks, (dev, 78)), None);
    }
}
