//! `ingest` and signals: what was accepted is durable, and the end of the input is not waited for.

use crate::support::{Place, Ran, Run, feed, kill, lines};

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
