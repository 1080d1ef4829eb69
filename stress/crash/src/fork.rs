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

/// A child that has not ended after this time is considered hung.
const CHILD_TIMEOUT: Duration = Duration::from_secs(60);

/// The message of a child whose closure returned.
const PASSED: &str = "passed";

/// A child made by `fork` that runs a closure and reports a panic of it.
#[derive(Debug)]
pub struct ForkedChild {
    pid: Pid,
    message: mpsc::Receiver<String>,
}

impl ForkedChild {
    /// Forks. The child runs `body`, reports that it returned, or the panic message, to the parent, and exits.
    pub fn new(body: impl FnOnce()) -> Self {
        let (mut read, mut write) = pipe().expect("a pipe");
        #[expect(unsafe_code, reason = "a foreign function")]
        // SAFETY: `fork` takes no arguments and touches no memory of this program. The child has only this thread. It
        // continues in `body`, which is the subject of the test, and exits below, so it never returns into frames that
        // rely on other threads. glibc keeps its allocator usable in the child of a multi-threaded process.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            drop(read);
            let message = catch_unwind(AssertUnwindSafe(body)).map_or_else(
                |panic| {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default().to_owned()
                },
                |()| PASSED.to_owned(),
            );
            drop(write.write_all(message.as_bytes()));
            drop(write);
            process::exit(0);
        }
        drop(write);
        let pid = Pid::from_raw(pid).expect("fork works");
        let (sender, message) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            drop(read.read_to_string(&mut text));
            drop(sender.send(text));
        });
        Self { pid, message }
    }

    /// Waits for the end of the child. Panics with its message if its closure panicked.
    pub fn join(self) {
        let message = self.message.recv_timeout(CHILD_TIMEOUT);
        if message.is_err() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
        assert_eq!(message.expect("the forked child hangs"), PASSED);
    }
}
