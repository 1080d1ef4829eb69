//! Callers as threads of the operating system, one each, however many: with small stacks Linux runs thousands.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::{
    events::Events,
    phases::{Phases, Tally, Timing},
};
use crate::contestant::{Answer, Record, Refusal};

/// One caller's end of a log that blocks.
pub type Caller<'a> = Box<dyn FnMut(&Record) -> Answer<()> + Send + 'a>;

/// A log that blocks its callers.
pub trait Blocking: Send + Sync {
    /// The end of it that caller `number` holds.
    ///
    /// # Errors
    ///
    /// Whatever the log says.
    fn caller(&self, number: u32) -> Answer<Caller<'_>>;
}

/// Of every caller's thread.
const STACK_BYTES: usize = 512 << 10;

/// Every caller appends, waits for the acknowledgement, and appends again.
///
/// # Errors
///
/// The first that a caller met.
pub fn closed_loop(
    log: &dyn Blocking,
    callers: usize,
    events: &Events,
    timing: Timing,
) -> Answer<(Tally, Duration)> {
    let (phases, ready) = (Phases::default(), Barrier::new(callers + 1));
    let numbers = 0..u32::try_from(callers).map_err(Refusal::of)?;
    let ends = numbers.map(|number| log.caller(number)).collect::<Answer<Vec<_>>>()?;
    let tallies = (0..callers).map(|_| Tally::new(callers)).collect::<Answer<Vec<_>>>()?;
    thread::scope(|scope| {
        let threads = ends.into_iter().zip(tallies).enumerate().map(|(number, (mut append, mut tally))| {
            let (phases, ready, mut walk) = (&phases, &ready, events.walk(number));
            let caller = move || {
                ready.wait();
                while phases.go_on() {
                    let start = Instant::now();
                    append(walk.next_record())?;
                    tally.acknowledge(phases, start, 1);
                }
                Ok(tally)
            };
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, caller).map_err(Refusal::of)
        });
        let threads = threads.collect::<Answer<Vec<_>>>()?;
        ready.wait();
        let window = phases.pass(timing);
        let mut all = Tally::new(callers)?;
        for thread in threads {
            all.add(&thread.join().map_err(|_| Refusal("a caller panicked".into()))??)?;
        }
        Ok((all, window))
    })
}
