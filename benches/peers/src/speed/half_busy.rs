//! Other work on the workers of the runtime: each is busy about half of the time.

use std::{
    io,
    sync::Arc,
    thread::{self, Builder, available_parallelism},
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, sync::Notify};

/// The busy time of a task between two pauses.
const BUSY: Duration = Duration::from_micros(50);

/// The requested pause of the thread that wakes the tasks. With the timer slack of Linux (50 µs) a wake-up follows the
/// other after about 110 µs.
const PAUSE: Duration = Duration::from_micros(50);

/// Starts one task per worker, which ends with the runtime. A thread wakes them, because a timer of tokio ticks once a
/// millisecond.
pub fn start(runtime: &Runtime) -> io::Result<()> {
    let workers = available_parallelism().map_or(1, usize::from);
    let tasks: Vec<Arc<Notify>> = (0..workers).map(|_| Arc::default()).collect();
    let wakers: Vec<_> = tasks.iter().map(Arc::downgrade).collect();
    for notify in tasks {
        runtime.spawn(async move {
            loop {
                notify.notified().await;
                let start = Instant::now();
                while start.elapsed() < BUSY {}
            }
        });
    }
    Builder::new().name("half-busy".into()).spawn(move || {
        // A task that was dropped ends the thread.
        while wakers.iter().all(|task| task.upgrade().map(|task| task.notify_one()).is_some()) {
            thread::sleep(PAUSE);
        }
    })?;
    Ok(())
}
