//! `backup` and `restore`: what they copy, link, keep and refuse.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use ministore::MiniStore as MiniStore017;
use ministore_uring::{JournalOptions, MiniStore};
use serde_json::Value;

use crate::support::{CommandExt, ProgramOutput, TestDir, damage, head, ministore};

impl TestDir {
    pub(crate) fn backup(&self) -> Command {
        let mut command = self.command("backup");
        command.arg(self.path("backup"));
        command
    }

    pub(crate) fn backed_up(&self) -> PathBuf {
        self.path("backup/journal.jsonl")
    }
}

pub(crate) fn restore(backup: &Path, journal: &Path) -> Command {
    let mut command = ministore(["restore"]);
    command.arg(backup).arg(journal);
    command
}

pub(crate) fn replay(journal: &Path) -> String {
    ministore(["replay".as_ref(), journal.as_os_str()]).run().ok().stdout
}

pub(crate) fn verify(journal: &Path) -> ProgramOutput {
    ministore(["verify".as_ref(), journal.as_os_str()]).run()
}

fn open(dir: &TestDir) -> MiniStore {
    JournalOptions::new().open_blocking(dir.journal()).unwrap()
}

/// Appends as many segments, of three records each.
fn append_segments(store: &MiniStore, segments: u64) {
    for _ in 0..segments {
        store.blocking().append_batch(["a", "b", "c"]).unwrap();
        store.blocking().rotate().unwrap();
    }
}

/// Creates a closed journal of three rotated segments and an active one, of three records each.
fn journal_of_12_records() -> TestDir {
    let dir = TestDir::new();
    let store = open(&dir);
    append_segments(&store, 3);
    store.blocking().append_batch(["a", "b", "c"]).unwrap();
    store.blocking().close().unwrap();
    dir
}

fn counts(json: &Value) -> [u64; 6] {
    ["records", "first_seq", "last_seq", "linked", "copied", "kept"].map(|name| json[name].as_u64().unwrap())
}

