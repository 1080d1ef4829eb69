//! What survives a power cut. The inodes are invented.

use tempfile::TempDir;

use super::*;

const FILE: u64 = u64::MAX;
const ANY: KeptWrites = KeptWrites::Some { unit_bytes: 512, percent: 50, seed: 1 };

/// A directory, in it a file with 2000 ones, and nothing is synced.
struct UnsyncedFile {
    dir: TempDir,
    root: u64,
    state: Durability,
    len: u64,
}

impl UnsyncedFile {
    fn new(policy: NameDurability) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::metadata(dir.path()).unwrap().ino();
        let state = Durability::new(dir.path(), policy).unwrap();
        let mut this = Self { dir, root, state, len: 0 };
        this.state.create(root, OsStr::new("a"), FILE, false);
        this.write(0, &[1; 2000]);
        this
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        self.state.change(FILE, self.len, Event::Write { offset, data: data.into() }).unwrap();
        self.len = self.len.max(offset + data.len() as u64);
    }

    /// Returns the content of a file after a power cut.
    fn after(&self, kept: KeptWrites, name: &str) -> Option<Vec<u8>> {
        let to = tempfile::tempdir_in(&self.dir).unwrap();
        self.state.power_cut(to.path(), kept).unwrap();
        fs::read(to.path().join(name)).ok()
    }
}

#[test]
fn unsynced_data_may_be_lost_or_kept() {
    let fixture = UnsyncedFile::new(NameDurability::WithDirectory);
    assert_eq!(fixture.after(KeptWrites::Nothing, "a"), None);
    assert_eq!(fixture.after(KeptWrites::Everything, "a").unwrap(), [1; 2000]);
    let fixture = UnsyncedFile::new(NameDurability::AtOnce);
    assert!(fixture.after(KeptWrites::Nothing, "a").unwrap().is_empty());
}

#[test]
fn content_found_at_the_mount_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/f"), "here before").unwrap();
    let to = tempfile::tempdir().unwrap();
    let state = Durability::new(dir.path(), NameDurability::WithFile).unwrap();
    state.power_cut(to.path(), KeptWrites::Nothing).unwrap();
    assert_eq!(fs::read_to_string(to.path().join("d/f")).unwrap(), "here before");
}

#[test]
fn name_is_durable_after_configured_sync() {
    let mut with_dir = UnsyncedFile::new(NameDurability::WithDirectory);
    with_dir.state.sync(FILE).unwrap();
    assert_eq!(with_dir.after(KeptWrites::Nothing, "a"), None);
    with_dir.state.sync_dir(with_dir.root);
    assert_eq!(with_dir.after(KeptWrites::Nothing, "a").unwrap(), [1; 2000]);
    let mut with_file = UnsyncedFile::new(NameDurability::WithFile);
    with_file.state.sync(FILE).unwrap();
    assert_eq!(with_file.after(KeptWrites::Nothing, "a").unwrap(), [1; 2000]);
}

#[test]
fn forgotten_changes_never_become_durable() {
    let mut fixture = UnsyncedFile::new(NameDurability::AtOnce);
    fixture.state.forget_changes(FILE).unwrap();
    fixture.write(2000, b"later");
    fixture.state.sync(FILE).unwrap();
    let expected = [&[0; 2000][..], b"later"].concat();
    assert_eq!(fixture.after(KeptWrites::Everything, "a").unwrap(), expected);
    fixture.write(0, b"gone");
    let file =
        File::options().create_new(true).read(true).write(true).open(fixture.dir.path().join("x")).unwrap();
    fixture.state.revert(FILE, &file).unwrap();
    assert_eq!(fs::read(fixture.dir.path().join("x")).unwrap(), expected);
}

#[test]
fn sectors_tear_and_synced_ones_do_not() {
    let mut fixture = UnsyncedFile::new(NameDurability::AtOnce);
    fixture.state.sync(FILE).unwrap();
    fixture.write(0, &[2; 2000]);
    let mut torn = 0;
    for seed in 0..50 {
        let kept = KeptWrites::Some { unit_bytes: 512, percent: 50, seed };
        let data = fixture.after(kept, "a").unwrap();
        assert!(data.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        torn += u32::from(data.contains(&1) && data.contains(&2));
    }
    assert!(torn > 10, "{torn}");
    assert_eq!(fixture.after(KeptWrites::Nothing, "a").unwrap(), [1; 2000]);
}

#[test]
fn length_may_be_kept_without_data() {
    let fixture = UnsyncedFile::new(NameDurability::AtOnce);
    let zeros = (0..100).filter(|seed| {
        let kept = KeptWrites::Some { unit_bytes: 0, percent: 50, seed: *seed };
        fixture.after(kept, "a").unwrap() == [0; 2000]
    });
    assert!((10..40).contains(&zeros.count()));
}

#[test]
fn rename_is_atomic_and_truncation_is_volatile() {
    let mut fixture = UnsyncedFile::new(NameDurability::WithFile);
    fixture.state.sync(FILE).unwrap();
    fixture.state.rename((fixture.root, OsStr::new("a")), (fixture.root, OsStr::new("b")), FILE);
    fixture.state.change(FILE, 2000, Event::SetLen(100)).unwrap();
    assert_eq!(fixture.after(KeptWrites::Nothing, "a").unwrap(), [1; 2000]);
    assert_eq!(fixture.after(KeptWrites::Nothing, "b"), None);
    assert_eq!(fixture.after(KeptWrites::Everything, "b").unwrap(), [1; 100]);
    assert_eq!(fixture.after(KeptWrites::Everything, "a"), None);
    assert_ne!(fixture.after(ANY, "a").is_some(), fixture.after(ANY, "b").is_some());
}

#[test]
fn new_file_of_a_freed_inode_keeps_removed_content() {
    let mut fixture = UnsyncedFile::new(NameDurability::WithFile);
    fixture.state.sync(FILE).unwrap();
    fixture.state.remove(fixture.root, OsStr::new("a"));
    fixture.state.create(fixture.root, OsStr::new("b"), FILE, false);
    assert_eq!(fixture.after(KeptWrites::Nothing, "a").unwrap(), [1; 2000]);
}

#[test]
fn recording_keeps_events_over_syncs() {
    let mut fixture = UnsyncedFile::new(NameDurability::AtOnce);
    fixture.state.record(FILE).unwrap();
    fixture.write(0, b"x");
    fixture.state.mark("acknowledged");
    fixture.state.sync(FILE).unwrap();
    fixture.write(1, b"y");
    let write = |offset, data: &[u8]| Event::Write { offset, data: data.into() };
    let expected = [write(0, b"x"), Event::Marker("acknowledged".into()), Event::Sync, write(1, b"y")];
    let recording = fixture.state.recording(FILE).unwrap();
    assert_eq!(recording.events, expected);
    assert_eq!(recording.base.read(0, 4), [1; 4]);
    assert_eq!(fixture.after(KeptWrites::Nothing, "a").unwrap()[..3], [b'x', 1, 1]);
}
