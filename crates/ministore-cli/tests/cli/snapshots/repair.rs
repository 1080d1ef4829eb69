//! `repair` and `salvage`.

use std::fs;

use ministore_uring::JournalOptions;

use crate::support::{TestDir, damage};

/// Creates a rotated segment and an active one with two groups each.
fn journal() -> TestDir {
    let dir = TestDir::new();
    let store = JournalOptions::new().preallocate(false).open_blocking(dir.journal()).unwrap();
    for batch in 0..4_u64 {
        store
            .blocking()
            .append_batch([batch * 2, batch * 2 + 1].map(|n| serde_json::json!({ "n": n })))
            .unwrap();
        if batch == 1 {
            store.blocking().rotate().unwrap();
        }
    }
    store.blocking().close().unwrap();
    dir
}

fn torn() -> TestDir {
    let dir = journal();
    let file = fs::OpenOptions::new().write(true).open(dir.journal()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 20).unwrap();
    dir
}

#[test]
fn repair() {
    let dir = torn();
    snapshot!(dir, dir.command("repair").arg("--dry-run")).ok();
    snapshot!(dir, dir.command("repair").args(["--dry-run", "--json"])).ok();
    snapshot!(dir, &mut dir.command("repair")).ok();
    snapshot!(dir, &mut dir.command("repair")).ok();
    snapshot!(dir, dir.command("repair").arg("--json")).ok();
}

#[test]
fn repair_leaves_damage() {
    let dir = journal();
    damage(&dir.path("journal.jsonl.001"), "{\"n\":1");
    snapshot!(dir, &mut dir.command("repair")).code(1);
    snapshot!(dir, dir.command("repair").arg("--json")).code(1);
}

#[test]
fn salvage() {
    let dir = journal();
    snapshot!(dir, dir.command("salvage").arg(dir.path("new.jsonl"))).ok();
    damage(&dir.path("journal.jsonl.001"), "{\"n\":1");
    snapshot!(dir, dir.command("salvage").arg(dir.path("less.jsonl"))).code(1);
    snapshot!(dir, dir.command("salvage").arg(dir.path("again.jsonl")).arg("--json")).code(1);
    snapshot!(dir, dir.command("salvage").arg(dir.path("again.jsonl"))).code(73);
}
