//! Handles SIGINT and SIGTERM: the first one requests an orderly shutdown, the second ends it at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
};

use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGXFSZ},
    flag,
    iterator::Signals,
};

use crate::exit::{CliError, ExitStatus};

/// Makes a write beyond the file size limit (`ulimit -f`) fail like a write to a full disk. Without a handler the signal would end
/// the program, and a service at each start.
pub(crate) fn ignore_file_size_signal() -> Result<(), CliError> {
    let installed = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    installed.map(drop).map_err(refused)
}

fn refused(error: io::Error) -> CliError {
    CliError::new(ExitStatus::Internal, format_args!("cannot install signal handlers: {error}"))
}

/// Remembers the first signal (0: none yet). Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SignalHandler {
    signal: Arc<AtomicU8>,
}

impl SignalHandler {
    /// Starts the thread that handles signals. It records the first signal and then calls `wake` once, so that a waiting
    /// thread can check [`received`](Self::received).
    pub(crate) fn listen(wake: impl Fn() + Send + 'static) -> Result<Self, CliError> {
        let signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
        let handler = Self::default();
        let clone = handler.clone();
        let run = move || clone.run(signals, wake);
        // The kernel keeps 15 bytes of a thread name.
        thread::Builder::new().name("ministore-sig".into()).spawn(run).map_err(refused)?;
        Ok(handler)
    }

    /// Returns the exit status of the first signal, if there was one.
    pub(crate) fn received(&self) -> Option<ExitStatus> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(ExitStatus::Signal(signal)),
        }
    }

    fn run(&self, mut signals: Signals, wake: impl Fn()) {
        for signal in signals.forever() {
            let number = u8::try_from(signal).unwrap_or(u8::MAX);
            if self.signal.swap(number, Ordering::Relaxed) != 0 {
                // The user does not want to wait for the orderly shutdown.
                std::process::exit(128 + signal);
            }
            wake();
        }
    }
}
