//! Operations on names and attributes.

use std::{ffi::OsStr, ffi::OsString, io, os::unix::ffi::OsStrExt, sync::Arc};

use fuser::{FileAttr, FileHandle, INodeNo};
use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, openat, renameat_with, statat, unlinkat},
    io::Errno,
};

use super::{Core, OpenHandle};
use crate::inodes::{self, Inode, attributes};

/// One name in a directory, as listed when the directory was opened.
#[derive(Debug)]
pub(super) struct DirEntry {
    pub(super) ino: u64,
    pub(super) kind: fuser::FileType,
    pub(super) name: OsString,
}

impl Core {
    pub(super) fn look_up(&self, parent: INodeNo, name: &OsStr) -> io::Result<FileAttr> {
        let dir = self.inode(parent)?;
        let inode = Inode::open(dir.fd(), name)?;
        let mut inodes = self.inodes();
        let inode = inodes.look_up(inode, name);
        Ok(attributes(inode.number, &inode.stat()?))
    }

    pub(super) fn attributes(&self, ino: INodeNo) -> io::Result<FileAttr> {
        Ok(attributes(ino.0, &self.inode(ino)?.stat()?))
    }

    pub(super) fn set_mode(&self, ino: INodeNo, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::chmod(self.inode(ino)?.path(), Mode::from_raw_mode(mode & 0o7777))?)
    }

    pub(super) fn create(
        &self,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        direct: bool,
    ) -> io::Result<(FileAttr, FileHandle)> {
        let dir = self.inode(parent)?;
        let mut durability = self.durability();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(dir.fd(), name, flags, Mode::from_raw_mode(mode & 0o7777))?;
        let attr = self.look_up(parent, name)?;
        durability.create(dir.number, name, attr.ino.0, false);
        let handle = OpenHandle::File { file: file.into(), inode: attr.ino.0, direct };
        Ok((attr, self.add_handle(handle)))
    }

    pub(super) fn make_dir(&self, parent: INodeNo, name: &OsStr, mode: u32) -> io::Result<FileAttr> {
        let dir = self.inode(parent)?;
        let mut durability = self.durability();
        rustix::fs::mkdirat(dir.fd(), name, Mode::from_raw_mode(mode & 0o7777))?;
        let attr = self.look_up(parent, name)?;
        durability.create(dir.number, name, attr.ino.0, true);
        Ok(attr)
    }

    pub(super) fn remove(&self, parent: INodeNo, name: &OsStr, flags: AtFlags) -> io::Result<()> {
        let dir = self.inode(parent)?;
        let mut durability = self.durability();
        let stat = statat(dir.fd(), name, AtFlags::SYMLINK_NOFOLLOW)?;
        unlinkat(dir.fd(), name, flags)?;
        durability.remove(dir.number, name);
        if flags.is_empty() && stat.st_nlink == 1 {
            self.faults.release_space(stat.st_size.unsigned_abs());
        }
        Ok(())
    }

    pub(super) fn rename(
        &self,
        (parent, name): (INodeNo, &OsStr),
        (to_parent, to): (INodeNo, &OsStr),
        replaces: bool,
    ) -> io::Result<()> {
        let (dir, to_dir) = (self.inode(parent)?, self.inode(to_parent)?);
        let mut durability = self.durability();
        let number = statat(dir.fd(), name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino;
        let flags = if replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        renameat_with(dir.fd(), name, to_dir.fd(), to, flags)?;
        durability.rename((dir.number, name), (to_dir.number, to), number);
        self.inodes().rename(number, to);
        Ok(())
    }

    pub(super) fn open_dir(&self, ino: INodeNo) -> io::Result<FileHandle> {
        let dir = self.inode(ino)?;
        let listed =
            openat(dir.fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(listed)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            entries.push(DirEntry { ino: entry.ino(), kind: inodes::kind(entry.file_type()), name });
        }
        Ok(self.add_handle(OpenHandle::Dir { entries }))
    }

    pub(super) fn dir(&self, handle: FileHandle) -> io::Result<Arc<OpenHandle>> {
        let handle = self.handle(handle)?;
        if matches!(*handle, OpenHandle::Dir { .. }) { Ok(handle) } else { Err(Errno::NOTDIR.into()) }
    }

    pub(super) fn sync_dir(&self, ino: INodeNo) -> io::Result<()> {
        let dir = self.inode(ino)?;
        let mut durability = self.durability();
        rustix::fs::fsync(openat(dir.fd(), ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)?;
        durability.sync_dir(dir.number);
        Ok(())
    }

    pub(super) fn statfs(&self, ino: INodeNo) -> io::Result<rustix::fs::StatFs> {
        Ok(rustix::fs::statfs(self.inode(ino)?.path())?)
    }
}
