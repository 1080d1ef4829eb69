//! No command writes to a file that is one of its inputs or belongs to a journal, by whatever name and link it is reached.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use crate::support::{CommandExt, TestDir, lines, ministore};

/// A journal with a rotated segment, an input of good and bad lines, and links to all of them.
fn journal() -> TestDir {
    let dir = TestDir::new();
    dir.ingest().args(["--max-segment-bytes", "4KiB"]).run_with_stdin(lines(60).as_bytes()).ok();
    dir.write("in.ndjson", "1\nbad\n2\n");
    for name in ["journal.jsonl", "journal.jsonl.001", "in.ndjson"] {
        symlink(dir.path(name), dir.path(&format!("soft-{name}"))).unwrap();
        fs::hard_link(dir.path(name), dir.path(&format!("hard-{name}"))).unwrap();
    }
    symlink(dir.path("journal.jsonl.009"), dir.path("soft-future")).unwrap();
    dir
}

/// Returns the names that no output may have.
fn taken(dir: &TestDir) -> Vec<PathBuf> {
    let names = [
        "journal.jsonl",
        "journal.jsonl.001",
        "journal.jsonl.next",
        "journal.jsonl.lock",
        "journal.jsonl.holds",
        "journal.jsonl.holds.next",
        "journal.jsonl.009",
        "journal.jsonl.truncated-7",
        "journal.jsonl.ingest-checkpoint",
        "soft-journal.jsonl",
        "hard-journal.jsonl",
        "soft-journal.jsonl.001",
        "hard-journal.jsonl.001",
        "soft-future",
    ];
    names.map(|name| dir.path(name)).to_vec()
}

#[test]
fn quarantine_must_be_a_file_of_its_own() {
    let dir = journal();
    let before = dir.snapshot_of_files();
    let inputs = ["in.ndjson", "soft-in.ndjson", "hard-in.ndjson"].map(|name| dir.path(name));
    for path in taken(&dir).into_iter().chain(inputs) {
        let on_error = format!("--on-error=quarantine={}", path.display());
        let output = dir.ingest().arg(&on_error).arg(dir.path("in.ndjson")).run();
        assert!([Some(64), Some(73)].contains(&output.code), "{}: {output:?}", path.display());
        assert!(output.error().contains(&*path.to_string_lossy()), "{output:?}");
        let mut serve = dir.serve();
        serve.arg(&on_error).arg("--listen").arg(format!("unix:{}", dir.path("socket").display()));
        if !path.to_string_lossy().contains("in.ndjson") {
            let output = serve.run();
            assert!([Some(64), Some(73)].contains(&output.code), "serve {}: {output:?}", path.display());
        }
    }
    assert_eq!(dir.snapshot_of_files(), before);
}

#[test]
fn service_creates_no_file_of_the_journal() {
    let dir = journal();
    let before = dir.snapshot_of_files();
    for name in ["journal.jsonl.next", "journal.jsonl.009", "journal.jsonl.holds"] {
        for kind in ["unix", "fifo"] {
            let address = format!("{kind}:{}", dir.path(name).display());
            let output = dir.serve().args(["--listen", &address]).run().code(64);
            assert!(output.error().contains("is the name of a file of the journal"), "{output:?}");
        }
    }
    let token = dir.write("token", "0123456789abcdef\n");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let on_error = format!("--on-error=quarantine={}", token.display());
    let address = format!("unix:{}", dir.path("socket").display());
    dir.serve().args(["--listen", &address, "--token-file"]).arg(&token).arg(on_error).run().code(64);
    assert_eq!(fs::read_to_string(&token).unwrap(), "0123456789abcdef\n");
    fs::remove_file(token).unwrap();
    assert_eq!(dir.snapshot_of_files(), before);
}

#[test]
fn quarantine_must_not_be_standard_input() {
    let dir = TestDir::new();
    let input = dir.write("in", "1\nbad\n");
    let stdin = fs::File::open(&input).unwrap();
    let on_error = format!("--on-error=quarantine={}", input.display());
    dir.ingest().arg(on_error).stdin(stdin).run().code(64);
    assert_eq!(fs::read_to_string(&input).unwrap(), "1\nbad\n");
}

