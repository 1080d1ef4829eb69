//! `ingest` deletes old segments only when told to; `inspect` shows what is held.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use ministore_uring::{JournalOptions, MiniStore};
use serde_json::json;

use crate::support::{Place, Run};

/// A journal of five segments with 50 records each, and an active one with none.
fn filled() -> Place {
    let place = Place::new();
    let store = JournalOptions::new().open_blocking(place.journal()).unwrap();
    for segment in 0..5 {
        store.blocking().append_batch(segment * 50..segment * 50 + 50).unwrap();
        store.blocking().rotate().unwrap();
    }
    store.blocking().close().unwrap();
    assert_eq!(archived(&place).len(), 5);
    place
}

fn archived(place: &Place) -> Vec<std::path::PathBuf> {
    let files = place.snapshot().into_iter().map(|(path, _)| path);
    files
        .filter(|path| path.extension().is_some_and(|end| end.to_string_lossy().parse::<u64>().is_ok()))
        .collect()
}

fn first_seq(place: &Place) -> u64 {
    place.command("inspect").arg("--json").run().ok().json()["first_seq"].as_u64().unwrap()
}

#[test]
fn retention_deletes_by_bytes_and_age() {
    let place = filled();
    place.ingest().run_with(b"1\n").ok();
    assert_eq!((first_seq(&place), archived(&place).len()), (1, 5));
    place.ingest().args(["--max-total-bytes", "1"]).run_with(b"2\n").ok();
    assert_eq!(archived(&place).len(), 0);
    assert_eq!(first_seq(&place), 251);

    let place = filled();
    let old = fs::File::options().write(true).open(&archived(&place)[0]).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(3 * 3600)).unwrap();
    place.ingest().args(["--max-age", "4h"]).run_with(b"1\n").ok();
    assert_eq!(archived(&place).len(), 5);
    place.ingest().args(["--max-age", "2h"]).run_with(b"1\n").ok();
    assert_eq!((archived(&place).len(), first_seq(&place)), (4, 51));
}

#[test]
fn what_is_held_stays_and_is_shown() {
    let place = filled();
    let store = MiniStore::open_blocking(place.journal()).unwrap();
    store.blocking().hold("billing", 5).unwrap();
    store.blocking().close().unwrap();
    drop(store);
    place.ingest().args(["--max-total-bytes", "1", "--max-segments", "1"]).run_with(b"1\n").ok();
    let shown = place.command("inspect").run().ok().out;
    let behind_table = shown.lines().skip_while(|line| !line.starts_with("total")).nth(1);
    assert_eq!(behind_table, Some("hold billing: from record 5"), "{shown}");
    let json = place.command("inspect").arg("--json").run().ok().json();
    assert_eq!((&json["holds"], &json["first_seq"]), (&json!({"billing": 5}), &json!(1)));
}

#[test]
fn damaged_holds_are_a_fault() {
    let place = filled();
    place.command("verify").run().ok();
    let holds = place.write("journal.jsonl.holds", "{}\n");
    let told = place.command("verify").run().code(1);
    assert!(told.out.contains("journal.jsonl.holds"), "{told:?}");
    let refused = place.ingest().run_with(b"1\n").code(65);
    assert!(refused.hint().contains("delete it to release all holds"), "{refused:?}");
    fs::remove_file(holds).unwrap();
    place.ingest().run_with(b"1\n").ok();
}

#[test]
fn limits_that_are_none_are_refused() {
    let place = Place::new();
    for limit in
        [["--max-age", "7"], ["--max-age", "0d"], ["--max-total-bytes", "0"], ["--max-total-bytes", "x"]]
    {
        place.ingest().args(limit).run_with(b"1\n").code(64);
    }
}
