//! `verify`, `repair` and `salvage` of damaged journals.

use std::fs::{self, OpenOptions};

use crate::support::{CommandExt, ProgramOutput, TestDir, damage};

/// Creates a journal in two runs, so that it has at least two groups.
fn two_groups() -> TestDir {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"{\"n\":1}\n{\"n\":2}\n").ok();
    dir.ingest().run_with_stdin(b"{\"n\":3}\n{\"n\":4}\n").ok();
    dir
}

/// Creates the state after a crash: not closed, and truncated inside the last group.
fn torn() -> TestDir {
    let dir = two_groups();
    let file = OpenOptions::new().write(true).open(dir.journal()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 20).unwrap();
    dir
}

fn lines_of(output: &ProgramOutput) -> Vec<&str> {
    output.stdout.lines().collect()
}

#[test]
fn changed_byte_is_reported_with_location() {
    let dir = two_groups();
    let changed_at = damage(&dir.journal(), "{\"n\":3");
    let output = dir.command("verify").run().code(1);
    let lines = lines_of(&output);
    assert!(lines[0].starts_with(&format!("{}: byte ", dir.journal().display())), "{lines:?}");
    assert!(lines[0].contains(", line 4, record 3: "), "{lines:?}");
    let json = dir.command("verify").arg("--json").run().code(1).json();
    assert_eq!(json["sound"], false);
    let offset = json["faults"][0]["offset"].as_u64().unwrap();
    assert!(lines[0].contains(&format!("byte {offset},")) && offset <= changed_at, "{json}");
    assert!(changed_at < offset + 20, "{json}");
}

#[test]
fn damaged_journal_is_not_written() {
    let dir = two_groups();
    damage(&dir.journal(), "{\"n\":1");
    let before = fs::read(dir.journal()).unwrap();
    let output = dir.ingest().run_with_stdin(b"5\n").code(65);
    assert!(output.error().contains("damaged at byte"), "{}", output.error());
    assert!(fs::read(dir.journal()).unwrap() == before);
}

#[test]
fn replay_prints_records_before_damage() {
    let dir = two_groups();
    damage(&dir.journal(), "{\"n\":3");
    let output = dir.command("replay").run().code(65);
    assert_eq!(output.stdout, "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(output.errors().len(), 1);
}

#[test]
fn torn_tail_is_reported_but_sound() {
    let dir = torn();
    let output = dir.command("verify").run().ok();
    assert!(output.stdout.contains("torn tail"), "{}", output.stdout);
    let json = dir.command("verify").arg("--json").run().ok().json();
    assert_eq!((&json["sound"], json["torn_tail"].is_object()), (&true.into(), true));
}

#[test]
fn repair_dry_run_changes_nothing() {
    for (dir, code) in [(torn(), 0), {
        let dir = two_groups();
        damage(&dir.journal(), "{\"n\":3");
        (dir, 1)
    }] {
        let before = dir.snapshot();
        let output = dir.command("repair").arg("--dry-run").run().code(code);
        assert!(output.stdout.starts_with("would: "), "{output:?}");
        assert_eq!(output.stdout.contains("would be lost: about records 3–4"), code == 1, "{output:?}");
        assert!(dir.snapshot() == before);
    }
}

#[test]
fn repaired_journal_verifies_and_keeps_its_tail() {
    for (dir, lost) in [(torn(), false), (two_groups(), true)] {
        if lost {
            damage(&dir.journal(), "{\"n\":3");
        }
        let before = fs::read(dir.journal()).unwrap();
        let output = dir.command("repair").run().code(i32::from(lost));
        assert!(output.stdout.starts_with("done: "), "{output:?}");
        assert_eq!(output.stdout.contains("lost: about records 3–4"), lost, "{output:?}");
        assert!(output.stdout.contains("2 records verify; all of them are kept"), "{output:?}");
        dir.command("verify").run().ok();
        dir.ingest().run_with_stdin(b"\"after\"\n").ok();
        assert_eq!(dir.replay(), "{\"n\":1}\n{\"n\":2}\n\"after\"\n");
        let saved = dir
            .snapshot()
            .into_iter()
            .find(|(path, _)| path.to_string_lossy().contains(".truncated-"))
            .unwrap();
        let name = saved.0.to_string_lossy().into_owned();
        let offset: usize = name.rsplit('-').next().unwrap().parse().unwrap();
        assert!(before[offset..].starts_with(&saved.1) && !saved.1.is_empty(), "{name}");
    }
}

#[test]
fn repair_discards_no_record_that_verifies() {
    let dir = two_groups();
    damage(&dir.journal(), "{\"n\":1");
    let before = dir.snapshot();
    let output = dir.command("repair").run().code(1);
    assert!(output.stdout.starts_with("unrepairable: "), "{output:?}");
    assert!(output.stdout.contains("ministore salvage "), "{output:?}");
    assert!(dir.snapshot() == before, "the group with records 3 and 4 verifies");
    let json = dir.command("repair").arg("--json").run().code(1).json();
    assert_eq!((&json["records"], &json["lost"]), (&2.into(), &serde_json::json!([])));
}

#[test]
fn salvage_reports_old_and_new_numbers() {
    let dir = two_groups();
    damage(&dir.journal(), "{\"n\":1");
    let output = dir.command("salvage").arg(dir.path("new.jsonl")).run().code(1);
    assert!(output.stdout.contains("about records 3–4 of ") && output.stdout.contains(": now records 1–2\n"));
    assert!(output.stdout.contains("lost: about records 1–2 ("), "{output:?}");
}

#[test]
fn sound_journal_needs_no_repair() {
    let dir = two_groups();
    let before = dir.snapshot();
    assert!(dir.command("repair").run().ok().stdout.contains("nothing to repair"));
    assert!(dir.snapshot() == before);
}

#[test]
fn salvage_copies_verified_records() {
    let dir = two_groups();
    damage(&dir.journal(), "{\"n\":1");
    let (before, new) = (fs::read(dir.journal()).unwrap(), dir.path("new.jsonl"));
    let output = dir.command("salvage").arg(&new).run().code(1);
    assert!(output.stdout.contains("lost: "), "{}", output.stdout);
    assert!(fs::read(dir.journal()).unwrap() == before);
    let replay = crate::support::ministore(["replay".as_ref(), new.as_os_str()]).run().ok();
    assert!(
        replay.stdout.ends_with("{\"n\":3}\n{\"n\":4}\n") && !replay.stdout.contains("\"n\":1"),
        "{}",
        replay.stdout
    );
    crate::support::ministore(["verify".as_ref(), new.as_os_str()]).run().ok();
}

#[test]
fn salvage_sound_journal_copies_all_records() {
    let dir = two_groups();
    let new = dir.path("new.jsonl");
    dir.command("salvage").arg(&new).run().ok();
    assert_eq!(
        crate::support::ministore(["replay".as_ref(), new.as_os_str()]).run().ok().stdout,
        dir.replay()
    );
}

#[test]
fn salvage_overwrites_nothing() {
    let dir = two_groups();
    let new = dir.write("new.jsonl", "mine");
    dir.command("salvage").arg(&new).run().code(73);
    assert_eq!(fs::read_to_string(new).unwrap(), "mine");
}
