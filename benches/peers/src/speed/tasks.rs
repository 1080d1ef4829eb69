//! Callers as tasks on a tokio runtime with one worker thread per core.

use std::{future::Future, sync::Arc, thread::available_parallelism, time::Instant};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::{
    phases::{CallerStats, Phases, Timing, Window},
    records::RecordPool,
};
use crate::log_under_test::{LogError, LogResult, Record};

pub trait AsyncLog: Send + Sync + 'static {
    /// Appends a record; `Ok` acknowledges it.
    fn append(&self, record: &Record) -> impl Future<Output = LogResult<()>> + Send;
}

/// Creates a runtime with one worker thread per core.
pub fn runtime() -> LogResult<Runtime> {
    let cores = available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread().worker_threads(cores).build().map_err(LogError::from)
}

/// Runs callers that append, wait for the acknowledgement, and append again.
pub fn closed_loop<L: AsyncLog>(
    runtime: &Runtime,
    log: &Arc<L>,
    callers: usize,
    events: &RecordPool,
    timing: Timing,
) -> LogResult<(CallerStats, Window)> {
    let phases = Arc::new(Phases::default());
    let tasks = (0..callers).map(|caller| {
        let (log, phases, mut cursor) = (Arc::clone(log), Arc::clone(&phases), events.cursor(caller));
        let mut stats = CallerStats::new(callers)?;
        Ok(runtime.spawn(async move {
            while phases.is_running() {
                let start = Instant::now();
                log.append(cursor.next_record()).await?;
                stats.acknowledge(&phases, start, 1);
            }
            Ok(stats)
        }))
    });
    let tasks = tasks.collect::<LogResult<Vec<_>>>()?;
    let window = phases.run(timing);
    Ok((gather(runtime, tasks, callers)?, window))
}

/// Waits for the callers and adds their counts.
pub fn gather(
    runtime: &Runtime,
    tasks: Vec<JoinHandle<LogResult<CallerStats>>>,
    callers: usize,
) -> LogResult<CallerStats> {
    let mut all = CallerStats::new(callers)?;
    for task in tasks {
        all.add(&runtime.block_on(task)??)?;
    }
    Ok(all)
}
