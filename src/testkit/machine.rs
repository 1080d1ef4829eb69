//! The simulated machine: files and names behind one lock, the faults that are planned for it, and what a crash makes of
//! it. Every method is one operation of a process; the order of operations is decided elsewhere.

use std::{
    collections::HashMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::io::Errno;

use super::{
    content::Content,
    directory::{Directory, Inode},
    plan::{Beside, Plan, Stop},
    rng::Rng,
};

/// What an operation does, as far as faults tell operations apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Sync,
    FileNames,
    SyncNames,
    SetLen,
}

/// How an operation is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Make,
    /// The crash comes in the middle of it.
    Crash(Stop),
    Fail(Errno),
}

#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) plan: Plan,
    pub(super) rng: Rng,
    files: Vec<File>,
    directory: Directory,
    claims: HashMap<PathBuf, u64>,
    /// Lock files, by their number.
    lock_files: Vec<PathBuf>,
    /// Counts restarts: what was opened before one is of no use after it.
    pub(super) life: u64,
    /// Since when nothing works, and why.
    pub(super) stopped: Option<Stop>,
    pub(super) operations: u64,
    /// What the clock shows, since the epoch.
    clock: Duration,
    writes: u64,
    syncs: u64,
    /// Syncs of files that succeeded, and durable writes.
    pub(super) completed_syncs: u64,
    /// Faults that struck.
    pub(super) faults: u64,
    renames: u64,
    /// Calls that were refused for a temporary shortage. They changed nothing.
    pub(super) refused: u64,
    /// What a real disk would have refused.
    pub(super) violations: Vec<String>,
    /// Every operation, for whoever looks for the cause of a failure.
    pub(super) trace: Option<Vec<String>>,
}

