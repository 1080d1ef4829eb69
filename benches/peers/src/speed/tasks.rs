//! Callers as tasks on a tokio runtime with as many worker threads as there are cores.

use std::{
    future::Future,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::{
    events::Events,
    phases::{Phases, Tally, Timing},
};
use crate::contestant::{Answer, Record, Refusal};

/// A log that is awaited.
pub trait Awaited: Send + Sync + 'static {
    /// Appends a record; acknowledged by `Ok`.
    fn append(&self, record: &Record) -> impl Future<Output = Answer<()>> + Send;
}

/// A runtime with a worker thread a core.
///
/// # Errors
///
/// What the operating system says.
pub fn runtime() -> Answer<Runtime> {
    let cores = available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread().worker_threads(cores).build().map_err(Refusal::of)
}

/// Every caller appends, waits for the acknowledgement, and appends again.
///
/// # Errors
///
/// The first that a caller met.
pub fn closed_loop<L: Awaited>(
    runtime: &Runtime,
    log: &Arc<L>,
    callers: usize,
    events: &Events,
    timing: Timing,
) -> Answer<(Tally, Duration)> {
    let phases = Arc::new(Phases::default());
    let tasks = (0..callers).map(|caller| {
        let (log, phases, mut walk) = (Arc::clone(log), Arc::clone(&phases), events.walk(caller));
        let mut tally = Tally::new(callers)?;
        Ok(runtime.spawn(async move {
            while phases.go_on() {
                let start = Instant::now();
                log.append(walk.next_record()).await?;
                tally.acknowledge(&phases, start, 1);
            }
            Ok(tally)
        }))
    });
    let tasks = tasks.collect::<Answer<Vec<_>>>()?;
    let window = phases.pass(timing);
    Ok((gather(runtime, tasks, callers)?, window))
}

/// Waits for the callers and adds up what they saw.
///
/// # Errors
///
/// The first that a caller met.
pub fn gather(runtime: &Runtime, tasks: Vec<JoinHandle<Answer<Tally>>>, callers: usize) -> Answer<Tally> {
    let mut all = Tally::new(callers)?;
    for task in tasks {
        all.add(&runtime.block_on(task).map_err(Refusal::of)??)?;
    }
    Ok(all)
}
