//! Spinning instead of parking, where it pays: a parked thread takes about as long to wake as a fast disk takes to
//! write a group.
//!
//! The writer thread spins until the callers that it has just woken append again ([`WriterSpin`]); a caller spins until
//! its append is durable ([`CallerSpin`]). Both learn whether it pays ([`SpinBackoff`]), and neither spins where there is
//! one processor or where the option is off.

mod caller_spin;
mod writer_spin;

use std::{sync::LazyLock, thread::available_parallelism};

pub(crate) use self::{
    caller_spin::{CallerSpin, SpinTurn},
    writer_spin::WriterSpin,
};

/// Returns whether another thread can run while one spins. Always `false` under the model checker, where no time
/// passes.
fn is_multicore() -> bool {
    static MORE_THAN_ONE: LazyLock<bool> = LazyLock::new(|| {
        !cfg!(shuttle) && available_parallelism().is_ok_and(|processors| processors.get() > 1)
    });
    *MORE_THAN_ONE
}

/// The highest count of consecutive misses: at most `2^MAX_MISSES - 1` spins are skipped.
const MAX_MISSES: u32 = 10;

/// Makes spins rare that do not pay: each consecutive miss doubles the number of spins that are skipped after it.
#[derive(Debug, Default)]
struct SpinBackoff {
    misses: u32,
    /// Spins to skip before the next one.
    skip: u32,
}

impl SpinBackoff {
    /// Returns whether the next spin is skipped.
    fn skips(&mut self) -> bool {
        let skips = self.skip > 0;
        self.skip = self.skip.saturating_sub(1);
        skips
    }

    /// Records whether a spin has paid.
    fn record(&mut self, paid: bool) {
        self.misses = if paid { 0 } else { (self.misses + 1).min(MAX_MISSES) };
        self.skip = (1 << self.misses) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spins_become_rare_after_misses() {
        let mut backoff = SpinBackoff::default();
        let mut spins = |paid, chances| {
            let mut spins = 0;
            for _ in 0..chances {
                if !backoff.skips() {
                    backoff.record(paid);
                    spins += 1;
                }
            }
            spins
        };
        assert_eq!(spins(false, 5000), 13, "after 0, 1, 3, 7, ... skipped ones, then after 1023 each");
        assert!(spins(true, 1024) > 0, "the next one comes within 1024");
        assert_eq!(spins(true, 100), 100, "and if it pays, none is skipped");
    }
}
