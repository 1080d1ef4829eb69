//! `repair` and `salvage`.

use std::fs;

use ministore_uring::JournalOptions;

use crate::support::{Place, damage};

/// Two groups in an archived segment, two in the active one.
fn journal() -> Place {
    let place = Place::new();
    let store = JournalOptions::new().preallocate(false).open_blocking(place.journal()).unwrap();
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
    place
}

fn torn() -> Place {
    let place = journal();
    let file = fs::OpenOptions::new().write(true).open(place.journal()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 20).unwrap();
    place
}

#[test]
fn repair() {
    let place = torn();
    snapshot!(place, place.command("repair").arg("--dry-run")).ok();
    snapshot!(place, place.command("repair").args(["--dry-run", "--json"])).ok();
    snapshot!(place, &mut place.command("repair")).ok();
    snapshot!(place, &mut place.command("repair")).ok();
    snapshot!(place, place.command("repair").arg("--json")).ok();
}

#[test]
fn repair_that_leaves_something() {
    let place = journal();
    damage(&place.path("journal.jsonl.001"), "{\"n\":1");
    snapshot!(place, &mut place.command("repair")).code(1);
    snapshot!(place, place.command("repair").arg("--json")).code(1);
}

#[test]
fn salvage() {
    let place = journal();
    snapshot!(place, place.command("salvage").arg(place.path("new.jsonl"))).ok();
    damage(&place.path("journal.jsonl.001"), "{\"n\":1");
    snapshot!(place, place.command("salvage").arg(place.path("less.jsonl"))).code(1);
    snapshot!(place, place.command("salvage").arg(place.path("again.jsonl")).arg("--json")).code(1);
    snapshot!(place, place.command("salvage").arg(place.path("again.jsonl"))).code(73);
}
