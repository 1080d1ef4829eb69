//! `inspect` and `verify`.

use ministore_uring::JournalOptions;

use crate::{
    snapshot,
    support::{CommandExt, TestDir, damage},
};

/// Creates two segments of known sizes: every batch is a group.
fn journal(checksums: bool) -> TestDir {
    let dir = TestDir::new();
    let options = JournalOptions::new().preallocate(false).checksums(checksums);
    let store = options.open_blocking(dir.journal()).unwrap();
    let record = |n: u64| serde_json::json!({ "n": n, "text": "x".repeat(40) });
    for batch in 0..4 {
        store.blocking().append_batch((0..10).map(|n| record(batch * 10 + n))).unwrap();
        if batch == 2 {
            store.blocking().rotate().unwrap();
        }
    }
    if checksums {
        store.blocking().hold("billing", 17).unwrap();
    }
    store.blocking().close().unwrap();
    dir
}

#[test]
fn inspect() {
    let dir = journal(true);
    snapshot!(dir, &mut dir.command("inspect")).ok();
    snapshot!(dir, dir.command("inspect").env("LC_ALL", "C")).ok();
    snapshot!(dir, dir.command("inspect").arg("--json")).ok();
}

#[test]
fn inspect_plain_journal() {
    let dir = journal(false);
    snapshot!(dir, &mut dir.command("inspect")).ok();
}

#[test]
fn inspect_open_journal() {
    let dir = TestDir::new();
    let store = JournalOptions::new().open_blocking(dir.journal()).unwrap();
    store.blocking().append_batch(0..100).unwrap();
    // The amount of padding depends on the background thread, so that a snapshot is not possible.
    let output = dir.command("inspect").arg("--json").run().ok();
    let space = &output.json()["segments"][0]["space"];
    assert_eq!((&space["seal_bytes"], &space["unverified_bytes"]), (&33.into(), &0.into()), "{output:?}");
    let sum: u64 = space.as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(output.json()["segments"][0]["file_bytes"], sum);
    drop(store);
}

#[test]
fn inspect_damaged_journal() {
    let dir = journal(true);
    damage(&dir.path("journal.jsonl.001"), "{\"n\":12");
    let output = snapshot!(dir, &mut dir.command("inspect")).ok();
    assert!(output.stdout.contains("not verified"));
    snapshot!(dir, dir.command("inspect").arg("--json")).ok();
}

#[test]
fn verify() {
    let dir = journal(true);
    snapshot!(dir, &mut dir.command("verify")).ok();
    snapshot!(dir, dir.command("verify").arg("--json")).ok();
    let dir = journal(false);
    snapshot!(dir, &mut dir.command("verify")).ok();
}

#[test]
fn verify_damaged_journal() {
    let dir = journal(true);
    damage(&dir.path("journal.jsonl.001"), "{\"n\":12");
    damage(&dir.journal(), "{\"n\":35");
    snapshot!(dir, &mut dir.command("verify")).code(1);
    snapshot!(dir, dir.command("verify").arg("--json")).code(1);
}

#[test]
fn verify_torn_tail() {
    let dir = journal(true);
    let file = std::fs::OpenOptions::new().write(true).open(dir.journal()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 20).unwrap();
    snapshot!(dir, &mut dir.command("verify")).ok();
    snapshot!(dir, &mut dir.command("inspect")).ok();
}

/// Tests the filters themselves: only values that differ from run to run are replaced.
#[test]
fn variable_values_are_replaced() {
    let dir = TestDir::new();
    let settings = snapshot::without_figures(&dir);
    let text = format!(
        "{0}/journal.jsonl: open for writing by process 4711\nseconds  0.003\nrate  5 records/s\n{{\"p99.9\":1.5e-3,\"records\":3}}\n",
        dir.root().display()
    );
    settings.bind(|| insta::assert_snapshot!(text));
}
