//! The progress bar: on a terminal, on standard error, and nowhere else.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
    thread,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Place, Ran, lines};

/// Runs it with a terminal for its standard error; with what it showed there.
fn on_a_terminal(command: &mut Command) -> (Ran, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
    let child = command.env("TERM", "xterm").stdout(Stdio::piped()).stderr(end).spawn().unwrap();
    // The command keeps the terminal's other end open.
    command.stderr(Stdio::null());
    let shown = thread::spawn(move || {
        let mut shown = Vec::new();
        // An error is the end: nobody has it open any more.
        let _ = File::from(terminal).read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    });
    let ran = Ran::from(child.wait_with_output().unwrap());
    (ran, shown.join().unwrap())
}

#[test]
fn a_terminal_shows_how_far_the_input_has_been_read() {
    let place = Place::new();
    let file = place.write("in.ndjson", lines(5000));
    let (ran, shown) = on_a_terminal(place.ingest().arg(&file));
    let ran = ran.ok();
    assert!(shown.contains("records, ") && shown.contains('\u{1b}'), "{shown:?}");
    assert!(ran.out.contains("5,000 durable (complete)") && !ran.out.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn what_is_no_terminal_gets_no_progress_bar() {
    let place = Place::new();
    let file = place.write("in.ndjson", lines(5000));
    let ran = crate::support::Run::run(place.ingest().arg(&file)).ok();
    assert_eq!(ran.errors(), Vec::<&str>::new());
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
}
