//! A sync fails once with EIO, and what it was to write is dropped, as Linux does.

use std::{io, path::Path};

use super::{
    Context, ONE_FILE,
    judge::Handed,
    random::Random,
    report::{Table, Tally, kind_of_words},
    served::{Event, Opening, Served},
    template,
    wire::{Order, Said},
};
use crate::{
    contestant::Kind,
    volatile::{
        model::{Disk, Keep, Names},
        mounted::Mounted,
    },
};

/// How many records are acknowledged before.
const BEFORE: u64 = 5;

/// How many appends are tried from the fault on.
const AFTER: u64 = 8;

/// Which syncs are made to fail, one in each run: the first after `BEFORE`, the second, …
const SYNCS: u64 = 4;

/// What became of one run.
#[derive(Default)]
struct Outcome {
    first_failure: Tally,
    appends: Tally,
    later_acked: u64,
    runs_acking_later: u64,
    missing: u64,
    losing: u64,
    invented: u64,
    reopened: Tally,
}

/// Fails a sync under every contestant.
///
/// # Errors
///
/// A child cannot be started.
pub fn run(context: &Context) -> io::Result<Table> {
    let mut table = Table::new(
        "failed-sync",
        format!(
            "{BEFORE} records are acknowledged; then one sync of a file fails with EIO, and what it was to write is never written \
             (later syncs succeed); {AFTER} appends are tried; then the power is cut, keeping nothing unsynced; the log is opened \
             and read. {SYNCS} runs: the first sync fails, or the second, …"
        ),
        &[
            "runs",
            "what the caller saw first",
            "all appends",
            "runs with an acknowledgement after the first error",
            "runs with acknowledged records missing (most)",
            "invented",
            "opening and reading",
        ],
    );
    for &kind in &context.kinds {
        let dir = context.fresh("failed-sync", kind)?;
        let mut outcome = Outcome::default();
        for good in 0..SYNCS {
            let path = dir.join(good.to_string());
            match fail(kind, &path, good, &mut outcome) {
                Err(error) if table.rows.is_empty() && good == 0 => {
                    table.not_tested = Some(format!("a file system in memory cannot be mounted: {error}"));
                    return Ok(table);
                }
                done => done?,
            }
        }
        if outcome.later_acked > 0 {
            table.blame(
                kind,
                format!("failed-sync: {} appends acknowledged after the failure", outcome.later_acked),
            );
        }
        if outcome.losing + outcome.invented > 0 || outcome.reopened.told() != format!("{SYNCS} × read") {
            table.blame(
                kind,
                format!("failed-sync: {} missing, {}", outcome.missing, outcome.reopened.told()),
            );
        }
        table.row(
            kind,
            vec![
                SYNCS.to_string(),
                outcome.first_failure.told(),
                outcome.appends.told(),
                outcome.runs_acking_later.to_string(),
                format!("{} ({})", outcome.losing, outcome.missing),
                outcome.invented.to_string(),
                outcome.reopened.told(),
            ],
        );
    }
    table.notes.extend([
        "ministore-uring documents that after a failed sync nothing more is acknowledged. wal-db documents that it \"does not \
         remember the failure: a later `sync` can return `Ok` although the operating system may have dropped the pages … stop \
         appending and reopen the log\": acknowledgements after the first error are not promised to hold. A panic is taken as the end of the process; raft-engine panics on \
         purpose (\"Panic if sync fails, in case of data loss\"). ministore, okaywal and walrus-rust do not say what follows."
            .to_string(),
        "walrus-rust syncs twice an append: the write itself (`O_SYNC`), whose result it does not look at \
         (`src/wal/storage.rs`, `FdBackend::write`), then `sync_all`."
            .to_string(),
    ]);
    Ok(table)
}

fn fail(kind: Kind, path: &Path, good: u64, outcome: &mut Outcome) -> io::Result<()> {
    let mounted = Mounted::mount(Disk::default(), Names::WithTheFile, &path.join("live"))?;
    let mut served = Served::start(kind, mounted.path(), ONE_FILE)?;
    let opened = served.opened();
    if !matches!(opened, Opening::Open(_)) {
        return Err(io::Error::other(format!("{}: does not open on the model: {opened:?}", kind.name())));
    }
    let mut handed = Handed::default();
    let before = Order::Append { appender: 0, from: 1, count: BEFORE, fill_bytes: 0 };
    note(&served.carry_out(&before), &mut handed);
    if handed.acked.len() as u64 != BEFORE {
        return Err(io::Error::other(format!("{}: no acknowledgements without a fault", kind.name())));
    }
    mounted.fail_a_sync_after(good);
    handed.over.extend((BEFORE + 1..=BEFORE + AFTER).map(|number| (0, number)));
    let events =
        served.carry_out(&Order::Append { appender: 0, from: BEFORE + 1, count: AFTER, fill_bytes: 0 });
    note(&events, &mut handed);
    tally(&events, mounted.has_failed(), outcome);
    let left = mounted.disk().cut(Keep::Nothing, &mut Random::new(0));
    drop(served);
    drop(mounted);
    let mounted = Mounted::mount(left, Names::WithTheFile, &path.join("cut"))?;
    let (_served, fate) = template::open_and_read(kind, mounted.path(), ONE_FILE, &handed)?;
    match fate.judged() {
        Ok(judgement) => {
            outcome.reopened.add("read");
            outcome.losing += u64::from(judgement.missing > 0);
            outcome.missing = outcome.missing.max(judgement.missing);
            outcome.invented += judgement.invented + judgement.doubled + judgement.out_of_order;
        }
        Err(failed) => outcome.reopened.add(failed),
    }
    Ok(())
}

fn note(events: &[Event], handed: &mut Handed) {
    for event in events {
        match event {
            Event::Said(Said::Acked(appender, number)) => handed.ack(*appender, *number),
            Event::Said(Said::Refused(appender, number, _)) => handed.refuse(*appender, *number),
            _ => {}
        }
    }
}

/// What the caller saw: the first that was not an acknowledgement, and everything.
fn tally(events: &[Event], failed: bool, outcome: &mut Outcome) {
    let mut first = None;
    let mut acked_after = 0;
    for event in events {
        let (what, told) = match event {
            Event::Said(Said::Acked(..)) => ("acknowledged", None),
            Event::Said(Said::Refused(_, _, error)) => {
                ("error", Some(format!("error: {}", kind_of_words(error))))
            }
            Event::Said(Said::Panicked(panic)) => ("panic", Some(format!("panic: {}", kind_of_words(panic)))),
            Event::Said(_) => continue,
            // It was told: a panic ends the process.
            Event::Ended(_) if first.as_ref().is_some_and(|told: &String| told.starts_with("panic")) => {
                continue;
            }
            Event::Silent(how) => ("no answer", Some(how.clone())),
            Event::Ended(how) => ("process gone", Some(format!("process gone: {}", kind_of_words(how)))),
        };
        outcome.appends.add(what);
        acked_after += u64::from(first.is_some() && what == "acknowledged");
        if first.is_none() {
            first = told;
        }
    }
    outcome.first_failure.add(match (first, failed) {
        (Some(first), _) => first,
        (None, true) => "no error: every append was acknowledged".to_string(),
        (None, false) => "there was no such sync".to_string(),
    });
    outcome.later_acked += acked_after;
    outcome.runs_acking_later += u64::from(acked_after > 0);
}
