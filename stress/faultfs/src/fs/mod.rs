//! The file system: each request of the kernel is checked against the rules, then performed on the backing
//! directory.
//!
//! A blocked or delayed operation waits on its own thread, so that all other operations, and the command that
//! releases it, are served in the meantime. The mount has no writeback cache: a completed write has reached this
//! process.

mod data;
mod names;
mod requests;

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use fuser::{FileHandle, FopenFlags, INodeNo};
use rustix::fs::OFlags;

use crate::{
    durability::Durability,
    faults::{Faults, Operation},
    inodes::{Inode, Inodes},
    protocol::{MountOptions, Op, OpEffect},
};

/// State shared by the threads of the file system.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) faults: Faults,
    options: MountOptions,
    inodes: Mutex<Inodes>,
    handles: Mutex<HashMap<u64, Arc<OpenHandle>>>,
    last_handle: AtomicU64,
    /// Locked while a file or a name is changed.
    durability: Mutex<Durability>,
}

#[derive(Debug)]
enum OpenHandle {
    File { file: File, inode: u64, direct: bool },
    Dir { entries: Vec<names::DirEntry> },
}

#[derive(Debug)]
pub(crate) struct Passthrough(pub(crate) Arc<Core>);

impl Core {
    pub(crate) fn new(backing: &Path, options: MountOptions) -> io::Result<Self> {
        Ok(Self {
            faults: Faults::default(),
            options,
            inodes: Mutex::new(Inodes::new(Inode::root(backing)?)),
            handles: Mutex::default(),
            last_handle: AtomicU64::new(0),
            durability: Mutex::new(Durability::new(backing, options.names)?),
        })
    }

    pub(crate) fn durability(&self) -> MutexGuard<'_, Durability> {
        lock(&self.durability)
    }

    /// Returns the inode of a file in the root directory.
    pub(crate) fn inode_of(&self, name: &str) -> io::Result<u64> {
        let root = self.inode(INodeNo::ROOT)?;
        Ok(Inode::open(root.fd(), OsStr::new(name))?.number)
    }

    fn add_handle(&self, handle: OpenHandle) -> FileHandle {
        let number = self.last_handle.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.handles).insert(number, Arc::new(handle));
        FileHandle(number)
    }

    fn handle(&self, handle: FileHandle) -> io::Result<Arc<OpenHandle>> {
        let handles = lock(&self.handles);
        Ok(Arc::clone(handles.get(&handle.0).ok_or(rustix::io::Errno::BADF)?))
    }

    /// The flags that files are opened with.
    fn open_flags(&self) -> FopenFlags {
        if self.options.open_direct_io { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() }
    }

    /// Whether reads and writes of a file opened with these flags must be aligned.
    fn needs_alignment(&self, flags: i32) -> bool {
        is_direct(flags) && !self.options.unaligned_direct_io
    }

    fn close_handle(&self, handle: FileHandle) {
        lock(&self.handles).remove(&handle.0);
    }

    fn inode(&self, ino: INodeNo) -> io::Result<Arc<Inode>> {
        self.inodes().get(ino)
    }

    fn inodes(&self) -> MutexGuard<'_, Inodes> {
        lock(&self.inodes)
    }
}

impl Passthrough {
    /// Performs an operation as the rules decide, and replies to the kernel. A rule can limit the size of a write.
    fn dispatch<T: 'static>(
        &self,
        (op, ino, names): (Op, INodeNo, Vec<String>),
        changes: bool,
        operation: impl FnOnce(&Core, usize) -> io::Result<T> + Send + 'static,
        respond: impl FnOnce(Result<T, fuser::Errno>) + Send + 'static,
    ) {
        let decision = self.0.faults.decide(&Operation { op, names, changes });
        let core = Arc::clone(&self.0);
        let is_delayed = !matches!(decision.delay, crate::protocol::Delay::None);
        let execute = move || {
            core.faults.apply_delay(&decision);
            let result = match decision.effect {
                OpEffect::Proceed => operation(&core, usize::MAX),
                OpEffect::ShortWrite { bytes } => operation(&core, bytes),
                OpEffect::Fail { errno, unsynced } => {
                    core.fail_writeback(ino, unsynced).and(Err(io::Error::from_raw_os_error(errno)))
                }
            };
            respond(result.map_err(fuser::Errno::from));
        };
        if is_delayed {
            thread::spawn(execute);
        } else {
            execute();
        }
    }

    /// Returns the target of an operation on an inode, with the name it is known under.
    fn target(&self, op: Op, ino: INodeNo) -> (Op, INodeNo, Vec<String>) {
        (op, ino, self.0.inodes().name(ino))
    }
}

fn is_direct(flags: i32) -> bool {
    OFlags::from_bits_retain(flags as u32).contains(OFlags::DIRECT)
}

fn is_writing(flags: i32) -> bool {
    let access = OFlags::from_bits_retain(flags as u32) & OFlags::ACCMODE;
    access == OFlags::WRONLY || access == OFlags::RDWR
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
