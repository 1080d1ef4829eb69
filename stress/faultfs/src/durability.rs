//! The state that a power cut would leave: the content of each file at its last sync, the durable names, and what may
//! survive of the changes since. Never decides about an operation.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use fastrand::Rng;
use rustix::io::Errno;

use crate::{
    image::Image,
    protocol::NameDurability,
    recording::{Event, KeptWrites, Recording},
};

/// Identifies a file or directory. Unlike the number of an inode, it is never used again.
type NodeId = u64;

const ROOT: NodeId = 0;

/// A change of names: each name, in its directory, refers to the node or is gone.
type NameChange = Vec<(NodeId, OsString, Option<NodeId>)>;

type Names = BTreeMap<(NodeId, OsString), NodeId>;

#[derive(Debug)]
pub(crate) struct Durability {
    policy: NameDurability,
    /// The nodes by inode.
    nodes: HashMap<u64, NodeId>,
    last_node: NodeId,
    /// The files. All other nodes are directories.
    files: HashMap<NodeId, FileHistory>,
    durable_names: Names,
    /// Changes that are not durable, oldest first. They become durable in this order.
    name_changes: Vec<NameChange>,
}

/// The durable content of a file, and the events since. The history of a recorded file is kept over syncs.
#[derive(Debug, Default)]
struct FileHistory {
    recording: Recording,
    is_recorded: bool,
}

impl Durability {
    /// Starts with the content of a directory, which is durable.
    pub(crate) fn new(backing: &Path, policy: NameDurability) -> io::Result<Self> {
        let mut this = Self {
            policy: NameDurability::AtOnce,
            nodes: HashMap::from([(fs::metadata(backing)?.ino(), ROOT)]),
            last_node: ROOT,
            files: HashMap::new(),
            durable_names: Names::new(),
            name_changes: Vec::new(),
        };
        this.add_all(backing)?;
        this.policy = policy;
        Ok(this)
    }

