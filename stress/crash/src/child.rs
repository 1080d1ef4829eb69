//! Child processes of the tests. A child reports through lines of its standard output that begin with `> `.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::Signal;

/// Writes one report line to the parent process. The line may be cut short if this process dies, but lines of several
/// threads never mix.
pub fn report(text: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "> {text}").and_then(|()| out.flush()).expect("the parent reads the pipe");
}

/// A running child process and its standard streams.
#[derive(Debug)]
pub struct ChildProcess {
    pub child: Child,
    lines: BufReader<ChildStdout>,
}

impl ChildProcess {
    /// Starts `program` with the arguments of a role.
    pub fn start<A: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, lines }
    }

    /// Returns the next complete report line, or `None` at the end of the output.
    pub fn next_report(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("its output can be read");
            if read == 0 {
                return None;
            }
            // The last line may be cut short.
            if let Some(report) = line.strip_prefix("> ").and_then(|line| line.strip_suffix('\n')) {
                return Some(report.to_owned());
            }
        }
    }

    /// Waits for a report that begins with `prefix` and returns the rest of the line.
    pub fn wait_for(&mut self, prefix: &str) -> String {
        loop {
            let line = self.next_report().unwrap_or_else(|| panic!("the child ended before {prefix:?}"));
            if let Some(rest) = line.strip_prefix(prefix) {
                return rest.trim_start().to_owned();
            }
        }
    }

    /// Sends SIGKILL. Earlier reports can still be read.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child can be killed");
    }

    /// Waits for the end after [`kill`](Self::kill). Returns `false` if the child exited before the signal arrived.
    pub fn reap(mut self) -> bool {
        let status = self.child.wait().expect("the child can be waited for");
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        assert!(killed || status.success(), "{status}");
        killed
    }

    /// Closes the child's standard input, waits for its end and returns the remaining reports.
    pub fn finish(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let reports: Vec<_> = std::iter::from_fn(|| self.next_report()).collect();
        let status = self.child.wait().expect("the child can be waited for");
        assert!(status.success(), "{status}: {reports:?}");
        reports
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // A failed test must not leave a running child.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
