//! `ingest` and signals: what was accepted is durable, and the end of the input is not waited for.

use std::{
    fs,
    io::{Write, pipe},
    process::Stdio,
    thread,
    time::Instant,
};

use crate::support::{PATIENCE, Place, Ran, Run, feed, kill, lines};

fn interrupted(signal: &str, args: &[&str]) -> (Place, Ran) {
    let (place, text) = (Place::new(), lines(1000));
    let mut child = place.ingest().args(args).begin();
    feed(&mut child, text.as_bytes());
    place.wait_for_durable(1000);
    kill(&child, signal);
    // Standard input stays open until the child has ended.
    let stdin = child.stdin.take();
    let ran = Ran::from(child.wait_with_output().unwrap());
    drop(stdin);
    assert_eq!(place.replay(), text);
    (place, ran)
}

#[test]
fn ctrl_c_ends_with_130_and_a_summary() {
    let (_place, ran) = interrupted("INT", &[]);
    let ran = ran.code(130);
    assert!(ran.out.contains("1,000 durable (interrupted)"), "{}", ran.out);
    assert!(ran.error().contains("--resume"), "{}", ran.error());
}

#[test]
fn sigterm_ends_with_143_and_a_summary() {
    let (_place, ran) = interrupted("TERM", &["--json"]);
    let ran = ran.code(143);
    assert_eq!((&ran.json()["records"], &ran.json()["outcome"]), (&1000.into(), &"interrupted".into()));
}

#[test]
fn the_journal_is_closed_after_a_signal() {
    let (place, _) = interrupted("INT", &[]);
    let inspect = place.command("inspect").arg("--json").run().ok().json();
    assert_eq!(inspect["segments"][0]["state"], "closed", "{inspect}");
}

#[test]
fn an_interrupted_run_is_resumed() {
    let (place, _) = interrupted("INT", &[]);
    let text = lines(1500);
    place.ingest().arg("--resume").run_with(text.as_bytes()).ok();
    assert_eq!(place.replay(), text);
}

/// Interrupts a run whose summary nobody reads, so that it does not come to its end; then once more.
fn interrupted_twice(first: &str, second: &str, code: i32) {
    let (place, text) = (Place::new(), lines(300));
    let (_unread, mut full) = pipe().unwrap();
    let room = rustix::pipe::fcntl_getpipe_size(&full).unwrap();
    full.write_all(&vec![b'.'; room]).unwrap();
    let mut command = place.ingest();
    let mut child = command.stdin(Stdio::piped()).stdout(full).spawn().unwrap();
    feed(&mut child, text.as_bytes());
    place.wait_for_durable(300);
    kill(&child, first);
    let begun = Instant::now();
    let wait_for = |what: &str, mut is_there: Box<dyn FnMut() -> bool + '_>| {
        while !is_there() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            thread::yield_now();
        }
    };
    wait_for("the journal is not closed", Box::new(|| fs::read(place.journal()).unwrap().ends_with(b"\t\n")));
    assert!(child.try_wait().unwrap().is_none(), "its summary cannot be told");
    kill(&child, second);
    let mut status = None;
    wait_for(
        "it does not end",
        Box::new(|| {
            status = child.try_wait().unwrap();
            status.is_some()
        }),
    );
    assert_eq!(status.unwrap().code(), Some(code));
    assert_eq!(place.replay(), text);
    place.ingest().arg("--resume").run_with(lines(400).as_bytes()).ok();
    assert_eq!(place.replay(), lines(400));
}

#[test]
fn a_second_ctrl_c_ends_a_run_that_does_not_finish() {
    interrupted_twice("INT", "INT", 130);
}

#[test]
fn a_sigterm_after_ctrl_c_ends_a_run_that_does_not_finish() {
    interrupted_twice("INT", "TERM", 143);
}
