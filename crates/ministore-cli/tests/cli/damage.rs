//! `verify`, `repair` and `salvage` of damaged journals.

use std::fs::{self, OpenOptions};

use crate::support::{Place, Ran, Run, damage};

/// Two runs, so that there are two groups at least.
fn two_groups() -> Place {
    let place = Place::new();
    place.ingest().run_with(b"{\"n\":1}\n{\"n\":2}\n").ok();
    place.ingest().run_with(b"{\"n\":3}\n{\"n\":4}\n").ok();
    place
}

/// As a crash leaves it: not closed, and cut in the middle of its last group.
fn torn() -> Place {
    let place = two_groups();
    let file = OpenOptions::new().write(true).open(place.journal()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 20).unwrap();
    place
}

fn lines_of(ran: &Ran) -> Vec<&str> {
    ran.out.lines().collect()
}

#[test]
fn a_changed_byte_is_found_with_its_place() {
    let place = two_groups();
    let changed_at = damage(&place.journal(), "{\"n\":3");
    let ran = place.command("verify").run().code(1);
    let lines = lines_of(&ran);
    assert!(lines[0].starts_with(&format!("{}: byte ", place.journal().display())), "{lines:?}");
    assert!(lines[0].contains(", line 4, record 3: "), "{lines:?}");
    let json = place.command("verify").arg("--json").run().code(1).json();
    assert_eq!(json["sound"], false);
    let offset = json["faults"][0]["offset"].as_u64().unwrap();
    assert!(lines[0].contains(&format!("byte {offset},")) && offset <= changed_at, "{json}");
    assert!(changed_at < offset + 20, "{json}");
}

#[test]
fn a_damaged_journal_is_not_written_to() {
    let place = two_groups();
    damage(&place.journal(), "{\"n\":1");
    let before = fs::read(place.journal()).unwrap();
    let ran = place.ingest().run_with(b"5\n").code(65);
    assert!(ran.error().contains("damaged at byte"), "{}", ran.error());
    assert!(fs::read(place.journal()).unwrap() == before);
}

#[test]
fn replay_of_a_damaged_journal_ends_with_65_and_shows_what_comes_before() {
    let place = two_groups();
    damage(&place.journal(), "{\"n\":3");
    let ran = place.command("replay").run().code(65);
    assert_eq!(ran.out, "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(ran.errors().len(), 1);
}

#[test]
fn torn_tail_is_reported_but_no_fault() {
    let place = torn();
    let ran = place.command("verify").run().ok();
    assert!(ran.out.contains("torn tail"), "{}", ran.out);
    let json = place.command("verify").arg("--json").run().ok().json();
    assert_eq!((&json["sound"], json["torn_tail"].is_object()), (&true.into(), true));
}

#[test]
fn a_dry_run_of_repair_changes_no_byte() {
    for place in [torn(), {
        let place = two_groups();
        damage(&place.journal(), "{\"n\":3");
        place
    }] {
        let before = place.snapshot();
        let ran = place.command("repair").arg("--dry-run").run();
        assert!(ran.out.starts_with("would: "), "{ran:?}");
        assert!(place.snapshot() == before);
    }
}

#[test]
fn repaired_journal_verifies_and_keeps_its_tail() {
    for (place, kept) in [(torn(), "{\"n\":3"), (two_groups(), "{\"n\":2")] {
        damage(&place.journal(), kept);
        let before = fs::read(place.journal()).unwrap();
        let ran = place.command("repair").run().ok();
        assert!(ran.out.starts_with("done: "), "{ran:?}");
        place.command("verify").run().ok();
        place.ingest().run_with(b"\"after\"\n").ok();
        assert!(place.replay().ends_with("\"after\"\n"));
        let cut = place
            .snapshot()
            .into_iter()
            .find(|(path, _)| path.to_string_lossy().contains(".truncated-"))
            .unwrap();
        let name = cut.0.to_string_lossy().into_owned();
        let offset: usize = name.rsplit('-').next().unwrap().parse().unwrap();
        assert!(before[offset..].starts_with(&cut.1) && !cut.1.is_empty(), "{name}");
    }
}

#[test]
fn sound_journal_needs_no_repair() {
    let place = two_groups();
    let before = place.snapshot();
    assert!(place.command("repair").run().ok().out.contains("nothing to repair"));
    assert!(place.snapshot() == before);
}

#[test]
fn salvage_copies_what_verifies_and_only_reads_the_old_journal() {
    let place = two_groups();
    damage(&place.journal(), "{\"n\":1");
    let (before, new) = (fs::read(place.journal()).unwrap(), place.path("new.jsonl"));
    let ran = place.command("salvage").arg(&new).run().code(1);
    assert!(ran.out.contains("lost: "), "{}", ran.out);
    assert!(fs::read(place.journal()).unwrap() == before);
    let replay = crate::support::ministore(["replay".as_ref(), new.as_os_str()]).run().ok();
    assert!(
        replay.out.ends_with("{\"n\":3}\n{\"n\":4}\n") && !replay.out.contains("\"n\":1"),
        "{}",
        replay.out
    );
    crate::support::ministore(["verify".as_ref(), new.as_os_str()]).run().ok();
}

#[test]
fn salvage_of_a_sound_journal_copies_everything() {
    let place = two_groups();
    let new = place.path("new.jsonl");
    place.command("salvage").arg(&new).run().ok();
    assert_eq!(
        crate::support::ministore(["replay".as_ref(), new.as_os_str()]).run().ok().out,
        place.replay()
    );
}

#[test]
fn salvage_overwrites_nothing() {
    let place = two_groups();
    let new = place.write("new.jsonl", "mine");
    place.command("salvage").arg(&new).run().code(73);
    assert_eq!(fs::read_to_string(new).unwrap(), "mine");
}
