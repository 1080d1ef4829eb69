//! A child made by `fork` has the handle and no writer thread.

use ministore_crash::{child::Talking, place::Place};

use super::{on_each_backend, parent, program};

fn scenario(name: &str) {
    on_each_backend(|on| {
        let place = Place::new(parent());
        let path = place.path().to_str().unwrap();
        Talking::start(program(), ["fork", name, &on.to_string(), path]).finish();
    });
}

#[test]
fn forked_appends_fail_and_parent_continues() {
    scenario("under-load");
}

#[test]
fn dropping_the_last_handle_in_a_fork_touches_nothing() {
    scenario("last-handle");
}

#[test]
fn a_fork_made_while_the_journal_opens_gets_an_answer() {
    scenario("opening");
}

#[test]
fn fork_during_close_does_not_block() {
    scenario("closing");
}

#[test]
fn a_fork_opens_journals_of_its_own() {
    scenario("own-journal");
}

#[test]
fn readers_end_in_fork_and_continue_in_parent() {
    scenario("reading");
}

fn try_to_open(place: &Place) -> String {
    let told = Talking::start(program(), ["try", place.path().to_str().unwrap()]).finish();
    assert_eq!(told.len(), 1, "{told:?}");
    told[0].clone()
}

#[test]
fn a_killed_process_holds_the_lock_as_long_as_its_fork_lives() {
    on_each_backend(|on| {
        let place = Place::new(parent());
        let path = place.path().to_str().unwrap();
        let mut process = Talking::start(program(), ["fork", "outlived", &on.to_string(), path]);
        process.expect("forked");
        // Waiting would close it.
        let stdin = process.child.stdin.take();
        process.kill();
        process.child.wait().unwrap();
        assert_eq!(try_to_open(&place), "locked 0", "the number of a process that is gone is not told");
        drop(stdin);
        // Its files are closed one by one when it ends: some tries may come too early.
        assert!((0..1000).any(|_| try_to_open(&place) == "free"));
    });
}

#[test]
fn a_fork_that_becomes_another_program_holds_nothing() {
    on_each_backend(|on| {
        let place = Place::new(parent());
        let path = place.path().to_str().unwrap();
        let mut process = Talking::start(program(), ["fork", "outlived-by-exec", &on.to_string(), path]);
        process.expect("forked");
        // What `cat` says is what it was told: it runs.
        let mut stdin = process.child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, b"> running\n").unwrap();
        process.expect("running");
        process.kill();
        process.child.wait().unwrap();
        assert_eq!(try_to_open(&place), "free");
        drop(stdin);
    });
}
