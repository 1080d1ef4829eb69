//! The child process: opens one contestant's log and does what it is told, so that it can be killed, can hang and can crash
//! without taking the program along.
//!
//! Must never say `Acked` before the contestant's call has returned.

use std::{
    io::{self, BufRead, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::time::timeout;

use super::wire::{Order, Said, varied_fill_bytes};
use crate::contestant::{Answer, Contestant, Found, Kind, Record, Settings};

/// No child may take more address space than this: damage must not be able to take the machine along.
const ADDRESS_SPACE_BYTES: u64 = 4 << 30;

/// How often the timer beside an async append goes off.
const TICK: Duration = Duration::from_millis(20);

/// Serves the log of `kind` in `dir` until it is told to close or its orders end.
///
/// # Errors
///
/// The pipes to the program broke.
pub fn serve(kind: Kind, dir: &Path, settings: Settings) -> io::Result<()> {
    let limit = Rlimit { current: Some(ADDRESS_SPACE_BYTES), maximum: Some(ADDRESS_SPACE_BYTES) };
    setrlimit(Resource::As, limit)?;
    let log = match guarded(|| kind.open(dir, settings)) {
        Ok(Ok(log)) => log,
        Ok(Err(error)) => return say(&Said::NotOpened(error.0)),
        Err(panic) => return say(&Said::Panicked(panic)),
    };
    say(&Said::Opened(log.told()))?;
    for line in io::stdin().lock().lines() {
        match serde_json::from_str(&line?)? {
            Order::Append { appender, from, count, fill_bytes } => {
                append(&*log, appender, from..from + count, fill_bytes)?;
            }
            Order::Load { from } => load(&*log, &from)?,
            Order::AppendAsync { appender, number } => append_async(&*log, appender, number)?,
            Order::Replay => replay(&*log)?,
            Order::Close => return close(log),
        }
        say(&Said::Done)?;
    }
    Ok(())
}

/// One line, one write: nothing waits in a buffer when the process is killed.
fn say(said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Runs `call`; a panic comes back as its message.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_string()
    })
}

fn record(appender: u32, number: u64, fill_bytes: usize) -> Record {
    let fill_bytes = if fill_bytes == 0 { varied_fill_bytes(number) } else { fill_bytes };
    Record::new(appender, number, fill_bytes)
}

fn outcome(appender: u32, number: u64, answer: Result<Answer<()>, String>) -> Said {
    match answer {
        Ok(Ok(())) => Said::Acked(appender, number),
        Ok(Err(error)) => Said::Refused(appender, number, error.0),
        Err(panic) => Said::Panicked(panic),
    }
}

fn append(
    log: &dyn Contestant,
    appender: u32,
    numbers: std::ops::Range<u64>,
    fill_bytes: usize,
) -> io::Result<()> {
    for number in numbers {
        let record = record(appender, number, fill_bytes);
        let outcome = outcome(appender, number, guarded(|| log.append(&record)));
        say(&outcome)?;
        if let Said::Panicked(panic) = outcome {
            // A panic is the end of the process: what a caller that catches it would see is not asked.
            return Err(io::Error::other(panic));
        }
    }
    Ok(())
}

fn load(log: &dyn Contestant, from: &[u64]) -> io::Result<()> {
    std::thread::scope(|scope| {
        let appenders: Vec<_> = (0_u32..)
            .zip(from)
            .map(|(appender, from)| scope.spawn(move || append(log, appender, *from..u64::MAX, 0)))
            .collect();
        appenders.into_iter().try_for_each(|appender| appender.join().unwrap_or(Ok(())))
    })
}

fn append_async(log: &dyn Contestant, appender: u32, number: u64) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let Some(mut append) = log.append_async(record(appender, number, 0)) else { return say(&Said::NotAsync) };
    runtime.block_on(async {
        loop {
            match timeout(TICK, append.as_mut()).await {
                Ok(answer) => return say(&outcome(appender, number, Ok(answer))),
                Err(_) => say(&Said::Ticked)?,
            }
        }
    })
}

fn replay(log: &dyn Contestant) -> io::Result<()> {
    match guarded(|| log.replay()) {
        Ok(Ok(found)) => {
            for found in &found {
                say(&match found {
                    Found::Record(record) => Said::Found(record.appender, record.number, record.is_genuine()),
                    Found::Garbage(bytes) => Said::Garbage(*bytes),
                })?;
            }
            say(&Said::Replayed)
        }
        Ok(Err(error)) => say(&Said::NotReplayed(error.0)),
        Err(panic) => say(&Said::Panicked(panic)),
    }
}

fn close(log: Box<dyn Contestant>) -> io::Result<()> {
    say(&match guarded(|| log.close()) {
        Ok(Ok(())) => Said::Closed,
        Ok(Err(error)) => Said::NotClosed(error.0),
        Err(panic) => Said::Panicked(panic),
    })
}