#[derive(Debug, Default, Clone)]
struct File {
    content: Content,
    /// Failed syncs; whoever has it open is told of each once.
    failures: u64,
    /// Bytes that were written and have no room on the disk yet.
    unallocated: u64,
    /// When it was last changed.
    modified: Duration,
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            plan: Plan::default(),
            rng: Rng::new(seed),
            files: Vec::new(),
            directory: Directory::default(),
            claims: HashMap::new(),
            lock_files: Vec::new(),
            life: 0,
            stopped: None,
            operations: 0,
            clock: Duration::ZERO,
            writes: 0,
            syncs: 0,
            completed_syncs: 0,
            faults: 0,
            renames: 0,
            refused: 0,
            violations: Vec::new(),
            trace: None,
        }
    }

    /// Counts an operation that changes something, and says how it goes.
    pub(super) fn begin(&mut self, life: u64, kind: Kind) -> Verdict {
        if life != self.life || self.stopped.is_some() {
            return Verdict::Fail(Errno::IO);
        }
        self.operations += 1;
        if self.rng.chance(10) {
            (0..self.files.len()).for_each(|inode| self.forget_some(inode));
        }
        if let Some(stop) = self.plan.stops(self.operations) {
            self.stopped = Some(stop);
            self.note(|_| format!("{stop:?} in the middle of: {kind:?}"));
            return Verdict::Crash(stop);
        }
        let failed = match kind {
            Kind::Write => {
                self.writes += 1;
                self.plan.write_fails(self.writes)
            }
            Kind::Sync | Kind::SyncNames => {
                self.syncs += 1;
                self.plan.sync_fails(self.syncs)
            }
            Kind::FileNames | Kind::SetLen => false,
        };
        if failed {
            self.faults += 1;
            return Verdict::Fail(Errno::IO);
        }
        Verdict::Make
    }

    /// How many operations of the work beside pass before the next of the writer.
    pub(super) fn steps_beside(&mut self) -> u64 {
        match self.plan.beside {
            Beside::Starved => 0,
            Beside::Slow => u64::from(self.rng.chance(20)),
            Beside::Even => self.rng.below(3),
            Beside::Eager => self.rng.below(20),
        }
    }

    /// Whether this life still goes on.
    pub(super) fn alive(&self, life: u64) -> io::Result<()> {
        if life == self.life && self.stopped.is_none() { Ok(()) } else { Err(Errno::IO.into()) }
    }

    /// For the trace.
    pub(super) fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let text = format!("{}: {}", self.operations, text(self));
            self.trace.get_or_insert_default().push(text);
        }
    }

    /// For the trace: a file by the names it has.
    fn called(&self, inode: Inode) -> String {
        let names = self.directory.names().filter(|(_, named)| *named == inode);
        let names: Vec<_> = names.map(|(path, _)| path.display().to_string()).collect();
        format!("{} (inode {inode}, {} bytes)", names.join(" "), self.len(inode))
    }

    /// Writes and syncs so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.writes, self.syncs)
    }

    // Names.

    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        self.directory.find(path).ok_or_else(|| Errno::NOENT.into())
    }

    pub(super) fn list(&self, dir: &Path) -> Vec<OsString> {
        let here = self.directory.names().filter(|(path, _)| path.parent() == Some(dir));
        here.filter_map(|(path, _)| path.file_name().map(OsString::from)).collect()
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.directory.names().map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Inode> {
        if self.directory.find(path).is_some() {
            return Err(Errno::EXIST.into());
        }
        if self.plan.room == Some(0) {
            self.faults += 1;
            return Err(Errno::NOSPC.into());
        }
        let inode = self.files.len();
        self.files.push(File { modified: self.clock, ..File::default() });
        self.note(|_| format!("create {}", path.display()));
        self.directory.create(path, inode);
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(|_| format!("rename {} to {}", from.display(), to.display()));
        let inode = self.find(from)?;
        let replaced = self.directory.find(to);
        if replaced.is_none() && self.plan.names_are_full(&mut self.rng) {
            self.faults += 1;
            return Err(Errno::NOSPC.into());
        }
        self.directory.rename(from, to, inode);
        if let Some(inode) = replaced {
            self.free(inode);
        }
        Ok(())
    }

    /// Renames to a name that must be free.
    pub(super) fn rename_new(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.directory.find(to).is_some() {
            return Err(Errno::EXIST.into());
        }
        self.rename(from, to)
    }

    /// Gives a file a second name.
    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(|_| format!("link {} to {}", from.display(), to.display()));
        let inode = self.find(from)?;
        if self.directory.find(to).is_some() {
            return Err(Errno::EXIST.into());
        }
        if self.plan.names_are_full(&mut self.rng) {
            self.faults += 1;
            return Err(Errno::NOSPC.into());
        }
        self.directory.create(to, inode);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.find(path)?;
        self.note(|_| format!("remove {}", path.display()));
        self.directory.remove(path, inode);
        self.free(inode);
        Ok(())
    }

    pub(super) fn sync_names(&mut self, dir: &Path) {
        self.note(|_| format!("sync the directory {}", dir.display()));
        self.directory.sync(dir);
    }

    fn free(&mut self, inode: Inode) {
        if self.directory.names().any(|(_, named)| named == inode) {
            return;
        }
        let bytes = self.files[inode].content.len() as u64;
        self.plan.give_room_back(bytes);
    }

    // Shortages.

    /// A call that needs a descriptor; fails while there are none.
    pub(super) fn open(&mut self) -> io::Result<()> {
        self.refuse(self.plan.no_descriptors, Errno::MFILE)
    }

    /// A call that needs memory of the kernel; fails while there is none.
    pub(super) fn allocate(&mut self) -> io::Result<()> {
        let refused = self.plan.no_memory && self.rng.chance(30);
        self.refuse(refused, Errno::NOMEM)
    }

    /// A rename needs memory of the kernel before it changes anything.
    pub(super) fn begin_rename(&mut self) -> io::Result<()> {
        let refused = self.plan.no_memory && self.rng.chance(50);
        self.refuse(refused, Errno::NOMEM)
    }

    /// Whether this rename fails. It may have been made all the same.
    pub(super) fn rename_fails(&mut self) -> bool {
        self.renames += 1;
        let fails = self.plan.failing_renames.contains(&self.renames);
        self.faults += u64::from(fails);
        fails
    }

    pub(super) fn renames(&self) -> u64 {
        self.renames
    }

    fn refuse(&mut self, refused: bool, errno: Errno) -> io::Result<()> {
        if refused {
            self.refused += 1;
            self.note(|_| format!("refused: {errno}"));
            return Err(errno.into());
        }
        Ok(())
    }

    // Time.

    pub(super) fn advance_clock(&mut self, time: Duration) {
        self.clock = self.clock.saturating_add(time);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.clock
    }

    pub(super) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.clock
    }

    pub(super) fn modified(&self, inode: Inode) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.files[inode].modified
    }

    // Files.

    pub(super) fn len(&self, inode: Inode) -> u64 {
        self.files[inode].content.len() as u64
    }

    pub(super) fn read_at(&self, inode: Inode, into: &mut [u8], offset: u64) -> usize {
        self.files[inode].content.read_at(into, offset)
    }

    /// The cache may forget what a failed sync dropped: what is read next is what the disk holds.
    pub(super) fn forget_some(&mut self, inode: Inode) {
        let content = &mut self.files[inode].content;
        if content.has_dropped() && self.rng.chance(30) {
            content.forget_dropped();
            self.note(|machine| format!("the cache forgets what was dropped of {}", machine.called(inode)));
        }
    }

    pub(super) fn forget_dropped(&mut self, inode: Inode) {
        self.files[inode].content.forget_dropped();
    }

    pub(super) fn forget_all(&mut self) {
        self.files.iter_mut().for_each(|file| file.content.forget_dropped());
    }

    pub(super) fn cached(&self, inode: Inode) -> &[u8] {
        self.files[inode].content.cached()
    }

    /// How many of these bytes there is room for.
    pub(super) fn grant(&mut self, inode: Inode, offset: u64, count: u64, at_once: bool) -> u64 {
        let file = &mut self.files[inode];
        let growth = (offset + count).saturating_sub(file.content.len() as u64);
        if self.plan.allocates_late && !at_once {
            file.unallocated += growth;
            return count;
        }
        let missing = growth - self.plan.take_room(growth);
        self.faults += u64::from(missing > 0);
        count - missing.min(count)
    }

    pub(super) fn write(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        self.note(|machine| format!("write {} at {offset} into {}", bytes.len(), machine.called(inode)));
        self.files[inode].modified = self.clock;
        self.files[inode].content.write(offset as usize, bytes);
    }

    pub(super) fn write_through(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        self.note(|machine| {
            format!("write {} at {offset} directly into {}", bytes.len(), machine.called(inode))
        });
        self.files[inode].modified = self.clock;
        self.files[inode].content.write_through(offset as usize, bytes);
    }

    /// A write past the page cache that failed: some of it is on the disk.
    pub(super) fn fail_write_through(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        self.note(|machine| {
            format!("a direct write of {} at {offset} fails: {}", bytes.len(), machine.called(inode))
        });
        let content = &mut self.files[inode].content;
        content.write(offset as usize, bytes);
        content.fail_sync(&mut self.rng);
        content.forget_dropped();
    }

    pub(super) fn set_len(&mut self, inode: Inode, len: u64) -> io::Result<()> {
        self.note(|machine| format!("set the length {len} of {}", machine.called(inode)));
        let file = &mut self.files[inode];
        let before = file.content.len() as u64;
        let growth = len.saturating_sub(before);
        let granted = self.plan.take_room(growth);
        if granted < growth {
            self.plan.give_room_back(granted);
            self.faults += 1;
            return Err(Errno::NOSPC.into());
        }
        let cut = before.saturating_sub(len);
        let never_taken = cut.min(file.unallocated);
        file.unallocated -= never_taken;
        self.plan.give_room_back(cut - never_taken);
        file.modified = self.clock;
        file.content.set_len(len as usize);
        Ok(())
    }

    /// Failed syncs so far, for one who opens the file now.
    pub(super) fn failures(&self, inode: Inode) -> u64 {
        self.files[inode].failures
    }

    /// Makes a file durable; or fails where it has no room, and where an earlier failure was not told to this opener.
    pub(super) fn sync(&mut self, inode: Inode, told: &mut u64) -> io::Result<()> {
        self.note(|machine| format!("sync {}", machine.called(inode)));
        let file = &mut self.files[inode];
        let granted = self.plan.take_room(file.unallocated);
        if granted < file.unallocated {
            self.plan.give_room_back(granted);
            self.faults += 1;
            self.fail_sync(inode);
            *told = self.files[inode].failures;
            return Err(Errno::NOSPC.into());
        }
        file.unallocated = 0;
        file.content.sync();
        // It had nothing to write of what an earlier one dropped.
        self.forget_some(inode);
        let file = &mut self.files[inode];
        if *told != file.failures {
            *told = file.failures;
            return Err(Errno::IO.into());
        }
        self.completed_syncs += 1;
        Ok(())
    }

    pub(super) fn fail_sync(&mut self, inode: Inode) {
        self.note(|machine| format!("a sync fails of {}", machine.called(inode)));
        let file = &mut self.files[inode];
        file.failures += 1;
        file.unallocated = 0;
        file.content.fail_sync(&mut self.rng);
    }

    // The writer's lock.

    pub(super) fn lock_number(&mut self, path: &Path) -> u64 {
        let known = self.lock_files.iter().position(|known| known == path);
        let number = known.unwrap_or_else(|| {
            self.lock_files.push(path.into());
            self.lock_files.len() - 1
        });
        number as u64
    }

    pub(super) fn claim(&mut self, path: &Path) -> bool {
        let free = !self.claims.contains_key(path);
        if free {
            self.claims.insert(path.into(), self.life);
        }
        free
    }

    pub(super) fn release(&mut self, path: &Path, life: u64) {
        if self.claims.get(path) == Some(&life) {
            self.claims.remove(path);
        }
    }

    // Crashes.

    /// The process is dead, or the machine; then it is started anew.
    pub(super) fn restart(&mut self, stop: Stop) {
        (0..self.files.len()).for_each(|inode| self.forget_some(inode));
        self.life += 1;
        self.claims.clear();
        if stop == Stop::PowerCut {
            self.directory.cut_power(self.plan.dir_entries_after_crash, &mut self.rng);
            for file in &mut self.files {
                let held = file.content.len();
                file.content.cut_power(&mut self.rng);
                let lost = held.saturating_sub(file.content.len()) as u64;
                self.plan.give_room_back(lost);
                (file.failures, file.unallocated) = (0, 0);
            }
        }
        for (inode, file) in self.files.iter_mut().enumerate() {
            if !self.directory.is_named(inode) {
                file.content = Content::default();
            }
        }
        self.stopped = None;
        self.plan.stop_at = None;
        self.note(|machine| {
            let names = machine.directory.names();
            let lengths: Vec<_> =
                names.map(|(path, inode)| format!("{}={}", path.display(), machine.len(inode))).collect();
            format!("---- {stop:?}, left: {}", lengths.join(" "))
        });
    }

    #[cfg(any(test, feature = "_sim"))]
    /// What a power cut could take away: nothing, if `None`.
    pub(super) fn undurable(&self) -> Option<String> {
        if self.directory.is_dirty() {
            return Some("names that no sync of the directory covers".into());
        }
        let dirty = |(path, inode): &(&PathBuf, Inode)| {
            self.files[*inode].content.is_dirty().then(|| format!("{}: not synced", path.display()))
        };
        self.directory.names().find_map(|name| dirty(&name))
    }

    /// A file as it is to be, durable.
    #[cfg(any(test, feature = "_sim"))]
    pub(super) fn put(&mut self, path: &Path, bytes: &[u8]) {
        let inode = self.files.len();
        let mut content = Content::default();
        content.damage(0, bytes);
        self.files.push(File { content, ..File::default() });
        self.directory.put(path, inode);
    }

    /// A name that is gone, durably.
    #[cfg(any(test, feature = "_sim"))]
    pub(super) fn erase(&mut self, path: &Path) {
        self.directory.erase(path);
    }

    pub(super) fn damage(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        self.files[inode].content.damage(offset as usize, bytes);
    }
}
