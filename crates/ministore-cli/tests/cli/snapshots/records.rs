//! `ingest`, `replay` and `get`.

use crate::support::{Place, Run};

const EVENTS: &[u8] =
    b"{\"type\":\"login\",\"user\":7}\n{\"type\":\"logout\",\"user\":7}\n{\"type\":\"login\",\"user\":8}\n";

fn events() -> Place {
    let place = Place::new();
    place.ingest().run_with(EVENTS).ok();
    place
}

#[test]
fn ingest() {
    let place = Place::new();
    snapshot!(figures place, &mut place.ingest(), EVENTS).ok();
    snapshot!(figures place, place.ingest().arg("--json"), EVENTS).ok();
    snapshot!(figures place, place.ingest().args(["--on-error", "skip"]), b"1\nx\n2\n").ok();
}

#[test]
fn ingest_of_a_bad_line() {
    let place = Place::new();
    snapshot!(figures place, &mut place.ingest(), b"1\n{\"a\":}\n2\n").code(65);
}

#[test]
fn ingest_that_has_nothing_left_to_do() {
    let place = Place::new();
    let input = place.write("in.ndjson", EVENTS);
    place.ingest().arg(&input).run().ok();
    snapshot!(figures place, place.ingest().arg(&input).arg("--resume")).ok();
}

#[test]
fn replay() {
    let place = events();
    snapshot!(place, &mut place.command("replay")).ok();
    snapshot!(place, place.command("replay").args(["--last", "2", "--with-seq"])).ok();
    snapshot!(place, place.command("replay").args(["--where", "/type=\"login\"", "--pointer", "/user"])).ok();
}

#[test]
fn get() {
    let place = events();
    snapshot!(place, place.command("get").args(["3", "1", "--with-seq"])).ok();
    snapshot!(place, place.command("get").args(["2", "4"])).code(66);
}
