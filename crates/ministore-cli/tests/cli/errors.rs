//! Exit codes for scripts, and one error line for people.

use crate::support::{CommandExt, TestDir, ministore};

#[test]
fn invalid_command_line_returns_64() {
    let dir = TestDir::new();
    for args in
        [&[][..], &["nonsense"], &["ingest"], &["replay"], &["bench", "--clients", "0"], &["salvage", "x"]]
    {
        ministore(args).run().code(64);
    }
    for args in [["--on-error", "panic"], ["--on-error", "quarantine="], ["--max-segment-bytes", "much"]] {
        dir.ingest().args(args).run().code(64);
    }
    dir.command("replay").args(["--from", "0"]).run().code(64);
    dir.ingest().args(["--max-segments", "0"]).run().code(64);
    dir.ingest().args(["--resume", "--no-checksums", "--max-segments", "3"]).run().code(64);
}

#[test]
fn help_contains_examples_and_returns_0() {
    for subcommand in ["ingest", "replay", "inspect", "verify", "repair", "salvage", "bench"] {
        let output = ministore([subcommand, "--help"]).run().ok();
        assert!(output.stdout.contains("Example"), "{}", output.stdout);
    }
    assert!(ministore(["--version"]).run().ok().stdout.starts_with("ministore "));
}

#[test]
fn missing_journal_returns_66() {
    let dir = TestDir::new();
    let new = dir.path("new");
    for subcommand in ["replay", "inspect", "verify", "repair"] {
        let output = dir.command(subcommand).run().code(66);
        assert!(output.error().starts_with("ministore: "), "{subcommand}: {output:?}");
        assert!(output.error().contains(&*dir.journal().to_string_lossy()), "{subcommand}: {output:?}");
    }
    dir.command("salvage").arg(&new).run().code(66);
    assert_eq!(dir.snapshot().len(), 0);
}

#[test]
fn missing_input_returns_66_and_creates_nothing() {
    let dir = TestDir::new();
    let first = dir.write("first", "1\n");
    dir.ingest().arg(first).arg(dir.path("missing")).run().code(66);
    assert_eq!(dir.snapshot().len(), 1);
}

#[test]
fn directory_as_input_or_journal_returns_66() {
    let dir = TestDir::new();
    dir.ingest().arg(dir.root()).run().code(66);
    ministore(["ingest".as_ref(), dir.root().as_os_str()]).run().code(66);
}

#[test]
fn locked_journal_returns_75() {
    let dir = TestDir::new();
    let store = ministore_uring::MiniStore::open_blocking(dir.journal()).unwrap();
    let output = dir.ingest().run_with_stdin(b"1\n").code(75);
    assert!(output.error().contains(&*dir.journal().to_string_lossy()), "{output:?}");
    let output = dir.ingest().arg("--json").run_with_stdin(b"1\n").code(75);
    let error: serde_json::Value = serde_json::from_str(output.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&error["kind"], &error["retryable"]), (&"contention".into(), &true.into()), "{error}");
    store.blocking().close().unwrap();
}

#[test]
fn conflicting_file_returns_73_and_is_named() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n").ok();
    // Rotation needs this file name, and the file belongs to another journal.
    dir.write("journal.jsonl.next", "notes\n");
    dir.write("journal.jsonl.next.lock", "");
    let output = dir.ingest().run_with_stdin(b"2\n").code(73);
    assert!(output.error().contains("journal.jsonl.next"), "{output:?}");
    assert!(output.stderr.contains("hint: nothing was changed: move"), "{output:?}");
    // A side file of this journal, given as a journal.
    let output = ministore(["ingest".as_ref(), dir.path("journal.jsonl.holds").as_os_str()])
        .run_with_stdin(b"2\n")
        .code(73);
    assert!(output.stderr.contains("open the journal that is named"), "{output:?}");
    assert_eq!(dir.replay(), "1\n");
}

#[test]
fn foreign_file_returns_65_and_is_unchanged() {
    let dir = TestDir::new();
    let path = dir.write("journal.jsonl", "{\"a\":1}\n");
    for subcommand in ["ingest", "replay"] {
        dir.command(subcommand).run().code(65);
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"a\":1}\n");
}

#[test]
fn journal_as_its_own_input_returns_64() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n").ok();
    dir.ingest().arg(dir.journal()).run().code(64);
    assert_eq!(dir.replay(), "1\n");
}

#[test]
fn full_output_device_returns_74() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n").ok();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = dir.command("replay").stdout(full).run().code(74);
    assert!(output.error().contains("standard output"), "{output:?}");
}
