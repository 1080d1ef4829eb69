//! The files and directories that the kernel knows. Each is kept open, so that it stays reachable after another
//! process deletes or renames it.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use fuser::{FileAttr, FileType, INodeNo};
use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, openat};

#[derive(Debug)]
pub(crate) struct Inode {
    /// Opened with `O_PATH`: refers to the inode under any name.
    fd: OwnedFd,
    /// The inode number in the backing file system.
    pub(crate) number: u64,
}

impl Inode {
    pub(crate) fn open(dir: &OwnedFd, name: &OsStr) -> io::Result<Self> {
        let fd = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let number = fstat(&fd)?.st_ino;
        Ok(Self { fd, number })
    }

    pub(crate) fn root(path: &Path) -> io::Result<Self> {
        Self::open(&File::open(path)?.into(), OsStr::new("."))
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Returns a path that reaches it through its descriptor.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }

    /// Opens it. A file opened for writing is opened for reading too, because the bytes before a change must be
    /// readable.
    pub(crate) fn open_file(&self, writing: bool) -> io::Result<File> {
        File::options().read(true).write(writing).open(self.path())
    }

    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.fd, "", AtFlags::EMPTY_PATH)?)
    }
}

#[derive(Debug)]
struct KnownInode {
    inode: Arc<Inode>,
    name: String,
    lookups: u64,
}

#[derive(Debug)]
pub(crate) struct Inodes {
    known: HashMap<u64, KnownInode>,
}

impl Inodes {
    pub(crate) fn new(root: Inode) -> Self {
        let root = KnownInode { inode: Arc::new(root), name: "/".into(), lookups: 1 };
        Self { known: HashMap::from([(INodeNo::ROOT.0, root)]) }
    }

    pub(crate) fn get(&self, ino: INodeNo) -> io::Result<Arc<Inode>> {
        let known = self.known.get(&ino.0).ok_or(rustix::io::Errno::STALE)?;
        Ok(Arc::clone(&known.inode))
    }

    pub(crate) fn name(&self, ino: INodeNo) -> Vec<String> {
        self.known.get(&ino.0).map(|known| known.name.clone()).into_iter().collect()
    }

    /// Counts one more reference by the kernel, under this name.
    pub(crate) fn look_up(&mut self, inode: Inode, name: &OsStr) -> Arc<Inode> {
        let name = name.to_string_lossy().into_owned();
        let known = self.known.entry(inode.number).or_insert_with(|| KnownInode {
            inode: Arc::new(inode),
            name: String::new(),
            lookups: 0,
        });
        known.lookups += 1;
        known.name = name;
        Arc::clone(&known.inode)
    }

    pub(crate) fn rename(&mut self, number: u64, name: &OsStr) {
        if let Some(known) = self.known.get_mut(&number) {
            known.name = name.to_string_lossy().into_owned();
        }
    }

    pub(crate) fn forget(&mut self, ino: INodeNo, lookups: u64) {
        if let Some(known) = self.known.get_mut(&ino.0) {
            known.lookups = known.lookups.saturating_sub(lookups);
            if known.lookups == 0 && ino != INodeNo::ROOT {
                self.known.remove(&ino.0);
            }
        }
    }
}

pub(crate) fn attributes(ino: u64, stat: &Stat) -> FileAttr {
    use std::time::{Duration, SystemTime};
    let time = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.max(0).unsigned_abs());
    FileAttr {
        ino: INodeNo(ino),
        size: stat.st_size.unsigned_abs(),
        blocks: stat.st_blocks.unsigned_abs(),
        atime: time(stat.st_atime),
        mtime: time(stat.st_mtime),
        ctime: time(stat.st_ctime),
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

pub(crate) fn kind(kind: rustix::fs::FileType) -> FileType {
    use rustix::fs::FileType as Real;
    match kind {
        Real::Directory => FileType::Directory,
        Real::Symlink => FileType::Symlink,
        Real::Fifo => FileType::NamedPipe,
        Real::Socket => FileType::Socket,
        Real::CharacterDevice => FileType::CharDevice,
        Real::BlockDevice => FileType::BlockDevice,
        Real::RegularFile | Real::Unknown => FileType::RegularFile,
    }
}
