//! Exit codes: what went wrong, for scripts; one line on standard error, for people.

use crate::support::{Place, Run, ministore};

#[test]
fn a_wrong_command_line_is_64() {
    let place = Place::new();
    for args in
        [&[][..], &["nonsense"], &["ingest"], &["replay"], &["bench", "--clients", "0"], &["salvage", "x"]]
    {
        ministore(args).run().code(64);
    }
    for args in [["--on-error", "panic"], ["--on-error", "quarantine="], ["--max-segment-bytes", "much"]] {
        place.ingest().args(args).run().code(64);
    }
    place.command("replay").args(["--from", "0"]).run().code(64);
    place.ingest().args(["--max-segments", "0"]).run().code(64);
    place.ingest().args(["--resume", "--no-checksums", "--max-segments", "3"]).run().code(64);
}

#[test]
fn help_teaches_and_is_no_error() {
    for subcommand in ["ingest", "replay", "inspect", "verify", "repair", "salvage", "bench"] {
        let ran = ministore([subcommand, "--help"]).run().ok();
        assert!(ran.out.contains("Example"), "{}", ran.out);
    }
    assert!(ministore(["--version"]).run().ok().out.starts_with("ministore "));
}

#[test]
fn a_missing_journal_is_66() {
    let place = Place::new();
    let new = place.path("new");
    for subcommand in ["replay", "inspect", "verify", "repair"] {
        let ran = place.command(subcommand).run().code(66);
        assert!(ran.error().starts_with("ministore: "), "{subcommand}: {ran:?}");
        assert!(ran.error().contains(&*place.journal().to_string_lossy()), "{subcommand}: {ran:?}");
    }
    place.command("salvage").arg(&new).run().code(66);
    assert_eq!(place.snapshot().len(), 0);
}

#[test]
fn a_missing_input_is_66_and_nothing_is_begun() {
    let place = Place::new();
    let first = place.write("first", "1\n");
    place.ingest().arg(first).arg(place.path("missing")).run().code(66);
    assert_eq!(place.snapshot().len(), 1);
}

#[test]
fn a_directory_is_no_input_and_no_journal() {
    let place = Place::new();
    place.ingest().arg(place.dir.path()).run().code(66);
    ministore(["ingest".as_ref(), place.dir.path().as_os_str()]).run().code(66);
}

#[test]
fn a_locked_journal_is_75() {
    let place = Place::new();
    let store = ministore_uring::MiniStore::open_blocking(place.journal()).unwrap();
    let ran = place.ingest().run_with(b"1\n").code(75);
    assert!(ran.error().contains(&*place.journal().to_string_lossy()), "{ran:?}");
    let ran = place.ingest().arg("--json").run_with(b"1\n").code(75);
    let error: serde_json::Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert_eq!((&error["kind"], &error["retryable"]), (&"contention".into(), &true.into()), "{error}");
    store.blocking().close().unwrap();
}

#[test]
fn file_in_the_way_is_73_and_named() {
    let place = Place::new();
    place.ingest().run_with(b"1\n").ok();
    // A file that a rotation needs, which belongs to another journal.
    place.write("journal.jsonl.next", "notes\n");
    place.write("journal.jsonl.next.lock", "");
    let ran = place.ingest().run_with(b"2\n").code(73);
    assert!(ran.error().contains("journal.jsonl.next"), "{ran:?}");
    assert!(ran.err.contains("hint: nothing was changed: move"), "{ran:?}");
    // A file of this journal, asked for as one of its own.
    let ran = ministore(["ingest".as_ref(), place.path("journal.jsonl.holds").as_os_str()])
        .run_with(b"2\n")
        .code(73);
    assert!(ran.err.contains("open the journal that is named"), "{ran:?}");
    assert_eq!(place.replay(), "1\n");
}

#[test]
fn what_is_not_a_journal_is_65_and_stays_as_it_is() {
    let place = Place::new();
    let path = place.write("journal.jsonl", "{\"a\":1}\n");
    for subcommand in ["ingest", "replay"] {
        place.command(subcommand).run().code(65);
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"a\":1}\n");
}

#[test]
fn the_journal_is_not_its_own_input() {
    let place = Place::new();
    place.ingest().run_with(b"1\n").ok();
    place.ingest().arg(place.journal()).run().code(64);
    assert_eq!(place.replay(), "1\n");
}

#[test]
fn a_full_device_for_the_output_is_74() {
    let place = Place::new();
    place.ingest().run_with(b"1\n").ok();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = place.command("replay").stdout(full).run().code(74);
    assert!(ran.error().contains("standard output"), "{ran:?}");
}
