//! `fork` without `exec`.

use std::{
    io::{Read, Write, pipe},
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// A fork that has not come to its end after so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child made by `fork`: it runs what it was given, and says one line about it.
#[derive(Debug)]
pub struct Forked {
    pid: Pid,
    said: mpsc::Receiver<String>,
}

impl Forked {
    /// Forks. The child runs `body`, says what it returned (or how it panicked), and exits.
    ///
    /// # Panics
    ///
    /// Where the process cannot be forked.
    pub fn new(body: impl FnOnce() -> String) -> Self {
        let (mut read, mut write) = pipe().expect("a pipe");
        #[expect(unsafe_code, reason = "a foreign function")]
        // SAFETY: `fork` takes no arguments and touches no memory of ours. The child has only this thread; it goes on
        // in `body`, which is the subject of the test, and ends below, so that it never returns into frames that
        // believe in other threads. glibc keeps its allocator usable in the child of a process with many threads.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            drop(read);
            let said = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                    .unwrap_or_default()
            });
            drop(write.write_all(said.as_bytes()));
            drop(write);
            process::exit(0);
        }
        drop(write);
        let pid = Pid::from_raw(pid).expect("fork works");
        let (sender, said) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            drop(read.read_to_string(&mut text));
            drop(sender.send(text));
        });
        Self { pid, said }
    }

    /// Waits for its end; what it said.
    ///
    /// # Panics
    ///
    /// Where it hangs.
    #[must_use]
    pub fn said(self) -> String {
        let said = self.said.recv_timeout(PATIENCE);
        if said.is_err() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
        said.expect("the fork hangs")
    }
}
