//! Detects a forked child. A child made by `fork` has the memory of its parent and none of its threads: it has no
//! writer thread that could reply, and its locks stay as the parent's threads held them at that moment. So the code
//! that waits, sends or locks calls this first.

use std::io;

use forkguard::atfork::Guard;

/// Identifies the process that a store was opened in.
#[derive(Debug, Clone)]
pub(crate) struct ForkGuard {
    pub(crate) id: u32,
    /// Counts forks: `getpid` would cost a system call per append.
    guard: Guard,
}

impl ForkGuard {
    /// Returns a guard for the calling process.
    pub(crate) fn current() -> io::Result<Self> {
        let guard = Guard::try_new().map_err(|error| io::Error::from_raw_os_error(error.code().get()))?;
        Ok(Self { id: std::process::id(), guard })
    }

    /// Returns whether the calling process is a forked child of the one that the store was opened in.
    pub(crate) fn in_forked_child(&self) -> bool {
        self.guard.clone().detected_fork()
    }
}
