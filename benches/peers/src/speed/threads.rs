//! Callers as threads of the operating system, one per caller: with small stacks Linux runs thousands.

use std::{sync::Barrier, thread, time::Instant};

use super::{
    phases::{CallerStats, Phases, Timing, Window},
    records::RecordPool,
};
use crate::log_under_test::{LogError, LogResult, Record};

pub type AppendFn<'a> = Box<dyn FnMut(&Record) -> LogResult<()> + Send + 'a>;

pub trait BlockingLog: Send + Sync {
    fn caller(&self, number: u32) -> LogResult<AppendFn<'_>>;
}

const STACK_BYTES: usize = 512 << 10;

/// Runs callers that append, wait for the acknowledgement, and append again.
pub fn closed_loop(
    log: &dyn BlockingLog,
    callers: usize,
    events: &RecordPool,
    timing: Timing,
) -> LogResult<(CallerStats, Window)> {
    let (phases, ready) = (Phases::default(), Barrier::new(callers + 1));
    let numbers = 0..u32::try_from(callers)?;
    let ends = numbers.map(|number| log.caller(number)).collect::<LogResult<Vec<_>>>()?;
    let stats = (0..callers).map(|_| CallerStats::new(callers)).collect::<LogResult<Vec<_>>>()?;
    thread::scope(|scope| {
        let threads = ends.into_iter().zip(stats).enumerate().map(|(number, (mut append, mut stats))| {
            let (phases, ready, mut cursor) = (&phases, &ready, events.cursor(number));
            let caller = move || {
                ready.wait();
                while phases.is_running() {
                    let start = Instant::now();
                    append(cursor.next_record())?;
                    stats.acknowledge(phases, start, 1);
                }
                Ok::<_, LogError>(stats)
            };
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, caller).map_err(LogError::from)
        });
        let threads = threads.collect::<LogResult<Vec<_>>>()?;
        ready.wait();
        let window = phases.run(timing);
        let mut all = CallerStats::new(callers)?;
        for thread in threads {
            all.add(&thread.join().map_err(|_| LogError("a caller panicked".into()))??)?;
        }
        Ok((all, window))
    })
}
