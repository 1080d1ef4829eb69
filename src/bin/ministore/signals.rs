//! Owns what SIGINT and SIGTERM do: the first one asks the program to finish, the second ends it at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::exit::{Code, Failure};

/// Remembers the first signal (0: none yet). Copies share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupts {
    signal: Arc<AtomicU8>,
}

impl Interrupts {
    /// From here on signals are answered by a thread of their own, whatever the others are waiting for. `wake` is
    /// called once, after the first signal has been noted: a thread that waits is woken by it and then asks
    /// [`raised`](Self::raised).
    pub(crate) fn listen(wake: impl Fn() + Send + 'static) -> Result<Self, Failure> {
        let refused =
            |error| Failure::new(Code::Internal, format_args!("cannot listen for signals: {error}"));
        let signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
        let interrupts = Self::default();
        let copy = interrupts.clone();
        let answer = move || copy.answer(signals, wake);
        thread::Builder::new().name("signals".into()).spawn(answer).map_err(refused)?;
        Ok(interrupts)
    }

    /// The exit code of the signal that has come, if one has.
    pub(crate) fn raised(&self) -> Option<Code> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(Code::Signal(signal)),
        }
    }

    fn answer(&self, mut signals: Signals, wake: impl Fn()) {
        for signal in signals.forever() {
            let number = u8::try_from(signal).unwrap_or(u8::MAX);
            if self.signal.swap(number, Ordering::Relaxed) != 0 {
                // Somebody has lost patience with a program that does not finish.
                std::process::exit(128 + signal);
            }
            wake();
        }
    }
}
