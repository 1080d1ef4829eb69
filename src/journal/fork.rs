//! Which process a store was opened in. A child made by `fork` has the memory of its parent and none of its threads:
//! no writer that could answer, and every lock as some other thread of the parent held it at that moment. So whatever
//! waits, sends or locks asks here first.

use std::io;

use forkguard::atfork::Guard;

/// The process that a store was opened in.
#[derive(Debug, Clone)]
pub(crate) struct ForkGuard {
    pub(crate) id: u32,
    /// Counts forks instead of asking for the process's number: that would be a system call an append.
    guard: Guard,
}

impl ForkGuard {
    /// This one.
    pub(crate) fn current() -> io::Result<Self> {
        let guard = Guard::try_new().map_err(|error| io::Error::from_raw_os_error(error.code().get()))?;
        Ok(Self { id: std::process::id(), guard })
    }

    /// The calling process is not that one, but a fork of it.
    pub(crate) fn in_forked_child(&self) -> bool {
        self.guard.clone().detected_fork()
    }
}