    fn add_all(&mut self, dir: &Path) -> io::Result<()> {
        let inode = fs::metadata(dir)?.ino();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            self.create(inode, &entry.file_name(), meta.ino(), meta.is_dir());
            if meta.is_dir() {
                self.add_all(&entry.path())?;
            } else {
                self.file(meta.ino())?.recording.base = Image::load(&File::open(entry.path())?)?;
            }
        }
        Ok(())
    }

    /// Registers a new, empty file or directory.
    pub(crate) fn create(&mut self, dir: u64, name: &OsStr, inode: u64, is_dir: bool) {
        self.last_node += 1;
        self.nodes.insert(inode, self.last_node);
        if !is_dir {
            self.files.insert(self.last_node, FileHistory::default());
        }
        self.change_names(vec![(self.node(dir), name.to_owned(), Some(self.last_node))]);
    }

    pub(crate) fn remove(&mut self, dir: u64, name: &OsStr) {
        self.change_names(vec![(self.node(dir), name.to_owned(), None)]);
    }

    pub(crate) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr), inode: u64) {
        let old = (self.node(from.0), from.1.to_owned(), None);
        self.change_names(vec![old, (self.node(to.0), to.1.to_owned(), self.nodes.get(&inode).copied())]);
    }

    fn change_names(&mut self, change: NameChange) {
        match self.policy {
            NameDurability::AtOnce => apply(&mut self.durable_names, &change),
            _ => self.name_changes.push(change),
        }
    }

    /// Adds a change of a file of this length, which a power cut loses until the file is synced.
    pub(crate) fn change(&mut self, inode: u64, len: u64, event: Event) -> io::Result<()> {
        let events = &mut self.file(inode)?.recording.events;
        // A power cut may keep the new length without the data.
        if let Event::Write { offset, data } = &event
            && offset + data.len() as u64 > len
        {
            events.push(Event::SetLen(offset + data.len() as u64));
        }
        events.push(event);
        Ok(())
    }

    /// Makes all changes of the file durable.
    pub(crate) fn sync(&mut self, inode: u64) -> io::Result<()> {
        self.file(inode)?.sync();
        if self.policy == NameDurability::WithFile {
            let node = self.node(inode);
            self.sync_names(|change| change.iter().any(|(_, _, named)| *named == Some(node)));
        }
        Ok(())
    }

    /// Makes the names of the directory durable.
    pub(crate) fn sync_dir(&mut self, inode: u64) {
        let node = self.node(inode);
        self.sync_names(|change| change.last().is_some_and(|(dir, _, _)| *dir == node));
    }

    /// Makes all changes of names durable, up to the last one that is selected.
    fn sync_names(&mut self, is_selected: impl Fn(&NameChange) -> bool) {
        let Some(last) = self.name_changes.iter().rposition(is_selected) else { return };
        for change in self.name_changes.drain(..=last) {
            apply(&mut self.durable_names, &change);
        }
    }

    /// Makes the unsynced changes never durable; they stay readable.
    pub(crate) fn forget_changes(&mut self, inode: u64) -> io::Result<()> {
        self.file(inode)?.recording.events.clear();
        Ok(())
    }

    /// Drops the unsynced changes from the file.
    pub(crate) fn revert(&mut self, inode: u64, file: &File) -> io::Result<()> {
        self.forget_changes(inode)?;
        self.file(inode)?.recording.base.store(file)
    }

    /// Starts the recording of a file with its present content.
    pub(crate) fn record(&mut self, inode: u64) -> io::Result<()> {
        let file = self.file(inode)?;
        file.is_recorded = false;
        file.sync();
        file.is_recorded = true;
        Ok(())
    }

    pub(crate) fn mark(&mut self, text: &str) {
        for file in self.files.values_mut().filter(|file| file.is_recorded) {
            file.recording.events.push(Event::Marker(text.to_owned()));
        }
    }

    pub(crate) fn recording(&mut self, inode: u64) -> io::Result<&Recording> {
        Ok(&self.file(inode)?.recording)
    }

    /// Writes the state that a power cut would leave to a directory.
    pub(crate) fn power_cut(&self, to: &Path, kept: KeptWrites) -> io::Result<()> {
        let mut names = self.durable_names.clone();
        let changes = match kept {
            KeptWrites::Nothing => 0,
            KeptWrites::Everything => self.name_changes.len(),
            KeptWrites::Some { seed, .. } => Rng::with_seed(seed).usize(..=self.name_changes.len()),
        };
        self.name_changes[..changes].iter().for_each(|change| apply(&mut names, change));
        self.write_dir(&names, ROOT, to, kept)
    }

    fn write_dir(&self, names: &Names, dir: NodeId, to: &Path, kept: KeptWrites) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for ((_, name), node) in names.range((dir, OsString::new())..(dir + 1, OsString::new())) {
            match self.files.get(node) {
                Some(file) => file.after_power_cut(*node, kept).store(&File::create_new(to.join(name))?)?,
                None => self.write_dir(names, *node, &to.join(name), kept)?,
            }
        }
        Ok(())
    }

    /// Returns the node of an inode. One that another process created is unknown, and no name refers to it.
    fn node(&self, inode: u64) -> NodeId {
        self.nodes.get(&inode).copied().unwrap_or(NodeId::MAX)
    }

    fn file(&mut self, inode: u64) -> io::Result<&mut FileHistory> {
        Ok(self.files.get_mut(&self.node(inode)).ok_or(Errno::STALE)?)
    }
}

impl FileHistory {
    fn sync(&mut self) {
        let Recording { base, events } = &mut self.recording;
        if self.is_recorded {
            events.push(Event::Sync);
        } else {
            events.drain(..).for_each(|event| event.apply_to(base));
        }
    }

    /// Returns the content after a power cut that keeps some of the unsynced changes.
    fn after_power_cut(&self, node: NodeId, kept: KeptWrites) -> Image {
        // Each file loses other parts.
        let kept = match kept {
            KeptWrites::Some { unit_bytes, percent, seed } => {
                KeptWrites::Some { unit_bytes, percent, seed: seed ^ node }
            }
            other => other,
        };
        let Recording { base, events } = &self.recording;
        let synced = events.iter().rposition(|event| *event == Event::Sync).map_or(0, |last| last + 1);
        let mut image = base.clone();
        events[..synced].iter().for_each(|event| event.apply_to(&mut image));
        kept.select(&events[synced..], |_, part| part.apply_to(&mut image));
        image
    }
}

fn apply(names: &mut Names, change: &NameChange) {
    for (dir, name, node) in change {
        match node {
            Some(node) => names.insert((*dir, name.clone()), *node),
            None => names.remove(&(*dir, name.clone())),
        };
    }
}

#[cfg(test)]
mod tests;