#[test]
fn journal_must_not_be_an_input() {
    let dir = journal();
    let before = dir.snapshot_of_files();
    for name in ["journal.jsonl", "journal.jsonl.001", "soft-journal.jsonl", "hard-journal.jsonl.001"] {
        dir.ingest().args(["--on-error", "skip"]).arg(dir.path(name)).run().code(64);
        let stdin = fs::File::open(dir.path(name)).unwrap();
        dir.ingest().args(["--on-error", "skip"]).stdin(stdin).run().code(64);
    }
    assert_eq!(dir.snapshot_of_files(), before);
}

#[test]
fn outputs_of_bench_replace_no_journal() {
    let dir = journal();
    let before = dir.snapshot_of_files();
    for path in taken(&dir) {
        for option in ["--report", "--hlog", "--hgrm"] {
            let bench = ["bench", "-c", "1", "-d", "50ms", "--warm-up", "0", "--dir"];
            let output = ministore(bench).arg(dir.root()).arg(option).arg(&path).run().code(73);
            assert!(output.error().contains(&*path.to_string_lossy()), "{option}: {output:?}");
        }
    }
    assert_eq!(dir.snapshot_of_files(), before);
}

#[test]
fn targets_take_no_name_of_another_journal() {
    let dir = journal();
    let source = TestDir::new();
    source.ingest().run_with_stdin(b"1\n").ok();
    let before = dir.snapshot_of_files();
    for name in ["journal.jsonl.009", "journal.jsonl.next", "journal.jsonl.ingest-checkpoint"] {
        for args in [&["export"][..], &["export", "--lines"], &["import"], &["salvage"]] {
            // These journals are protected by a lock file.
            if ["import", "salvage"].contains(&args[0]) && name.ends_with("009") {
                continue;
            }
            let output = ministore(args).arg(source.journal()).arg(dir.path(name)).run();
            assert_eq!(output.code, Some(73), "{args:?} {name}: {output:?}");
        }
        ministore(["export", "--lines"]).arg(dir.journal()).arg(dir.path(name)).run().code(64);
    }

    assert_eq!(dir.snapshot_of_files(), before);
}

#[test]
fn journal_is_not_named_like_a_checkpoint() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n").ok();
    fs::remove_file(dir.path("journal.jsonl.ingest-checkpoint")).unwrap();
    let name = dir.path("journal.jsonl.ingest-checkpoint");
    ministore(["ingest".as_ref(), name.as_os_str()]).run_with_stdin(b"1\n").code(73);
    assert!(!name.exists());
}

#[test]
fn redirection_into_the_journal_returns_64() {
    let dir = journal();
    let before = dir.snapshot_of_files();
    let append = |name: &str| OpenOptions::new().append(true).open(dir.path(name)).unwrap();
    for command in ["replay", "tail", "inspect", "verify", "ingest"] {
        for name in ["journal.jsonl", "journal.jsonl.001"] {
            let output = dir.command(command).stdout(append(name)).run().code(64);
            assert!(output.error().contains("standard output"), "{command}: {output:?}");
        }
    }
    dir.command("export").arg("-").stdout(append("journal.jsonl")).run().code(64);
    assert_eq!(dir.snapshot_of_files(), before);
}

#[test]
fn temporary_files_follow_no_links() {
    let dir = TestDir::new();
    dir.write("in.ndjson", "1\n");
    let other = dir.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("whole"), "mine").unwrap();
    symlink(&other, dir.path("journal.jsonl.import")).unwrap();
    let mut import = ministore(["import".as_ref(), dir.path("in.ndjson").as_os_str()]);
    let output = import.arg(dir.journal()).run().code(73);
    assert!(output.error().contains("journal.jsonl.import: in the way"), "{output:?}");
    assert_eq!(fs::read_to_string(other.join("whole")).unwrap(), "mine");
    // The name that older versions used for the checkpoint while it was written.
    let target = dir.write("target", "mine");
    symlink(&target, dir.path("k.jsonl.ingest-checkpoint.new")).unwrap();
    ministore(["ingest".as_ref(), dir.path("k.jsonl").as_os_str()]).run_with_stdin(b"1\n").ok();
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
}
