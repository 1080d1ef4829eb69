//! The recording disk: a FUSE file system with a file `disk.img`, which is kept in memory and logs every write and
//! flush in order, and a file `ctl`, which adds markers to the same log.
//!
//! It runs as a separate process (`serve`), because a file system that is served by the process that uses it can hang
//! together with it. One thread serves it, so the log has one order. It supports only reading, writing and syncing; the
//! kernel works without the other operations, such as discard.
//!
//! | command written to `ctl` | effect |
//! | --- | --- |
//! | `marker TEXT` | logs TEXT |
//! | `reset` | clears the log; the current contents become the base image |
//! | `dump PATH` | writes the recording to the file PATH |

use std::{
    ffi::OsStr,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    Session, WriteFlags,
};

use crate::{
    image::Image,
    recording::{Event, Recording},
};

/// The name of the disk in the mounted directory.
pub(crate) const DISK_NAME: &str = "disk.img";

/// The name of the control file in the mounted directory.
pub(crate) const CONTROL_NAME: &str = "ctl";

const DISK: u64 = 2;
const CONTROL: u64 = 3;

/// How long the kernel may cache attributes, which never change.
const TTL: Duration = Duration::from_secs(3600);

/// The line printed when the file system is mounted.
pub(crate) const READY: &str = "ready";

/// Serves `disk` at `dir` until it is unmounted.
pub(crate) fn serve(disk: Image, dir: &Path) -> io::Result<()> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("ministore-powercut".into())];
    let file_system = RecordingFs { state: Mutex::new(DiskState::new(disk)) };
    let session = Session::new(file_system, dir, &config)?;
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    session.run()
}

#[derive(Debug)]
struct RecordingFs {
    state: Mutex<DiskState>,
}

#[derive(Debug)]
struct DiskState {
    recording: Recording,
    disk: Image,
}

impl DiskState {
    fn new(disk: Image) -> Self {
        Self { recording: Recording { base: disk.clone(), events: Vec::new() }, disk }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        if !self.disk.write(offset, data) {
            return Err(Errno::ENOSPC);
        }
        self.recording.events.push(Event::Write { offset, data: data.to_vec() });
        Ok(())
    }

    fn control(&mut self, command: &[u8]) -> Result<(), Errno> {
        let command = str::from_utf8(command).map_err(|_| Errno::EINVAL)?.trim_end();
        match command.split_once(' ').unwrap_or((command, "")) {
            ("marker", text) => self.recording.events.push(Event::Marker(text.into())),
            ("reset", "") => self.recording = Recording { base: self.disk.clone(), events: Vec::new() },
            ("dump", path) => self.recording.save(Path::new(path)).map_err(|_| Errno::EIO)?,
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}

impl RecordingFs {
    fn with_state<T>(&self, f: impl FnOnce(&mut DiskState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn attr(&self, ino: u64) -> Option<FileAttr> {
        let (kind, perm, size) = match ino {
            1 => (FileType::Directory, 0o700, 0),
            DISK => (FileType::RegularFile, 0o600, self.with_state(|state| state.disk.bytes())),
            CONTROL => (FileType::RegularFile, 0o600, 0),
            _ => return None,
        };
        Some(FileAttr {
            ino: INodeNo(ino),
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn reply_attr(&self, ino: INodeNo, reply: ReplyAttr) {
        match self.attr(ino.into()) {
            Some(attr) => reply.attr(&TTL, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }
}

impl Filesystem for RecordingFs {
    fn lookup(&self, _: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let ino = match name.to_str() {
            Some(DISK_NAME) => DISK,
            Some(CONTROL_NAME) => CONTROL,
            _ => 0,
        };
        match self.attr(ino) {
            Some(attr) => reply.entry(&TTL, &attr, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.reply_attr(ino, reply);
    }

    /// Opens a file for direct I/O, so that the page cache delays no write and no marker.
    fn open(&self, _: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if ino != INodeNo(DISK) {
            return reply.data(&[]);
        }
        reply.data(&self.with_state(|state| state.disk.read(offset, size as usize)));
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let outcome = self.with_state(|state| match ino.into() {
            DISK => state.write(offset, data),
            CONTROL => state.control(data),
            _ => Err(Errno::EBADF),
        });
        match outcome {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        if ino == INodeNo(DISK) {
            self.with_state(|state| state.recording.events.push(Event::Flush));
        }
        reply.ok();
    }

    /// Does nothing, because closing a file does not sync it.
    fn flush(&self, _: &Request, _ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }
}
