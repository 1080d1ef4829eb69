//! Errors: one line with the error and its location, and one with a hint.

use std::{fs, os::unix::fs::PermissionsExt};

use ministore_uring::MiniStore;

use crate::{
    os_restrictions::{without_io_uring, without_privileges},
    snapshot::{settings, shown},
    support::{CommandExt, TestDir, damage, ministore},
};

fn journal() -> TestDir {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"{\"n\":1}\n").ok();
    dir.ingest().run_with_stdin(b"{\"n\":2}\n").ok();
    dir
}

#[test]
fn invalid_command_line() {
    let dir = journal();
    snapshot!(dir, &mut ministore(["nonsense"])).code(64);
    snapshot!(dir, dir.command("replay").args(["--last", "3", "--from", "2"])).code(64);
    snapshot!(dir, dir.command("replay").args(["--from", "3", "--to", "2"])).code(64);
    snapshot!(dir, dir.command("replay").args(["--where", "/type=login"])).code(64);
    snapshot!(dir, dir.ingest().args(["--on-error", "panic"])).code(64);
    snapshot!(dir, dir.ingest().arg(dir.journal())).code(64);
}

#[test]
fn missing_journal() {
    let dir = journal();
    let missing = |name: &str| {
        let mut command = ministore(["replay"]);
        command.arg(dir.path(name));
        command
    };
    snapshot!(dir, &mut missing("jornal.jsonl")).code(66);
    snapshot!(dir, &mut missing("nothing-like-it")).code(66);
    snapshot!(dir, &mut missing("no/journal.jsonl")).code(66);
    snapshot!(dir, &mut ministore(["replay".as_ref(), dir.root().as_os_str()])).code(66);
}

#[test]
fn missing_input() {
    let dir = journal();
    dir.write("day1.ndjson", "1\n");
    snapshot!(dir, dir.ingest().arg(dir.path("day2.ndjson"))).code(66);
    snapshot!(dir, dir.ingest().arg(dir.root())).code(66);
}

#[test]
fn damaged_journal() {
    let dir = journal();
    damage(&dir.journal(), "{\"n\":1");
    snapshot!(dir, &mut dir.command("replay")).code(65);
    snapshot!(dir, dir.command("get").arg("2")).code(65);
    snapshot!(dir, &mut dir.ingest()).code(65);
    dir.write("notes.txt", "1\n2\n");
    snapshot!(dir, &mut ministore(["replay".as_ref(), dir.path("notes.txt").as_os_str()])).code(65);
}

#[test]
fn locked_journal() {
    let dir = journal();
    let store = MiniStore::open_blocking(dir.journal()).unwrap();
    snapshot!(dir, &mut dir.ingest(), b"3\n").code(75);
    snapshot!(dir, &mut dir.command("repair")).code(75);
    store.blocking().close().unwrap();
}

#[test]
fn trimmed_records() {
    let dir = journal();
    let store = MiniStore::open_blocking(dir.journal()).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().append(&3).unwrap();
    assert_eq!(store.blocking().trim_before(3).unwrap(), 3);
    snapshot!(dir, dir.command("get").arg("2")).code(66);
    snapshot!(dir, dir.command("replay").args(["--follow", "--from", "1"])).code(66);
}

#[test]
fn unwritable_output() {
    let dir = journal();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    snapshot!(dir, dir.command("replay").stdout(full())).code(74);
    snapshot!(dir, dir.command("inspect").stdout(full())).code(74);
    snapshot!(dir, dir.command("salvage").arg(dir.journal())).code(64);
}

#[test]
fn os_restrictions() {
    let dir = journal();
    let mut command = dir.ingest();
    command.args(["--backend", "io_uring"]);
    let output = without_io_uring(|| command.run_with_stdin(b"1\n")).code(69);
    settings(&dir).bind(|| insta::assert_snapshot!("io_uring", shown(&command, &output)));
    fs::set_permissions(dir.journal(), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = dir.command("replay");
    let output = without_privileges(|| command.run()).code(77);
    settings(&dir).bind(|| insta::assert_snapshot!("permissions", shown(&command, &output)));
}

#[test]
fn full_disk() {
    let dir = TestDir::new();
    let input = dir.write("in.ndjson", crate::support::lines(20_000));
    let ingest = dir.ingest();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"]);
    let output = limited.arg(ingest.get_program()).args(ingest.get_args()).arg(input).run().code(74);
    let mut settings = settings(&dir);
    // The number of records that fit differs from run to run.
    settings.add_filter(r"(?s)--- standard output\n.*--- standard error", "--- standard error");
    settings.add_filter(r"journal\.jsonl\S*: disk full", "journal.jsonl: disk full");
    settings.bind(|| insta::assert_snapshot!(shown(&ingest, &output)));
}