/// Returns the files of the backup, without the lock file, and their content.
fn files(dir: &TestDir) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(dir.path("backup")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// As [`files`], without the copies that an unfinished backup leaves.
fn published(dir: &TestDir) -> Vec<(PathBuf, Vec<u8>)> {
    files(dir).into_iter().filter(|(path, _)| !path.to_string_lossy().contains(".staged-")).collect()
}

#[test]
fn backup_of_open_journal_grows_with_it() {
    let dir = TestDir::new();
    let store = open(&dir);
    append_segments(&store, 2);
    store.blocking().append("d").unwrap();
    store.blocking().hold("billing", 3).unwrap();
    let first = dir.backup().arg("--json").run().ok().json();
    assert_eq!(counts(&first), [7, 1, 7, 2, 1, 0], "{first}");
    assert_eq!(dir.backup().arg("--json").run().ok().json()["kept"], 3);

    store.blocking().append("e").unwrap();
    let second = dir.backup().arg("--json").run().ok().json();
    assert_eq!(counts(&second), [8, 1, 8, 0, 1, 2], "the active segment is longer: {second}");

    append_segments(&store, 2);
    let third = dir.backup().arg("--json").run().ok().json();
    assert_eq!(counts(&third), [14, 1, 14, 2, 1, 2], "{third}");
    let report =
        ministore(["inspect".as_ref(), dir.backed_up().as_os_str(), "--json".as_ref()]).run().ok().json();
    assert_eq!(report["holds"]["billing"], 3);
    let states: Vec<_> =
        report["segments"].as_array().unwrap().iter().map(|segment| &segment["state"]).collect();
    assert_eq!(states, ["closed"; 5]);
    assert_eq!(replay(&dir.backed_up()), dir.replay());
    verify(&dir.backed_up()).ok();
}

#[test]
fn backup_shares_only_rotated_segments() {
    let dir = journal_of_12_records();
    dir.backup().run().ok();
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    let is_shared = |name: &str| inode(dir.path(name)) == inode(dir.path(&format!("backup/{name}")));
    assert!(is_shared("journal.jsonl.001") && is_shared("journal.jsonl.003"));
    assert!(!is_shared("journal.jsonl"));
    let copied = dir.backup().args(["--copy", "--json"]).run().ok().json();
    assert_eq!(counts(&copied), [12, 1, 12, 0, 3, 1], "links are replaced: {copied}");
    assert!(!is_shared("journal.jsonl.001"));
    let kept = dir.backup().arg("--json").run().ok().json();
    assert_eq!(counts(&kept), [12, 1, 12, 0, 0, 4], "copies are kept: {kept}");
}

#[test]
fn restored_journal_continues_the_numbers() {
    let dir = journal_of_12_records();
    dir.backup().run().ok();
    let before = files(&dir);
    let new = dir.path("restored/orders.jsonl");
    let report = restore(&dir.backed_up(), &new).arg("--json").run().ok().json();
    assert_eq!(counts(&report), [12, 1, 12, 0, 4, 0], "{report}");
    assert_eq!(replay(&new), dir.replay());
    assert!(
        ["", ".001", ".002", ".003"].iter().all(|suffix| {
            let path = format!("{}{suffix}", new.display());
            fs::metadata(path).unwrap().nlink() == 1
        }),
        "no file is shared"
    );
    let mut ingest = ministore(["ingest".as_ref(), new.as_os_str()]);
    ingest.run_with_stdin(b"{\"n\":13}\n").ok();
    let record = ministore(["get".as_ref(), new.as_os_str(), "13".as_ref()]).run().ok().stdout;
    assert_eq!(record, "{\"n\":13}\n");
    verify(&new).ok();
    assert_eq!(files(&dir), before, "the backup is only read");
    assert!(restore(&dir.backed_up(), &new).run().code(73).error().contains("exists"));
    assert_eq!(replay(&new).lines().count(), 13, "an existing journal is not changed");
}

#[test]
fn restored_journal_is_read_by_0_1_7() {
    let dir = journal_of_12_records();
    dir.backup().run().ok();
    let new = dir.path("restored.jsonl");
    restore(&dir.backed_up(), &new).run().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let values: Vec<String> = runtime.block_on(MiniStore017::replay(&new)).unwrap();
    assert_eq!(values, ["a", "b", "c"].repeat(4));
}

#[test]
fn plain_journal_is_backed_up_and_restored() {
    let dir = TestDir::new();
    let options = || JournalOptions::new().checksums(false);
    let store = options().open_blocking(dir.journal()).unwrap();
    append_segments(&store, 2);
    store.blocking().append("d").unwrap();
    dir.backup().run().ok();
    store.blocking().append("e").unwrap();
    append_segments(&store, 1);
    let report = dir.backup().arg("--json").run().ok().json();
    assert_eq!(counts(&report), [11, 1, 11, 1, 1, 2], "{report}");
    let new = dir.path("restored.jsonl");
    restore(&dir.backed_up(), &new).run().ok();
    assert_eq!(replay(&new), dir.replay());
    store.blocking().close().unwrap();
    assert_eq!(fs::read(&new).unwrap(), fs::read(dir.journal()).unwrap(), "as a clean close leaves it");
}

#[test]
fn segments_that_retention_deleted_stay() {
    let dir = journal_of_12_records();
    dir.backup().run().ok();
    let store = open(&dir);
    store.blocking().trim_before(10).unwrap();
    store.blocking().close().unwrap();
    assert!(!dir.path("journal.jsonl.001").exists());
    let report = dir.backup().arg("--json").run().ok().json();
    assert_eq!(counts(&report), [12, 1, 12, 0, 0, 4], "{report}");

    let store = open(&dir);
    append_segments(&store, 3);
    store.blocking().trim_before(19).unwrap();
    store.blocking().close().unwrap();
    // The numbers of the files started again from 1, and record 12 is in the oldest one.
    assert!(dir.path("journal.jsonl.003").exists());
    let before = published(&dir);
    let output = dir.backup().run().code(73);
    assert!(output.error().contains("retention deleted the segments between"), "{output:?}");
    assert_eq!(published(&dir), before);
    let other = dir.path("other");
    dir.command("backup").arg(&other).run().ok();
    assert_eq!(replay(&other.join("journal.jsonl")), dir.replay());
}

#[test]
fn numbers_that_started_again_are_continued() {
    let dir = journal_of_12_records();
    dir.backup().run().ok();
    let store = open(&dir);
    store.blocking().trim_before(10).unwrap();
    store.blocking().close().unwrap();
    let store = open(&dir);
    append_segments(&store, 2);
    assert!(dir.path("journal.jsonl.002").exists());
    let report = dir.backup().arg("--json").run().ok().json();
    assert_eq!(counts(&report), [18, 1, 18, 2, 1, 3], "{report}");
    append_segments(&store, 1);
    store.blocking().close().unwrap();
    let report = dir.backup().arg("--json").run().ok().json();
    assert_eq!(counts(&report), [21, 1, 21, 1, 1, 5], "{report}");
    verify(&dir.backed_up()).ok();
    assert!(replay(&dir.backed_up()).ends_with(&dir.replay()));
}

#[test]
fn damaged_journal_is_refused_with_its_place() {
    let dir = journal_of_12_records();
    dir.backup().arg("--copy").run().ok();
    let store = open(&dir);
    append_segments(&store, 2);
    store.blocking().close().unwrap();
    let before = files(&dir);
    for (name, options) in [("journal.jsonl.005", &["--copy"][..]), ("journal.jsonl.004", &[])] {
        let path = dir.path(name);
        let sound = fs::read(&path).unwrap();
        damage(&path, "\"b\"");
        let output = dir.backup().args(options).run().code(65);
        assert!(output.error().contains(&format!("{name}: damaged at byte ")), "{output:?}");
        assert!(output.hint().contains("ministore salvage"), "{output:?}");
        assert_eq!(published(&dir), before);
        fs::write(&path, sound).unwrap();
    }
    fs::remove_file(dir.path("journal.jsonl.004")).unwrap();
    let output = dir.backup().run().code(65);
    assert!(output.error().contains("does not continue the segment before it"), "{output:?}");
    damage(&dir.path("backup/journal.jsonl.002"), "\"b\"");
    let new = dir.path("new.jsonl");
    let output = restore(&dir.backed_up(), &new).run().code(65);
    assert!(output.error().contains("backup/journal.jsonl.002: damaged at byte "), "{output:?}");
    assert!(!new.exists());
}

#[test]
fn backup_of_another_journal_is_not_replaced() {
    let (dir, other) = (journal_of_12_records(), TestDir::new());
    dir.backup().run().ok();
    let before = files(&dir);
    other.ingest().run_with_stdin(b"1\n2\n").ok();
    let output = other.command("backup").arg(dir.path("backup")).run().code(73);
    assert!(output.error().contains("of another journal"), "{output:?}");
    assert_eq!(published(&dir), before);

    // The journal was restored from the backup and continued, and then from an older one.
    let store = open(&dir);
    store.blocking().append("d").unwrap();
    store.blocking().close().unwrap();
    dir.backup().run().ok();
    let before = files(&dir);
    fs::remove_file(dir.journal()).unwrap();
    let store = open(&dir);
    store.blocking().append("x").unwrap();
    store.blocking().close().unwrap();
    assert!(dir.backup().run().code(73).error().contains("not those of the journal"));
    assert_eq!(published(&dir), before);
}

#[test]
fn backup_into_the_journal_is_refused() {
    let dir = journal_of_12_records();
    let before = dir.snapshot();
    symlink(dir.root(), dir.path("link")).unwrap();
    for to in [dir.root().to_owned(), dir.path("link")] {
        let output = dir.command("backup").arg(to).run().code(64);
        assert!(output.error().contains("is the directory of the journal"), "{output:?}");
    }
    let onto_segment = dir.path("journal.jsonl.009");
    restore(&dir.journal(), &onto_segment).run().code(64);
    fs::remove_file(dir.path("link")).unwrap();
    assert_eq!(dir.snapshot(), before);
}

#[test]
fn symbolic_links_are_not_followed() {
    let dir = journal_of_12_records();
    dir.write("elsewhere", "not a journal");
    for name in ["journal.jsonl", "journal.jsonl.002"] {
        fs::create_dir(dir.path("backup")).unwrap();
        symlink(dir.path("elsewhere"), dir.path(&format!("backup/{name}"))).unwrap();
        let output = dir.backup().run().code(73);
        assert!(output.error().contains("symbolic link"), "{output:?}");
        fs::remove_dir_all(dir.path("backup")).unwrap();
    }
    assert_eq!(fs::read_to_string(dir.path("elsewhere")).unwrap(), "not a journal");

    fs::rename(dir.path("journal.jsonl.002"), dir.path("second")).unwrap();
    symlink("second", dir.path("journal.jsonl.002")).unwrap();
    let report = dir.backup().arg("--json").run().ok().json();
    assert_eq!(counts(&report), [12, 1, 12, 2, 2, 0], "{report}");
    assert!(fs::symlink_metadata(dir.path("backup/journal.jsonl.002")).unwrap().is_file());
}

#[test]
fn missing_journal_creates_nothing() {
    let dir = TestDir::new();
    assert!(dir.backup().run().code(66).error().contains("cannot find the journal"));
    restore(&dir.journal(), &dir.path("new.jsonl")).run().code(66);
    assert_eq!(dir.names(), Vec::<String>::new());
}

#[test]
fn open_backup_is_not_written() {
    let dir = journal_of_12_records();
    dir.backup().run().ok();
    let reader = JournalOptions::new().open_blocking(dir.backed_up()).unwrap();
    let output = dir.backup().run().code(75);
    assert!(output.error().contains("open for writing"), "{output:?}");
    reader.blocking().close().unwrap();
    verify(&dir.backed_up()).ok();
}

#[test]
fn torn_tail_is_not_backed_up() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"{\"n\":1}\n{\"n\":2}\n").ok();
    let text = fs::read_to_string(dir.journal()).unwrap();
    let open_text = text.trim_end_matches(['\n', '\t', ' ']);
    let seal = &text[open_text.len()..text.len() - 2];
    dir.write("journal.jsonl", format!("{open_text}{seal}\n{{\"n\":3}}\n{{\"n\""));
    dir.backup().run().ok();
    assert_eq!(replay(&dir.backed_up()), head("{\"n\":1}\n{\"n\":2}\n", 2));
    let found = verify(&dir.backed_up()).ok();
    assert!(!found.stdout.contains("torn"), "{found:?}");
}
