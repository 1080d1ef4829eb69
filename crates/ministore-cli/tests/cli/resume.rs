//! `ingest --resume`: whatever interrupted a run, no line is lost and none is there twice.

use std::{fs, process::Command};

use crate::support::{Place, Ran, Run, feed, head, lines};

/// Begins a run on standard input, gives it the first `given` lines, and kills it as soon as `seen` are durable.
fn killed_after(place: &Place, command: &mut Command, text: &str, given: usize, seen: usize) {
    let mut child = command.begin();
    feed(&mut child, head(text, given).as_bytes());
    place.wait_for_durable(seen);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn resume(place: &Place) -> Command {
    let mut command = place.ingest();
    command.arg("--resume");
    command
}

#[test]
fn after_several_kills_the_journal_is_the_input() {
    let (place, text) = (Place::new(), lines(4000));
    killed_after(&place, &mut place.ingest(), &text, 900, 600);
    for seen in [1000, 1001, 2300, 3700] {
        killed_after(&place, &mut resume(&place), &text, seen + 300, seen);
    }
    let ran = resume(&place).arg("--json").run_with(text.as_bytes()).ok();
    assert_eq!(place.replay(), text);
    let count = |name: &str| ran.json()[name].as_u64().unwrap();
    assert_eq!(count("already_present") + count("records"), 4000);
    assert!(count("already_present") >= 3700);
}

#[test]
fn a_file_is_resumed_after_kills_at_any_moment() {
    let (place, text) = (Place::new(), lines(60_000));
    let file = place.write("in.ndjson", &text);
    for seen in [1, 10_000, 30_000] {
        let mut child = resume(&place).arg(&file).spawn().unwrap();
        place.wait_for_durable(seen);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    resume(&place).arg(&file).run().ok();
    assert!(place.replay() == text);
}

#[test]
fn bad_lines_are_quarantined_once_and_not_counted() {
    let place = Place::new();
    let with_bad = |count| {
        let line =
            |(n, line): (usize, &str)| if n % 7 == 0 { format!("bad {n}\n\n") } else { format!("{line}\n") };
        lines(count).lines().enumerate().map(line).collect::<String>()
    };
    let text = with_bad(2000);
    let (bad, good): (Vec<_>, Vec<_>) =
        text.split_inclusive('\n').filter(|line| *line != "\n").partition(|line| line.starts_with("bad"));
    let bad_file = place.write("bad", "from before\n");
    let on_error = format!("--on-error=quarantine={}", bad_file.display());

    killed_after(&place, place.ingest().arg(&on_error), &text, 900, 600);
    killed_after(&place, &mut resume(&place), &text, 1500, 1000);
    resume(&place).run_with(text.as_bytes()).ok();
    assert_eq!(place.replay(), good.concat());
    assert_eq!(fs::read_to_string(bad_file).unwrap(), "from before\n".to_owned() + &bad.concat());
}

#[test]
fn resume_continues_after_existing_records() {
    let (place, text) = (Place::new(), lines(800));
    place.ingest().run_with(b"\"before\"\n").ok();
    killed_after(&place, &mut place.ingest(), &text, 500, 400);
    resume(&place).run_with(text.as_bytes()).ok();
    assert_eq!(place.replay(), "\"before\"\n".to_owned() + &text);
}

#[test]
fn run_resumes_after_bad_line_is_fixed() {
    let place = Place::new();
    place.ingest().run_with(b"1\n2\nx\n4\n").code(65);
    resume(&place).run_with(b"1\n2\n3\n4\n").ok();
    assert_eq!(place.replay(), "1\n2\n3\n4\n");
}

#[test]
fn nothing_is_left_to_do_after_a_complete_run() {
    let (place, text) = (Place::new(), lines(500));
    let file = place.write("in.ndjson", &text);
    place.ingest().arg(&file).run().ok();
    for _ in 0..2 {
        let ran = resume(&place).arg(&file).run().ok();
        assert!(ran.out.contains("nothing to do"), "{}", ran.out);
        assert_eq!(place.replay(), text);
    }
}

#[test]
fn complete_run_differs_from_later_appends() {
    let place = Place::new();
    let (file, other) = (place.write("in", "1\n2\n"), place.write("other", "3\n"));
    place.ingest().arg(&file).run().ok();
    let ministore = ministore_uring::MiniStore::open_blocking(place.journal()).unwrap();
    ministore.blocking().append(&"behind").unwrap();
    ministore.blocking().close().unwrap();
    assert!(resume(&place).arg(&file).run().ok().out.contains("nothing to do"));
    // Another input after a complete run is a run of its own.
    resume(&place).arg(&other).run().ok();
    assert_eq!(place.replay(), "1\n2\n\"behind\"\n3\n");
}

#[test]
fn an_input_that_has_grown_is_taken_further() {
    let place = Place::new();
    let file = place.write("in", "1\n2\n");
    place.ingest().arg(&file).run().ok();
    fs::write(&file, "1\n2\n3\n").unwrap();
    resume(&place).arg(&file).run().ok();
    assert_eq!(place.replay(), "1\n2\n3\n");
}

#[test]
fn without_an_earlier_run_resume_begins_at_the_start() {
    let place = Place::new();
    resume(&place).run_with(b"1\n2\n").ok();
    assert_eq!(place.replay(), "1\n2\n");
}

/// A journal that holds two of three lines.
fn stopped() -> Place {
    let place = Place::new();
    let file = place.write("in", "1\n2\nx\n");
    place.ingest().arg(file).run().code(65);
    place
}

fn refused(place: &Place, ran: Ran, code: i32) -> String {
    let ran = ran.code(code);
    assert_eq!(place.replay(), "1\n2\n");
    ran.error().to_owned()
}

#[test]
fn a_changed_line_is_refused_with_its_place() {
    let place = stopped();
    let file = place.write("in", "1\n\n7\n3\n");
    let error = refused(&place, resume(&place).arg(&file).run(), 65);
    assert!(error.starts_with(&format!("{}:3:1: ", file.display())), "{error}");
    assert!(error.contains("record 2"), "{error}");
}

#[test]
fn an_input_that_is_too_short_is_refused() {
    let place = stopped();
    let file = place.write("in", "1\n");
    refused(&place, resume(&place).arg(&file).run(), 65);
}

#[test]
fn another_input_than_that_of_the_interrupted_run_is_refused_with_64() {
    let place = stopped();
    let other = place.write("other", "1\n2\n3\n");
    let error = refused(&place, resume(&place).arg(&other).run(), 64);
    assert!(error.contains(&*place.path("in").to_string_lossy()), "{error}");
}

#[test]
fn run_without_resume_warns_and_restarts() {
    let place = stopped();
    let ran = place.ingest().run_with(b"1\n").ok();
    assert!(ran.error().contains("warning"), "{ran:?}");
    assert_eq!(place.replay(), "1\n2\n1\n");
}

#[test]
fn resume_skips_records_deleted_by_retention() {
    let (place, text) = (Place::new(), lines(6000));
    let options = ["--max-segment-bytes", "64KiB", "--max-segments", "2", "--no-preallocate"];
    for seen in [200, 400] {
        let mut child = resume(&place).args(options).begin();
        feed(&mut child, head(&text, 5000).as_bytes());
        place.wait_for_durable(seen);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    resume(&place).args(options).run_with(text.as_bytes()).ok();
    let last = place.command("replay").arg("--with-seq").run().ok();
    assert!(last.out.lines().last().unwrap().starts_with("6000\t"));
    assert!(text.ends_with(&place.replay()));
}
