//! Talking to a process of ours: lines of its standard output that begin with `> `.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::Signal;

/// One line to whoever started this process. May be cut off by the end of the process, never mixed with another's.
///
/// # Panics
///
/// Where nobody listens.
pub fn tell(text: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "> {text}").and_then(|()| out.flush()).expect("somebody listens");
}

/// A process of ours.
#[derive(Debug)]
pub struct Talking {
    /// The process.
    pub child: Child,
    lines: BufReader<ChildStdout>,
}

impl Talking {
    /// Starts the program in a role.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    pub fn start<A: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("it was asked for"));
        Self { child, lines }
    }

    /// The next whole line it told; `None` when it has ended.
    ///
    /// # Panics
    ///
    /// Where reading fails.
    pub fn told(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("its output can be read");
            if read == 0 {
                return None;
            }
            // The last line may be cut off.
            if let Some(told) = line.strip_prefix("> ").and_then(|line| line.strip_suffix('\n')) {
                return Some(told.to_owned());
            }
        }
    }

    /// Waits for a line that begins so; the rest of it.
    ///
    /// # Panics
    ///
    /// Where the process ends first.
    pub fn expect(&mut self, begins: &str) -> String {
        loop {
            let line = self.told().unwrap_or_else(|| panic!("it ended before it told {begins:?}"));
            if let Some(rest) = line.strip_prefix(begins) {
                return rest.trim_start().to_owned();
            }
        }
    }

    /// Ends it with SIGKILL. What it told before can still be read.
    ///
    /// # Panics
    ///
    /// Where that is refused.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
    }

    /// Waits for its end after [`kill`](Self::kill); `false` where it had come to its end before.
    ///
    /// # Panics
    ///
    /// Where it had failed before.
    pub fn reap(mut self) -> bool {
        let status = self.child.wait().expect("our own child");
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        assert!(killed || status.success(), "{status}");
        killed
    }

    /// Closes its standard input and waits for its end.
    ///
    /// # Panics
    ///
    /// Where it failed.
    pub fn finish(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let told: Vec<_> = std::iter::from_fn(|| self.told()).collect();
        let status = self.child.wait().expect("our own child");
        assert!(status.success(), "{status}: {told:?}");
        told
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
