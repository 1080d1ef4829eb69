//! The FUSE requests and replies. No decision is made here.

use std::{
    ffi::OsStr,
    io,
    time::{Duration, SystemTime},
};

use fuser::{
    BsdFileFlags, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{AtFlags, FallocateFlags};

use super::{OpenHandle, Passthrough, is_writing};
use crate::protocol::{MountOptions, Op};

/// The kernel must not cache anything: other processes change the backing directory.
const TTL: Duration = Duration::ZERO;

/// A function that replies with the value or the error of a result.
macro_rules! respond {
    ($reply:ident, $value:pat => $reply_expr:expr) => {
        move |result: Result<_, fuser::Errno>| match result {
            Ok($value) => $reply_expr,
            Err(errno) => $reply.error(errno),
        }
    };
}

fn respond_empty(reply: ReplyEmpty) -> impl FnOnce(Result<(), fuser::Errno>) + Send {
    respond!(reply, () => reply.ok())
}

fn respond_entry(reply: ReplyEntry) -> impl FnOnce(Result<FileAttr, fuser::Errno>) + Send {
    respond!(reply, attr => reply.entry(&TTL, &attr, Generation(0)))
}

fn respond_attr(reply: ReplyAttr) -> impl FnOnce(Result<FileAttr, fuser::Errno>) + Send {
    respond!(reply, attr => reply.attr(&TTL, &attr))
}

impl Passthrough {
    /// Returns the target of an operation on names in a directory.
    fn target_names(op: Op, parent: INodeNo, names: &[&OsStr]) -> (Op, INodeNo, Vec<String>) {
        (op, parent, names.iter().map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn remove(&self, parent: INodeNo, name: &OsStr, flags: AtFlags, reply: ReplyEmpty) {
        let (target, name) = (Self::target_names(Op::Remove, parent, &[name]), name.to_owned());
        self.dispatch(target, true, move |core, _| core.remove(parent, &name, flags), respond_empty(reply));
    }
}

impl Filesystem for Passthrough {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let MountOptions { async_direct_io, max_write_bytes, .. } = self.0.options;
        if async_direct_io {
            let added = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
            added.map_err(|_| io::Error::other("no FUSE_ASYNC_DIO in this kernel"))?;
        }
        if let Some(bytes) = max_write_bytes {
            config.set_max_write(bytes).map_err(|_| io::Error::other("max_write_bytes is out of range"))?;
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        respond_entry(reply)(self.0.look_up(parent, name).map_err(fuser::Errno::from));
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        self.0.inodes().forget(ino, lookups);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        respond_attr(reply)(self.0.attributes(ino).map_err(fuser::Errno::from));
    }

    /// Sets length and mode; owners and times are not passed through.
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let Some(len) = size else {
            let mode = mode.map_or(Ok(()), |mode| self.0.set_mode(ino, mode));
            return respond_attr(reply)(
                mode.and_then(|()| self.0.attributes(ino)).map_err(fuser::Errno::from),
            );
        };
        let operation =
            move |core: &super::Core, _| core.set_len(ino, len).and_then(|()| core.attributes(ino));
        self.dispatch(self.target(Op::SetLen, ino), true, operation, respond_attr(reply));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let (target, name) = (Self::target_names(Op::Create, parent, &[name]), name.to_owned());
        let make = move |core: &super::Core, _| core.make_dir(parent, &name, mode & !umask);
        self.dispatch(target, true, make, respond_entry(reply));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, AtFlags::empty(), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, AtFlags::REMOVEDIR, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(fuser::Errno::EINVAL);
        }
        let replaces = flags.is_empty();
        let target = Self::target_names(Op::Rename, parent, &[name, to]);
        let (name, to) = (name.to_owned(), to.to_owned());
        let rename = move |core: &super::Core, _| core.rename((parent, &name), (to_parent, &to), replaces);
        self.dispatch(target, true, rename, respond_empty(reply));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (target, name) = (Self::target_names(Op::Create, parent, &[name]), name.to_owned());
        let open_flags = self.0.open_flags();
        self.dispatch(
            target,
            true,
            move |core, _| core.create(parent, &name, mode & !umask, core.needs_alignment(flags)),
            respond!(reply, (attr, handle) => reply.created(&TTL, &attr, Generation(0), handle, open_flags)),
        );
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (writing, open_flags) = (is_writing(flags.0), self.0.open_flags());
        self.dispatch(
            self.target(Op::Open, ino),
            writing,
            move |core, _| core.open(ino, writing, core.needs_alignment(flags.0)),
            respond!(reply, handle => reply.opened(handle, open_flags)),
        );
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.dispatch(
            self.target(Op::Read, ino),
            false,
            move |core, _| core.read(handle, offset, size as usize),
            respond!(reply, bytes => reply.data(&bytes)),
        );
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = data.to_vec();
        self.dispatch(
            self.target(Op::Write, ino),
            true,
            move |core, limit| core.write(handle, offset, &data, limit),
            respond!(reply, count => reply.written(count)),
        );
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let extend = move |core: &super::Core, _| match FallocateFlags::from_bits_retain(mode as u32) {
            FallocateFlags::KEEP_SIZE => Ok(()),
            none if none.is_empty() => match core.attributes(ino)?.size.max(offset + length) {
                len if len == core.attributes(ino)?.size => Ok(()),
                len => core.set_len(ino, len),
            },
            _ => Err(rustix::io::Errno::OPNOTSUPP.into()),
        };
        self.dispatch(self.target(Op::SetLen, ino), true, extend, respond_empty(reply));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.0.close_handle(handle);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        self.dispatch(
            self.target(Op::Sync, ino),
            false,
            move |core, _| core.sync(handle),
            respond_empty(reply),
        );
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.dispatch(
            self.target(Op::List, ino),
            false,
            move |core, _| core.open_dir(ino),
            respond!(reply, handle => reply.opened(handle, FopenFlags::empty())),
        );
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let dir = match self.0.dir(handle) {
            Ok(dir) => dir,
            Err(error) => return reply.error(error.into()),
        };
        if let OpenHandle::Dir { entries } = &*dir {
            for (index, entry) in entries.iter().enumerate().skip(offset as usize) {
                if reply.add(INodeNo(entry.ino), index as u64 + 1, entry.kind, &entry.name) {
                    break;
                }
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.0.close_handle(handle);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.dispatch(
            self.target(Op::SyncDir, ino),
            false,
            move |core, _| core.sync_dir(ino),
            respond_empty(reply),
        );
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
        match self.0.statfs(ino) {
            Ok(fs) => {
                let block_bytes = fs.f_bsize as u32;
                let (blocks, free, available) = (fs.f_blocks, fs.f_bfree, fs.f_bavail);
                reply.statfs(blocks, free, available, fs.f_files, fs.f_ffree, block_bytes, 255, block_bytes);
            }
            Err(error) => reply.error(error.into()),
        }
    }
}
