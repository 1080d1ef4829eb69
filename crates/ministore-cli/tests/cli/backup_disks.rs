//! `backup` and `restore` between file systems, and on a full one.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    backup::{replay, restore, verify},
    support::{CommandExt, ProgramOutput, TestDir, lines, ministore, skipped},
};

/// Creates a journal of several segments.
fn journal() -> TestDir {
    let dir = TestDir::new();
    for _ in 0..4 {
        dir.ingest().args(["--max-segment-bytes", "100KiB"]).run_with_stdin(lines(1000).as_bytes()).ok();
    }
    dir
}

/// Returns a directory on another file system.
fn other_file_system(dir: &TestDir) -> Option<TempDir> {
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let other = TempDir::new_in("/dev/shm").ok().filter(|other| device(other.path()) != device(dir.root()));
    if other.is_none() {
        skipped("SKIPPED: a backup on another file system: /dev/shm is none");
    }
    other
}

#[test]
fn backup_on_another_file_system_is_copied() {
    let dir = journal();
    let Some(other) = other_file_system(&dir) else { return };
    let report = dir.command("backup").arg(other.path()).arg("--json").run().ok().json();
    assert_eq!((&report["linked"], &report["copied"]), (&0.into(), &report["segments"]), "{report}");
    let copy = other.path().join("journal.jsonl");
    verify(&copy).ok();
    dir.ingest().run_with_stdin(b"1\n").ok();
    let report = dir.command("backup").arg(other.path()).arg("--json").run().ok().json();
    assert_eq!((report["copied"].as_u64(), report["linked"].as_u64()), (Some(1), Some(0)), "{report}");
    let back = dir.path("back.jsonl");
    restore(&copy, &back).run().ok();
    assert_eq!(replay(&back), dir.replay());
}

const SMALL_DISK: &str = "mount -t tmpfs -o size=256k tmpfs \"$1\"";

/// Runs a script with a file system that `mount` mounts at `$1`, the program as `$2` and the journal as `$3`. Returns `None`
/// where that is not possible.
fn run_on(mount: &str, dir: &TestDir, script: &str) -> Option<ProgramOutput> {
    let disk = dir.path("disk");
    fs::create_dir(&disk).unwrap();
    let script = format!("( {mount} ) || exit 99\n{script}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(&disk).arg(env!("CARGO_BIN_EXE_ministore"));
    command.arg(dir.journal()).stdin(Stdio::null());
    let output = command.output().ok().map(ProgramOutput::from);
    let output = output.filter(|output| output.code != Some(99) && !output.stderr.starts_with("unshare: "));
    if output.is_none() {
        skipped(&format!("SKIPPED: a backup with `{mount}`: needs root, unshare and mkfs"));
    }
    output
}

#[test]
fn restore_on_btrfs_makes_reflinks() {
    let dir = journal();
    let mount = "truncate -s 128M \"$1.img\" && mkfs.btrfs -q \"$1.img\" >/dev/null && mount -o loop \"$1.img\" \"$1\"";
    let script = "
        \"$2\" backup \"$3\" \"$1/b\" -q; echo \"exit $?\"
        \"$2\" restore \"$1/b/journal.jsonl\" \"$1/new.jsonl\" --json
        \"$2\" verify \"$1/new.jsonl\" -q; echo \"exit $?\"";
    let Some(output) = run_on(mount, &dir, script) else { return };
    let shown: Vec<&str> = output.stdout.lines().collect();
    assert_eq!((shown[0], shown[2]), ("exit 0", "exit 0"), "{output:?}");
    let report: Value = serde_json::from_str(shown[1]).unwrap();
    assert_eq!((&report["copied"], &report["linked"]), (&1.into(), &0.into()), "{report}");
    assert_eq!(report["reflinked"].as_u64(), report["segments"].as_u64().map(|all| all - 1), "{report}");
}

#[test]
fn full_disk_keeps_the_backup_and_continues() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(lines(500).as_bytes()).ok();
    dir.write("more", lines(3000));
    // The first backup fits, the second one does not.
    let script = "
        \"$2\" backup \"$3\" \"$1/b\" -q; echo \"exit $?\"
        \"$2\" ingest \"$3\" \"$(dirname \"$3\")/more\" --max-segment-bytes 50KiB -q
        \"$2\" backup \"$3\" \"$1/b\" --json; echo \"exit $?\"
        \"$2\" verify \"$1/b/journal.jsonl\" -q; echo \"exit $?\"
        \"$2\" replay \"$1/b/journal.jsonl\" | wc -l
        mount -o remount,size=8m \"$1\"
        \"$2\" backup \"$3\" \"$1/b\" -q; echo \"exit $?\"
        \"$2\" verify \"$1/b/journal.jsonl\" -q; echo \"exit $?\"
        \"$2\" replay \"$1/b/journal.jsonl\" | wc -l
        ls \"$1/b\" | grep -c staged";
    let Some(output) = run_on(SMALL_DISK, &dir, script) else { return };
    let shown: Vec<&str> = output.stdout.lines().collect();
    let expected = ["exit 0", "exit 74", "exit 0", "500", "exit 0", "exit 0", "3500", "0"];
    assert_eq!(shown, expected, "{output:?}");
    assert!(output.stderr.contains("\"kind\":\"storage_full\""), "{output:?}");
}

#[test]
fn restore_on_full_disk_leaves_no_journal() {
    let dir = journal();
    let script = "
        \"$2\" restore \"$3\" \"$1/new.jsonl\"; echo \"exit $?\"
        ls \"$1\" | grep -v -e staged -e lock | wc -l
        mount -o remount,size=8m \"$1\"
        \"$2\" restore \"$3\" \"$1/new.jsonl\" -q; echo \"exit $?\"
        \"$2\" verify \"$1/new.jsonl\" -q; echo \"exit $?\"";
    let Some(output) = run_on(SMALL_DISK, &dir, script) else { return };
    let shown: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(shown, ["exit 74", "0", "exit 0", "exit 0"], "{output:?}");
    assert!(output.stderr.contains("disk full"), "{output:?}");
}

#[test]
fn interrupted_restore_is_not_a_journal() {
    let dir = journal();
    let new = dir.path("new.jsonl");
    restore(&dir.journal(), &new).run().ok();
    // As an interruption before the last rename leaves it.
    let text = "this journal is being restored: run 'ministore restore' again\n";
    fs::write(&new, text).unwrap();
    let mut ingest = ministore(["ingest".as_ref(), new.as_os_str()]);
    let output = ingest.run_with_stdin(b"1\n").code(65);
    assert!(output.hint().contains("ministore restore"), "{output:?}");
    let report = restore(&dir.journal(), &new).arg("--json").run().ok().json();
    assert_eq!(report["copied"], 1, "{report}");
    assert_eq!(replay(&new), dir.replay());
}
