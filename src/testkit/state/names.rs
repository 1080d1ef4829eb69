//! Operations on names.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{Inode, SimInode, SimState};

impl SimState {
    pub(in crate::testkit) fn find(&self, path: &Path) -> io::Result<Inode> {
        self.directory.find(path).ok_or_else(|| Errno::NOENT.into())
    }

    pub(in crate::testkit) fn list(&self, dir: &Path) -> Vec<OsString> {
        let here = self.directory.names().filter(|(path, _)| path.parent() == Some(dir));
        here.filter_map(|(path, _)| path.file_name().map(OsString::from)).collect()
    }

    pub(in crate::testkit) fn paths(&self) -> Vec<PathBuf> {
        self.directory.names().map(|(path, _)| path.clone()).collect()
    }

    pub(in crate::testkit) fn create(&mut self, path: &Path) -> io::Result<Inode> {
        if self.directory.find(path).is_some() {
            return Err(Errno::EXIST.into());
        }
        if self.plan.space == Some(0) {
            self.faults += 1;
            return Err(Errno::NOSPC.into());
        }
        let inode = self.files.len();
        self.files.push(SimInode { modified: self.clock, ..SimInode::default() });
        self.note(|_| format!("create {}", path.display()));
        self.directory.create(path, inode);
        Ok(inode)
    }

    pub(in crate::testkit) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(|_| format!("rename {} to {}", from.display(), to.display()));
        let inode = self.find(from)?;
        let replaced = self.directory.find(to);
        if replaced.is_none() && self.plan.dir_is_full(&mut self.rng) {
            self.faults += 1;
            return Err(Errno::NOSPC.into());
        }
        self.directory.rename(from, to, inode);
        if let Some(inode) = replaced {
            self.free(inode);
        }
        Ok(())
    }

    /// Renames a file to a name that must be free.
    pub(in crate::testkit) fn rename_noreplace(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.directory.find(to).is_some() {
            return Err(Errno::EXIST.into());
        }
        self.rename(from, to)
    }

    /// Gives a file a second name.
    pub(in crate::testkit) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(|_| format!("link {} to {}", from.display(), to.display()));
        let inode = self.find(from)?;
        if self.directory.find(to).is_some() {
            return Err(Errno::EXIST.into());
        }
        if self.plan.dir_is_full(&mut self.rng) {
            self.faults += 1;
            return Err(Errno::NOSPC.into());
        }
        self.directory.create(to, inode);
        Ok(())
    }

    pub(in crate::testkit) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.find(path)?;
        self.note(|_| format!("remove {}", path.display()));
        self.directory.remove(path, inode);
        self.free(inode);
        Ok(())
    }

    pub(in crate::testkit) fn sync_dir(&mut self, dir: &Path) {
        self.note(|_| format!("sync the directory {}", dir.display()));
        self.directory.sync(dir);
    }

    /// Frees the disk space of a file that has lost its last name.
    fn free(&mut self, inode: Inode) {
        if self.directory.names().any(|(_, named)| named == inode) {
            return;
        }
        let bytes = self.files[inode].content.len() as u64;
        self.plan.free_space(bytes);
    }
}
