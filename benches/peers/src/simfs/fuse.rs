//! Serves a simulated disk to the kernel through FUSE, and injects faults.
//!
//! Must never block in a request: one thread serves the kernel. Delayed requests are answered later.

use std::{
    ffi::OsStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::model::{NameDurability, NodeKind, ROOT, SECTOR_BYTES, SimDisk};

/// The kernel must not cache anything: the disk changes under it.
const TTL: Duration = Duration::ZERO;

/// The injected faults, and the number of syncs.
#[derive(Debug, Default)]
pub(super) struct SyncFaults {
    /// The number of syncs of files that succeed before one fails with EIO; `None` if none fails.
    pub(super) syncs_until_failure: Option<u64>,
    /// The number of requested syncs of files.
    pub(super) syncs: u64,
    /// Whether syncs of files are not answered.
    pub(super) blocks_syncs: bool,
    pub(super) blocked: Vec<ReplyEmpty>,
}

#[derive(Debug)]
pub(super) struct SimFsState {
    pub(super) disk: SimDisk,
    pub(super) names: NameDurability,
    pub(super) faults: SyncFaults,
}

/// The FUSE server.
pub(super) struct FuseServer(pub(super) Arc<Mutex<SimFsState>>);

impl FuseServer {
    fn state(&self) -> MutexGuard<'_, SimFsState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attributes(node: u64, kind: NodeKind) -> FileAttr {
    let (kind, size, perm) = match kind {
        NodeKind::File(size) => (FileType::RegularFile, size, 0o600),
        NodeKind::Directory => (FileType::Directory, 0, 0o700),
    };
    FileAttr {
        ino: INodeNo(node),
        size,
        blocks: size.div_ceil(SECTOR_BYTES),
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
    }
}

impl Filesystem for FuseServer {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state();
        let node = state.disk.lookup(parent.0, name);
        match node.and_then(|node| Some((node, state.disk.kind(node)?))) {
            Some((node, kind)) => reply.entry(&TTL, &attributes(node, kind), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.state().disk.kind(node.0) {
            Some(kind) => reply.attr(&TTL, &attributes(node.0, kind)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        if let Some(size) = size {
            state.disk.resize(node.0, size);
        }
        match state.disk.kind(node.0) {
            Some(kind) => reply.attr(&TTL, &attributes(node.0, kind)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let mut state = self.state();
        if state.disk.lookup(parent.0, name).is_some() {
            return reply.error(Errno::EEXIST);
        }
        let node = state.disk.create(parent.0, name, true);
        reply.entry(&TTL, &attributes(node, NodeKind::Directory), Generation(0));
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let mut state = self.state();
        if state.disk.lookup(parent.0, name).is_some() {
            return reply.error(Errno::EEXIST);
        }
        let node = state.disk.create(parent.0, name, false);
        let attributes = attributes(node, NodeKind::File(0));
        reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        if state.disk.lookup(parent.0, name).is_none() {
            return reply.error(Errno::ENOENT);
        }
        state.disk.unlink(parent.0, name);
        reply.ok();
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        match state.disk.lookup(parent.0, name) {
            None => return reply.error(Errno::ENOENT),
            Some(node) if !state.disk.list(node).is_empty() => return reply.error(Errno::ENOTEMPTY),
            Some(_) => state.disk.unlink(parent.0, name),
        }
        reply.ok();
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && state.disk.lookup(newparent.0, newname).is_some()
        {
            return reply.error(Errno::EEXIST);
        }
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return reply.error(Errno::EINVAL);
        }
        if state.disk.rename((parent.0, name), (newparent.0, newname)) {
            reply.ok();
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.state().disk.read(node.0, offset, size as usize) {
            Some(data) => reply.data(&data),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if self.state().disk.write(node.0, offset, data) {
            // A request carries at most a few mebibytes.
            reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        /// `FALLOC_FL_KEEP_SIZE`
        const KEEP_SIZE: i32 = 1;
        let mut state = self.state();
        match (state.disk.kind(node.0), mode) {
            (Some(NodeKind::File(size)), 0) => {
                state.disk.resize(node.0, size.max(offset + length));
                reply.ok();
            }
            (Some(NodeKind::File(_)), KEEP_SIZE) => reply.ok(),
            _ => reply.error(Errno::EOPNOTSUPP),
        }
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut state = self.state();
        let names = state.names;
        state.faults.syncs += 1;
        if state.faults.blocks_syncs {
            state.faults.blocked.push(reply);
            return;
        }
        match state.faults.syncs_until_failure {
            Some(0) => {
                state.faults.syncs_until_failure = None;
                state.disk.fail_sync(node.0);
                return reply.error(Errno::EIO);
            }
            Some(remaining) => state.faults.syncs_until_failure = Some(remaining - 1),
            None => {}
        }
        state.disk.sync(node.0, names);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.state().disk.sync_directory(node.0);
        reply.ok();
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = self.state();
        let mut names = vec![
            (".".into(), node.0, FileType::Directory),
            // The kernel resolves `..` itself.
            ("..".into(), ROOT, FileType::Directory),
        ];
        for (name, node) in state.disk.list(node.0) {
            let is_directory = state.disk.kind(node) == Some(NodeKind::Directory);
            names.push((name, node, if is_directory { FileType::Directory } else { FileType::RegularFile }));
        }
        let first = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (name, node, kind)) in (1_u64..).zip(names).skip(first) {
            if reply.add(INodeNo(node), index, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        const BLOCKS: u64 = 1 << 24;
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, 4096, 255, 4096);
    }
}
