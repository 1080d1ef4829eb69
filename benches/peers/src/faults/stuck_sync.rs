//! A sync that does not complete: does it block the runtime's thread of an async caller?

use std::{
    io,
    time::{Duration, Instant},
};

use ministore_faultfs::{NameDurability, Op, Rule};

use super::{
    Context, Fault, ONE_FILE,
    child_process::{ChildEvent, ChildProcess, REPLY_TIMEOUT},
    report::{Table, words},
    wire::{Command, Reply},
};
use crate::log_under_test::LogKind;

const BLOCKED_TIME: Duration = Duration::from_secs(2);

pub const FAULT: Fault = Fault {
    id: "stuck-sync",
    description: |_| {
        format!(
            "An append on an async runtime with a single thread, which a timer wakes every 20 ms; syncs are not answered for \
             {} s, then they are.",
            BLOCKED_TIME.as_secs()
        )
    },
    requirement: super::mountable,
    test,
    notes: &[],
};

fn test(_: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    let [is_async, timer, during, afterwards] = append_during_blocked_sync(kind, table)?;
    table.row(
        kind,
        [
            ("async", is_async),
            ("the runtime's timer while the sync is stuck", timer),
            ("the append while the sync is stuck", during),
            ("afterwards", afterwards),
        ],
    );
    Ok(())
}

fn append_during_blocked_sync(kind: LogKind, table: &mut Table) -> io::Result<[String; 4]> {
    let mounted = super::mount(NameDurability::WithFile)?;
    let mut process = ChildProcess::start(kind, mounted.path(), ONE_FILE)?.opened(kind)?;
    process.execute(&Command::Append { appender: 0, from: 1, count: 3, fill_bytes: 0 });
    let rule = mounted.set(Rule::on(Op::Sync).forever().blocked())?;
    process.send(&Command::AppendAsync { appender: 0, number: 4 });
    let until = Instant::now() + BLOCKED_TIME;
    let (mut ticks, mut answered) = (0, None);
    loop {
        match process.next(until.saturating_duration_since(Instant::now())) {
            ChildEvent::Reply(Reply::Ticked) => ticks += 1,
            ChildEvent::Reply(Reply::NotAsync) => {
                return Ok(["no: every call blocks".to_string(), "-".into(), "-".into(), "-".into()]);
            }
            ChildEvent::Reply(Reply::Done) | ChildEvent::TimedOut(_) => break,
            ChildEvent::Reply(reply) => answered = Some(reply),
            ChildEvent::Exited(how) => return Err(io::Error::other(format!("{}: {how}", kind.name()))),
        }
    }
    mounted.release(rule)?;
    let during = match &answered {
        None => "pending".to_string(),
        Some(reply) => {
            table.record_violation(kind, format!("stuck-sync: answered before the sync was: {reply:?}"));
            words(&format!("{reply:?}"))
        }
    };
    if ticks == 0 {
        table.record_violation(kind, "stuck-sync: the runtime's thread was blocked");
    }
    let afterwards = answered.map_or_else(|| outcome(&mut process), |_| "-".to_string());
    let ticked = if ticks > 0 { format!("went on ({ticks} times)") } else { "stood still".to_string() };
    Ok(["yes".to_string(), ticked, during, afterwards])
}

fn outcome(process: &mut ChildProcess) -> String {
    loop {
        match process.next(REPLY_TIMEOUT) {
            ChildEvent::Reply(Reply::Ticked) => {}
            ChildEvent::Reply(Reply::Acked(..)) => return "acknowledged".to_string(),
            ChildEvent::Reply(other) => return words(&format!("{other:?}")),
            ChildEvent::TimedOut(how) => return how,
            ChildEvent::Exited(how) => return words(&how),
        }
    }
}
