//! Owns the terminal that a test gives to the program.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::support::Ran;

/// Which outputs are the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Standard error alone.
    Errors,
    /// Both.
    All,
}

/// Runs it on a terminal of so many columns; with what it showed there.
pub(crate) fn on_a_terminal(command: &mut Command, which: Shown, columns: u16) -> (Ran, String) {
    let (end, shown) = terminal(columns);
    let out = match which {
        Shown::Errors => Stdio::piped(),
        Shown::All => end.try_clone().unwrap().into(),
    };
    let child = command.env("TERM", "xterm").stdout(out).stderr(end).spawn().unwrap();
    // The command keeps the terminal's other end open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let ran = Ran::from(child.wait_with_output().unwrap());
    (ran, shown.join().unwrap())
}

/// The end for the program, and what is read from the other one until nobody has the first open any more.
fn terminal(columns: u16) -> (File, JoinHandle<String>) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
    let shown = thread::spawn(move || {
        let mut shown = Vec::new();
        // An error is the end.
        let _ = File::from(terminal).read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).replace("\r\n", "\n")
    });
    (end, shown)
}
