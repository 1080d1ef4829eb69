//! Errors: one line that says what and where, one that says what to do about it.

use std::{fs, os::unix::fs::PermissionsExt};

use ministore_uring::MiniStore;

use crate::{
    refused::{without_io_uring, without_privileges},
    snapshot::{settings, shown},
    support::{Place, Run, damage, ministore},
};

fn journal() -> Place {
    let place = Place::new();
    place.ingest().run_with(b"{\"n\":1}\n").ok();
    place.ingest().run_with(b"{\"n\":2}\n").ok();
    place
}

#[test]
fn a_wrong_command_line() {
    let place = journal();
    snapshot!(place, &mut ministore(["nonsense"])).code(64);
    snapshot!(place, place.command("replay").args(["--last", "3", "--from", "2"])).code(64);
    snapshot!(place, place.command("replay").args(["--from", "3", "--to", "2"])).code(64);
    snapshot!(place, place.command("replay").args(["--where", "/type=login"])).code(64);
    snapshot!(place, place.ingest().args(["--on-error", "panic"])).code(64);
    snapshot!(place, place.ingest().arg(place.journal())).code(64);
}

#[test]
fn a_journal_that_is_not_there() {
    let place = journal();
    let missing = |name: &str| {
        let mut command = ministore(["replay"]);
        command.arg(place.path(name));
        command
    };
    snapshot!(place, &mut missing("jornal.jsonl")).code(66);
    snapshot!(place, &mut missing("nothing-like-it")).code(66);
    snapshot!(place, &mut missing("no/journal.jsonl")).code(66);
    snapshot!(place, &mut ministore(["replay".as_ref(), place.dir.path().as_os_str()])).code(66);
}

#[test]
fn an_input_that_is_not_there() {
    let place = journal();
    place.write("day1.ndjson", "1\n");
    snapshot!(place, place.ingest().arg(place.path("day2.ndjson"))).code(66);
    snapshot!(place, place.ingest().arg(place.dir.path())).code(66);
}

#[test]
fn a_damaged_journal() {
    let place = journal();
    damage(&place.journal(), "{\"n\":1");
    snapshot!(place, &mut place.command("replay")).code(65);
    snapshot!(place, place.command("get").arg("2")).code(65);
    snapshot!(place, &mut place.ingest()).code(65);
    place.write("notes.txt", "1\n2\n");
    snapshot!(place, &mut ministore(["replay".as_ref(), place.path("notes.txt").as_os_str()])).code(65);
}

#[test]
fn a_journal_that_is_being_written() {
    let place = journal();
    let store = MiniStore::open_blocking(place.journal()).unwrap();
    snapshot!(place, &mut place.ingest(), b"3\n").code(75);
    snapshot!(place, &mut place.command("repair")).code(75);
    store.blocking().close().unwrap();
}

#[test]
fn trimmed_records_return_trimmed() {
    let place = journal();
    let store = MiniStore::open_blocking(place.journal()).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().append(&3).unwrap();
    assert_eq!(store.blocking().trim_before(3).unwrap(), 3);
    snapshot!(place, place.command("get").arg("2")).code(66);
    snapshot!(place, place.command("replay").args(["--follow", "--from", "1"])).code(66);
}

#[test]
fn an_output_that_cannot_be_written() {
    let place = journal();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    snapshot!(place, place.command("replay").stdout(full())).code(74);
    snapshot!(place, place.command("inspect").stdout(full())).code(74);
    snapshot!(place, place.command("salvage").arg(place.journal())).code(64);
}

#[test]
fn what_the_system_does_not_allow() {
    let place = journal();
    let mut command = place.ingest();
    command.args(["--backend", "io_uring"]);
    let ran = without_io_uring(|| command.run_with(b"1\n")).code(69);
    settings(&place).bind(|| insta::assert_snapshot!("io_uring", shown(&command, &ran)));
    fs::set_permissions(place.journal(), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = place.command("replay");
    let ran = without_privileges(|| command.run()).code(77);
    settings(&place).bind(|| insta::assert_snapshot!("permissions", shown(&command, &ran)));
}

#[test]
fn a_disk_that_is_full() {
    let place = Place::new();
    let input = place.write("in.ndjson", crate::support::lines(20_000));
    let ingest = place.ingest();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"]);
    let ran = limited.arg(ingest.get_program()).args(ingest.get_args()).arg(input).run().code(74);
    let mut settings = settings(&place);
    // How far it came is another each time.
    settings.add_filter(r"(?s)--- standard output\n.*--- standard error", "--- standard error");
    settings.add_filter(r"journal\.jsonl\S*: disk full", "journal.jsonl: disk full");
    settings.bind(|| insta::assert_snapshot!(shown(&ingest, &ran)));
}
