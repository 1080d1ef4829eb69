//! `ingest`, `replay` and `get`.

use crate::support::{CommandExt, TestDir};

const EVENTS: &[u8] =
    b"{\"type\":\"login\",\"user\":7}\n{\"type\":\"logout\",\"user\":7}\n{\"type\":\"login\",\"user\":8}\n";

fn events() -> TestDir {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(EVENTS).ok();
    dir
}

#[test]
fn ingest() {
    let dir = TestDir::new();
    snapshot!(figures dir, &mut dir.ingest(), EVENTS).ok();
    snapshot!(figures dir, dir.ingest().arg("--json"), EVENTS).ok();
    snapshot!(figures dir, dir.ingest().args(["--on-error", "skip"]), b"1\nx\n2\n").ok();
}

#[test]
fn ingest_bad_line() {
    let dir = TestDir::new();
    snapshot!(figures dir, &mut dir.ingest(), b"1\n{\"a\":}\n2\n").code(65);
}

#[test]
fn ingest_nothing_to_do() {
    let dir = TestDir::new();
    let input = dir.write("in.ndjson", EVENTS);
    dir.ingest().arg(&input).run().ok();
    snapshot!(figures dir, dir.ingest().arg(&input).arg("--resume")).ok();
}

#[test]
fn replay() {
    let dir = events();
    snapshot!(dir, &mut dir.command("replay")).ok();
    snapshot!(dir, dir.command("replay").args(["--last", "2", "--with-seq"])).ok();
    snapshot!(dir, dir.command("replay").args(["--where", "/type=\"login\"", "--pointer", "/user"])).ok();
}

#[test]
fn get() {
    let dir = events();
    snapshot!(dir, dir.command("get").args(["3", "1", "--with-seq"])).ok();
    snapshot!(dir, dir.command("get").args(["2", "4"])).code(66);
}
