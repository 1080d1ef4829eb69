//! Two processes open the same log for writing.

use std::{io, path::Path};

use super::{
    Context, SMALL_FILES,
    judge::{Handed, Judgement},
    report::{Table, words},
    served::{Event, Opening, Served},
    template::{self, Fate},
    wire::{Order, Said},
};
use crate::contestant::Kind;

/// How many times each appends, in turns, and how many records each time.
const TURNS: u64 = 10;
const RECORDS: u64 = 5;

/// Lets two processes write every contestant's log.
///
/// # Errors
///
/// A child cannot be started.
pub fn run(context: &Context) -> io::Result<Table> {
    let mut table = Table::new(
        "two-writers",
        format!(
            "A process opens the log and appends; a second one opens it too. Where it may, both append in turns, {TURNS} times \
             {RECORDS} records each, every one acknowledged or not; both close; the log is opened and read."
        ),
        &["second open", "acknowledged", "acknowledged, missing", "invented", "reading afterwards"],
    );
    for &kind in &context.kinds {
        let dir = context.fresh("two-writers", kind)?;
        let mut handed = Handed::default();
        let mut first = Served::start(kind, &dir, SMALL_FILES)?;
        let opened = first.opened();
        if !matches!(opened, Opening::Open(_)) {
            return Err(io::Error::other(format!("{}: does not open: {opened:?}", kind.name())));
        }
        turn(&mut first, 0, 0, &mut handed);
        let mut second = Served::start(kind, &dir, SMALL_FILES)?;
        let (open, both) = match second.opened() {
            Opening::Open(_) => ("opened".to_string(), true),
            Opening::Refused(error) => (format!("refused: {}", words(&error)), false),
            Opening::Broke(how) => (format!("broke: {}", words(&how)), false),
        };
        if both {
            table.blame(kind, "two-writers: a second process opened the journal");
        }
        for round in 1..TURNS {
            turn(&mut first, 0, round, &mut handed);
            if both {
                turn(&mut second, 1, round, &mut handed);
            }
        }
        first.carry_out(&Order::Close);
        second.carry_out(&Order::Close);
        drop((first, second));
        let (judgement, reading) = read(kind, &dir, &handed)?;
        if judgement.as_ref().is_none_or(Judgement::is_broken) {
            table.blame(kind, format!("two-writers: {reading}: {judgement:?}"));
        }
        let count =
            |count: fn(&Judgement) -> u64| judgement.as_ref().map_or("-".into(), |of| count(of).to_string());
        table.row(
            kind,
            vec![
                open,
                handed.acked.len().to_string(),
                count(|judgement| judgement.missing),
                count(|judgement| judgement.invented),
                reading,
            ],
        );
    }
    table.notes.push(
        "Only ministore-uring documents that a second process is refused; raft-engine locks its directory (source: \
         `src/file_pipe_log/pipe_builder.rs`, `lock_dir`). The others do not say what happens."
            .to_string(),
    );
    Ok(table)
}

fn turn(served: &mut Served, appender: u32, round: u64, handed: &mut Handed) {
    let from = round * RECORDS + 1;
    for number in from..from + RECORDS {
        handed.over.insert((appender, number));
    }
    for event in served.carry_out(&Order::Append { appender, from, count: RECORDS, fill_bytes: 0 }) {
        match event {
            Event::Said(Said::Acked(appender, number)) => handed.ack(appender, number),
            Event::Said(Said::Refused(appender, number, _)) => handed.refuse(appender, number),
            _ => {}
        }
    }
}

/// What was given back, where it could be read, and how reading went.
fn read(kind: Kind, dir: &Path, handed: &Handed) -> io::Result<(Option<Judgement>, String)> {
    let (_served, fate) = template::open_and_read(kind, dir, SMALL_FILES, handed)?;
    Ok(match fate {
        Fate::Read(told, judgement) => {
            (Some(judgement), told.map_or("read".into(), |told| format!("read, told: {told}")))
        }
        Fate::Refused(error) => (None, format!("refused: {}", words(&error))),
        Fate::Broke(how) => (None, format!("broke: {}", words(&how))),
    })
}
