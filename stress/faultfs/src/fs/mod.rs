//! The file system: what the kernel asks for is met by the rules first, then done to the backing directory.
//!
//! An operation that is held back or delayed waits on a thread of its own, so that every other one, and whoever
//! releases it, is answered meanwhile. The mount has no writeback cache: a write that was answered has reached us.

mod data;
mod names;
mod requests;

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use fuser::{FileHandle, FopenFlags, INodeNo};
use rustix::fs::OFlags;

use crate::{
    faults::{Event, Faults},
    inodes::{Inode, Inodes},
    protocol::{MountOptions, Op, Then},
    unsynced::Unsynced,
};

/// What the threads of the file system share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) faults: Faults,
    backing: PathBuf,
    options: MountOptions,
    inodes: Mutex<Inodes>,
    handles: Mutex<HashMap<u64, Arc<Handle>>>,
    last_handle: AtomicU64,
    /// Held while a file is changed.
    unsynced: Mutex<Unsynced>,
}

/// An open file or directory.
#[derive(Debug)]
enum Handle {
    File { file: File, inode: u64, direct: bool },
    Dir { entries: Vec<names::DirEntry> },
}

/// What the kernel talks to.
#[derive(Debug)]
pub(crate) struct Passthrough(pub(crate) Arc<Core>);

impl Core {
    pub(crate) fn new(backing: &Path, options: MountOptions) -> io::Result<Self> {
        Ok(Self {
            faults: Faults::default(),
            backing: backing.to_path_buf(),
            options,
            inodes: Mutex::new(Inodes::new(Inode::root(backing)?)),
            handles: Mutex::default(),
            last_handle: AtomicU64::new(0),
            unsynced: Mutex::default(),
        })
    }

    /// Copies what a power cut would leave now.
    pub(crate) fn power_cut(&self, to: &Path) -> io::Result<()> {
        self.unsynced().copy_durable(&self.backing, to)
    }

    fn add_handle(&self, handle: Handle) -> FileHandle {
        let number = self.last_handle.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.handles).insert(number, Arc::new(handle));
        FileHandle(number)
    }

    fn handle(&self, handle: FileHandle) -> io::Result<Arc<Handle>> {
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

    fn forget_handle(&self, handle: FileHandle) {
        lock(&self.handles).remove(&handle.0);
    }

    fn inode(&self, ino: INodeNo) -> io::Result<Arc<Inode>> {
        self.inodes().get(ino)
    }

    fn inodes(&self) -> MutexGuard<'_, Inodes> {
        lock(&self.inodes)
    }

    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        lock(&self.unsynced)
    }
}

impl Passthrough {
    /// Does to a file what the rules say, and answers the kernel. A write may be told to write less.
    fn meet<T: 'static>(
        &self,
        (op, ino, names): (Op, INodeNo, Vec<String>),
        changes: bool,
        act: impl FnOnce(&Core, usize) -> io::Result<T> + Send + 'static,
        answer: impl FnOnce(Result<T, fuser::Errno>) + Send + 'static,
    ) {
        let verdict = self.0.faults.meet(&Event { op, names, changes });
        let core = Arc::clone(&self.0);
        let waits = !matches!(verdict.wait, crate::protocol::Wait::Not);
        let carry_out = move || {
            core.faults.wait(&verdict);
            let outcome = match verdict.then {
                Then::Go => act(&core, usize::MAX),
                Then::Short { bytes } => act(&core, bytes),
                Then::Fail { errno, unsynced } => {
                    core.abandon(ino, unsynced).and(Err(io::Error::from_raw_os_error(errno)))
                }
            };
            answer(outcome.map_err(fuser::Errno::from));
        };
        if waits {
            thread::spawn(carry_out);
        } else {
            carry_out();
        }
    }

    /// On an inode, by the name it is known under.
    fn on(&self, op: Op, ino: INodeNo) -> (Op, INodeNo, Vec<String>) {
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
