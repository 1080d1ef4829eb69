//! `inspect` and `verify`.

use ministore_uring::JournalOptions;

use crate::{
    snapshot,
    support::{Place, Run, damage},
};

/// Two segments of known sizes: batches are groups.
fn journal(seals: bool) -> Place {
    let place = Place::new();
    let options = JournalOptions::new().preallocate(false).checksums(seals);
    let store = options.open_blocking(place.journal()).unwrap();
    let record = |n: u64| serde_json::json!({ "n": n, "text": "x".repeat(40) });
    for batch in 0..4 {
        store.blocking().append_batch((0..10).map(|n| record(batch * 10 + n))).unwrap();
        if batch == 2 {
            store.blocking().rotate().unwrap();
        }
    }
    if seals {
        store.blocking().hold("billing", 17).unwrap();
    }
    store.blocking().close().unwrap();
    place
}

#[test]
fn inspect() {
    let place = journal(true);
    snapshot!(place, &mut place.command("inspect")).ok();
    snapshot!(place, place.command("inspect").env("LC_ALL", "C")).ok();
    snapshot!(place, place.command("inspect").arg("--json")).ok();
}

#[test]
fn inspect_of_a_plain_journal() {
    let place = journal(false);
    snapshot!(place, &mut place.command("inspect")).ok();
}

#[test]
fn inspect_of_a_journal_that_is_open() {
    let place = Place::new();
    let store = JournalOptions::new().open_blocking(place.journal()).unwrap();
    store.blocking().append_batch(0..100).unwrap();
    // How far ahead it is written is the housekeeper's business: closed files have no padding, and this one has some.
    let ran = place.command("inspect").arg("--json").run().ok();
    let space = &ran.json()["segments"][0]["space"];
    assert_eq!((&space["seal_bytes"], &space["unverified_bytes"]), (&33.into(), &0.into()), "{ran:?}");
    let sum: u64 = space.as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(ran.json()["segments"][0]["file_bytes"], sum);
    drop(store);
}

#[test]
fn inspect_of_a_damaged_journal() {
    let place = journal(true);
    damage(&place.path("journal.jsonl.001"), "{\"n\":12");
    let ran = snapshot!(place, &mut place.command("inspect")).ok();
    assert!(ran.out.contains("not verified"));
    snapshot!(place, place.command("inspect").arg("--json")).ok();
}

#[test]
fn verify() {
    let place = journal(true);
    snapshot!(place, &mut place.command("verify")).ok();
    snapshot!(place, place.command("verify").arg("--json")).ok();
    let place = journal(false);
    snapshot!(place, &mut place.command("verify")).ok();
}

#[test]
fn verify_of_a_damaged_journal() {
    let place = journal(true);
    damage(&place.path("journal.jsonl.001"), "{\"n\":12");
    damage(&place.journal(), "{\"n\":35");
    snapshot!(place, &mut place.command("verify")).code(1);
    snapshot!(place, place.command("verify").arg("--json")).code(1);
}

#[test]
fn verify_of_a_torn_tail() {
    let place = journal(true);
    let file = std::fs::OpenOptions::new().write(true).open(place.journal()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 20).unwrap();
    snapshot!(place, &mut place.command("verify")).ok();
    snapshot!(place, &mut place.command("inspect")).ok();
}

/// The redactions themselves: what differs from run to run is taken out, what matters is not.
#[test]
fn what_is_redacted() {
    let place = Place::new();
    let settings = snapshot::without_figures(&place);
    let text = format!(
        "{0}/journal.jsonl: open for writing by process 4711\nseconds  0.003\nrate  5 records/s\n{{\"p99.9\":1.5e-3,\"records\":3}}\n",
        place.dir.path().display()
    );
    settings.bind(|| insta::assert_snapshot!(text));
}
