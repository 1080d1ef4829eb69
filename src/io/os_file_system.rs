//! [`FileSystem`] on the files of the operating system.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, OFlags, RenameFlags, StatxFlags, ioctl_ficlone, linkat, renameat,
        renameat_with, statat, statx, unlinkat,
    },
    io::Errno,
};

use super::{
    BackendKind, CommitBackend, Executor, FileHandle, FileId, FileKind, FileSystem, LockFile, OpenDir,
    OpenMode, ThreadExecutor,
    os_file::{OsLockFile, id_in, id_of, open_regular},
};
use crate::options::DEFAULT_FILE_MODE;

/// The files of the operating system, with one of the backends for commits.
#[derive(Debug)]
pub(crate) struct OsFileSystem {
    backend: BackendKind,
    /// The permission bits of new files, before the process's umask.
    mode: u32,
    /// The directory of a journal that is open for writing.
    journal_dir: OpenDir,
    /// The directory that a reader syncs. It stays open, so that a sync reports the write-back errors since it was
    /// opened.
    reader_dir: OnceLock<(PathBuf, File)>,
}

impl OsFileSystem {
    pub(crate) fn new(backend: BackendKind, mode: u32) -> Self {
        Self { backend, mode, journal_dir: OpenDir::default(), reader_dir: OnceLock::new() }
    }
}

impl Default for OsFileSystem {
    fn default() -> Self {
        Self::new(BackendKind::Blocking, DEFAULT_FILE_MODE)
    }
}

impl FileSystem for OsFileSystem {
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        if self.journal_dir.file(path).is_some() {
            return Ok(path.to_path_buf());
        }
        if self.journal_dir.contains(path) {
            // The path was resolved before the directory was opened, and the directory may have been moved since.
            let (dir, name) = self.journal_dir.locate(path);
            return Ok(statat(dir, name, AtFlags::empty()).map(|_| path.to_path_buf())?);
        }
        fs::canonicalize(path)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        let (dir, name) = self.journal_dir.locate(path);
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
        // Opened before the directory is created: an existing directory is not synced again, so no failure may leave
        // one that was not.
        let parent = File::open(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
        parent.sync_all().inspect_err(|_| {
            let _ = fs::remove_dir(dir);
        })
    }

    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
        let file = open_regular(&self.journal_dir, path, flags, self.mode)?;
        let meta = file.metadata()?;
        Ok(Box::new(OsLockFile { id: (meta.dev(), meta.ino()), file }))
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let flags = match how {
            OpenMode::ReadOnly => OFlags::RDONLY,
            OpenMode::ReadWrite => OFlags::RDWR | OFlags::NOFOLLOW,
            OpenMode::CreateNew => OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL,
        };
        Ok(Arc::new(open_regular(&self.journal_dir, path, flags, self.mode)?))
    }

    fn keep_dir_open(&self, dir: &Path) -> io::Result<OpenDir> {
        self.journal_dir.open(dir)?;
        Ok(self.journal_dir.clone())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.journal_dir.locate(from), self.journal_dir.locate(to));
        Ok(renameat(from_dir, from, to_dir, to)?)
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.journal_dir.locate(from), self.journal_dir.locate(to));
        match renameat_with(from_dir, from, to_dir, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            renamed => Ok(renamed?),
        }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.journal_dir.locate(from), self.journal_dir.locate(to));
        Ok(linkat(from_dir, from, to_dir, to, AtFlags::empty())?)
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = open_regular(&self.journal_dir, from, OFlags::RDONLY, 0)?;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL;
        let clone = open_regular(&self.journal_dir, to, flags, self.mode)?;
        let Err(error) = ioctl_ficlone(&clone, &from) else { return Ok(()) };
        self.remove(to)?;
        Err(match error {
            Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOTTY | Errno::NOSYS | Errno::PERM => {
                io::ErrorKind::Unsupported.into()
            }
            error => error.into(),
        })
    }

    fn id_at(&self, path: &Path) -> io::Result<Option<FileId>> {
        let (dir, name) = self.journal_dir.locate(path);
        match id_of(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    fn id_and_len(&self, path: &Path) -> io::Result<Option<(FileId, u64)>> {
        let (dir, name) = self.journal_dir.locate(path);
        // As in `len_if_linked`: no times.
        match statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO | StatxFlags::SIZE) {
            Ok(found) => Ok(Some((id_in(&found), found.stx_size))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.journal_dir.locate(path);
        Ok(unlinkat(dir, name, AtFlags::empty())?)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if let Some(open) = self.journal_dir.file(dir) {
            return open.sync_all();
        }
        if self.reader_dir.get().is_none() {
            let _ = self.reader_dir.set((dir.to_path_buf(), File::open(dir)?));
        }
        match self.reader_dir.get() {
            Some((path, file)) if path == dir => file.sync_all(),
            _ => File::open(dir)?.sync_all(),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        let opened;
        let dir = match self.journal_dir.file(dir) {
            Some(open) => open,
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
        self.backend.commit_backend()
    }

    fn executor(&self) -> io::Result<Box<dyn Executor>> {
        Ok(Box::new(ThreadExecutor::spawn()?))
    }
}

/// Returns the file system for programs that only read.
pub(crate) fn os_file_system() -> Arc<dyn FileSystem> {
    Arc::new(OsFileSystem::default())
}
