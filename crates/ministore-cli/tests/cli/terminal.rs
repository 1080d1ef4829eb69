//! A pseudo-terminal for the program.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::support::ProgramOutput;

/// The outputs that are connected to the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TerminalOutput {
    /// Only standard error.
    Stderr,
    /// Standard output and standard error.
    Both,
}

/// Runs a command on a terminal of this width. Returns its result and the text on the terminal.
pub(crate) fn on_a_terminal(
    command: &mut Command,
    outputs: TerminalOutput,
    columns: u16,
) -> (ProgramOutput, String) {
    let (tty, shown) = terminal(columns);
    let out = match outputs {
        TerminalOutput::Stderr => Stdio::piped(),
        TerminalOutput::Both => tty.try_clone().unwrap().into(),
    };
    let child = command.env("TERM", "xterm").stdout(out).stderr(tty).spawn().unwrap();
    // The command object must not keep the terminal open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let output = ProgramOutput::from(child.wait_with_output().unwrap());
    (output, shown.join().unwrap())
}

/// Runs a command whose standard input and standard error are a terminal on which this text is typed.
pub(crate) fn with_terminal_as_stdin(command: &mut Command, typed: &str) -> (ProgramOutput, String) {
    let (mut tty, shown) = open_terminal(80);
    let child =
        command.env("TERM", "dumb").stdin(tty.slave.try_clone().unwrap()).stderr(tty.slave).spawn().unwrap();
    command.stdin(Stdio::null()).stderr(Stdio::null());
    tty.master.write_all(typed.as_bytes()).unwrap();
    let output = ProgramOutput::from(child.wait_with_output().unwrap());
    (output, shown.join().unwrap())
}

/// The two ends of a terminal.
struct Terminal {
    /// The end of the user.
    master: File,
    /// The end of the program.
    slave: File,
}

/// Returns the terminal for the program, and a thread that reads the text on it until the program closes it.
fn terminal(columns: u16) -> (File, JoinHandle<String>) {
    let (terminal, shown) = open_terminal(columns);
    (terminal.slave, shown)
}

fn open_terminal(columns: u16) -> (Terminal, JoinHandle<String>) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let slave = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
    let master = File::from(terminal);
    let mut reader = master.try_clone().unwrap();
    let shown = thread::spawn(move || {
        let mut shown = Vec::new();
        // Reading fails with EIO after the program has closed the terminal.
        let _ = reader.read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).replace("\r\n", "\n")
    });
    (Terminal { master, slave }, shown)
}
