//! `ingest` deletes old segments only with retention options; `inspect` shows the holds.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use ministore_uring::{JournalOptions, MiniStore};
use serde_json::json;

use crate::support::{CommandExt, TestDir};

/// Creates five rotated segments with 50 records each, and an empty active segment.
fn rotated_journal() -> TestDir {
    let dir = TestDir::new();
    let store = JournalOptions::new().open_blocking(dir.journal()).unwrap();
    for segment in 0..5 {
        store.blocking().append_batch(segment * 50..segment * 50 + 50).unwrap();
        store.blocking().rotate().unwrap();
    }
    store.blocking().close().unwrap();
    assert_eq!(rotated_segments(&dir).len(), 5);
    dir
}

fn rotated_segments(dir: &TestDir) -> Vec<std::path::PathBuf> {
    let files = dir.snapshot().into_iter().map(|(path, _)| path);
    files
        .filter(|path| path.extension().is_some_and(|end| end.to_string_lossy().parse::<u64>().is_ok()))
        .collect()
}

fn first_seq(dir: &TestDir) -> u64 {
    dir.command("inspect").arg("--json").run().ok().json()["first_seq"].as_u64().unwrap()
}

#[test]
fn retention_deletes_by_bytes_and_age() {
    let dir = rotated_journal();
    dir.ingest().run_with_stdin(b"1\n").ok();
    assert_eq!((first_seq(&dir), rotated_segments(&dir).len()), (1, 5));
    dir.ingest().args(["--max-total-bytes", "1"]).run_with_stdin(b"2\n").ok();
    assert_eq!(rotated_segments(&dir).len(), 0);
    assert_eq!(first_seq(&dir), 251);

    let dir = rotated_journal();
    let old = fs::File::options().write(true).open(&rotated_segments(&dir)[0]).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(3 * 3600)).unwrap();
    dir.ingest().args(["--max-age", "4h"]).run_with_stdin(b"1\n").ok();
    assert_eq!(rotated_segments(&dir).len(), 5);
    dir.ingest().args(["--max-age", "2h"]).run_with_stdin(b"1\n").ok();
    assert_eq!((rotated_segments(&dir).len(), first_seq(&dir)), (4, 51));
}

#[test]
fn held_segments_are_kept_and_shown() {
    let dir = rotated_journal();
    let store = MiniStore::open_blocking(dir.journal()).unwrap();
    store.blocking().hold("billing", 5).unwrap();
    store.blocking().close().unwrap();
    drop(store);
    dir.ingest().args(["--max-total-bytes", "1", "--max-segments", "1"]).run_with_stdin(b"1\n").ok();
    let shown = dir.command("inspect").run().ok().stdout;
    let after_table = shown.lines().skip_while(|line| !line.starts_with("total")).nth(1);
    assert_eq!(after_table, Some("hold billing: from record 5"), "{shown}");
    let json = dir.command("inspect").arg("--json").run().ok().json();
    assert_eq!((&json["holds"], &json["first_seq"]), (&json!({"billing": 5}), &json!(1)));
}

#[test]
fn damaged_holds_file_is_reported() {
    let dir = rotated_journal();
    dir.command("verify").run().ok();
    let holds = dir.write("journal.jsonl.holds", "{}\n");
    let verify = dir.command("verify").run().code(1);
    assert!(verify.stdout.contains("journal.jsonl.holds"), "{verify:?}");
    let rejected = dir.ingest().run_with_stdin(b"1\n").code(65);
    assert!(rejected.hint().contains("delete it to release all holds"), "{rejected:?}");
    fs::remove_file(holds).unwrap();
    dir.ingest().run_with_stdin(b"1\n").ok();
}

#[test]
fn invalid_limits_return_64() {
    let dir = TestDir::new();
    for limit in
        [["--max-age", "7"], ["--max-age", "0d"], ["--max-total-bytes", "0"], ["--max-total-bytes", "x"]]
    {
        dir.ingest().args(limit).run_with_stdin(b"1\n").code(64);
    }
}
