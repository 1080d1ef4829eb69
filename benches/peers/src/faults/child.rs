//! The child process: opens one log and executes commands, so that the log can be killed, hang or crash without
//! affecting the program.
//!
//! Must never send `Acked` before the log's call has returned.

use std::{
    io::{self, BufRead, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::time::timeout;

use super::wire::{Command, Reply, varied_fill_bytes};
use crate::log_under_test::{LogKind, LogResult, LogUnderTest, Record, ReplayedItem};

/// Limits the child's address space: a damaged log must not exhaust the memory of the machine.
const ADDRESS_SPACE_BYTES: u64 = 4 << 30;

/// The interval of the timer that runs during an async append.
const TICK: Duration = Duration::from_millis(20);

/// Serves a log until it receives `Close` or the commands end. `config` is the JSON of the log, its directory, and the
/// size of its files.
pub fn serve(config: &str) -> io::Result<()> {
    let (kind, dir, segment_bytes): (LogKind, PathBuf, u64) = serde_json::from_str(config)?;
    let limit = Rlimit { current: Some(ADDRESS_SPACE_BYTES), maximum: Some(ADDRESS_SPACE_BYTES) };
    setrlimit(Resource::As, limit)?;
    let log = match catch_panic(|| kind.open(&dir, segment_bytes)) {
        Ok(Ok(log)) => log,
        Ok(Err(error)) => return send_reply(&Reply::NotOpened(error.0)),
        Err(panic) => return send_reply(&Reply::Panicked(panic)),
    };
    send_reply(&Reply::Opened(log.recovery_message()))?;
    for line in io::stdin().lock().lines() {
        match serde_json::from_str(&line?)? {
            Command::Append { appender, from, count, fill_bytes } => {
                append(&*log, appender, from..from + count, fill_bytes)?;
            }
            Command::Load { from } => load(&*log, &from)?,
            Command::AppendAsync { appender, number } => append_async(&*log, appender, number)?,
            Command::Replay => replay(&*log)?,
            Command::Close => return close(log),
        }
        send_reply(&Reply::Done)?;
    }
    Ok(())
}

/// Sends a reply with one write: no data stays in a buffer when the process is killed.
fn send_reply(reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Runs `call` and returns a panic as its message.
fn catch_panic<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_string()
    })
}

fn record(appender: u32, number: u64, fill_bytes: usize) -> Record {
    let fill_bytes = if fill_bytes == 0 { varied_fill_bytes(number) } else { fill_bytes };
    Record::new(appender, number, fill_bytes)
}

fn append_reply(appender: u32, number: u64, answer: Result<LogResult<()>, String>) -> Reply {
    match answer {
        Ok(Ok(())) => Reply::Acked(appender, number),
        Ok(Err(error)) => Reply::Refused(appender, number, error.0),
        Err(panic) => Reply::Panicked(panic),
    }
}

fn append(
    log: &dyn LogUnderTest,
    appender: u32,
    numbers: std::ops::Range<u64>,
    fill_bytes: usize,
) -> io::Result<()> {
    for number in numbers {
        let record = record(appender, number, fill_bytes);
        let reply = append_reply(appender, number, catch_panic(|| log.append(&record)));
        send_reply(&reply)?;
        if let Reply::Panicked(panic) = reply {
            // A panic ends the process. The behaviour of a log after a caught panic is not tested.
            return Err(io::Error::other(panic));
        }
    }
    Ok(())
}

fn load(log: &dyn LogUnderTest, from: &[u64]) -> io::Result<()> {
    std::thread::scope(|scope| {
        let appenders: Vec<_> = (0_u32..)
            .zip(from)
            .map(|(appender, from)| scope.spawn(move || append(log, appender, *from..u64::MAX, 0)))
            .collect();
        appenders.into_iter().try_for_each(|appender| appender.join().unwrap_or(Ok(())))
    })
}

fn append_async(log: &dyn LogUnderTest, appender: u32, number: u64) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let Some(mut append) = log.append_async(record(appender, number, 0)) else {
        return send_reply(&Reply::NotAsync);
    };
    runtime.block_on(async {
        loop {
            match timeout(TICK, append.as_mut()).await {
                Ok(answer) => return send_reply(&append_reply(appender, number, Ok(answer))),
                Err(_) => send_reply(&Reply::Ticked)?,
            }
        }
    })
}

fn replay(log: &dyn LogUnderTest) -> io::Result<()> {
    match catch_panic(|| log.replay()) {
        Ok(Ok(items)) => {
            for item in &items {
                send_reply(&match item {
                    ReplayedItem::Record(record) => {
                        Reply::Found(record.appender, record.number, record.is_genuine())
                    }
                    ReplayedItem::Garbage(bytes) => Reply::Garbage(*bytes),
                })?;
            }
            send_reply(&Reply::Replayed)
        }
        Ok(Err(error)) => send_reply(&Reply::NotReplayed(error.0)),
        Err(panic) => send_reply(&Reply::Panicked(panic)),
    }
}

fn close(log: Box<dyn LogUnderTest>) -> io::Result<()> {
    send_reply(&match catch_panic(|| log.close()) {
        Ok(Ok(())) => Reply::Closed,
        Ok(Err(error)) => Reply::NotClosed(error.0),
        Err(panic) => Reply::Panicked(panic),
    })
}
