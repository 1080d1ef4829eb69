//! A sync that does not end: does the runtime's thread of an async caller go on?

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Context, ONE_FILE,
    report::{Table, words},
    served::{Event, Opening, SILENCE, Served},
    wire::{Order, Said},
};
use crate::{
    contestant::Kind,
    volatile::{
        model::{Disk, Names},
        mounted::Mounted,
    },
};

/// How long the sync is held.
const HELD: Duration = Duration::from_secs(2);

/// Holds a sync under every contestant that has async callers.
///
/// # Errors
///
/// A child cannot be started.
pub fn run(context: &Context) -> io::Result<Table> {
    let mut table = Table::new(
        "stuck-sync",
        format!(
            "An append on an async runtime with a single thread, which a timer wakes every 20 ms; syncs are not answered for \
             {} s, then they are.",
            HELD.as_secs()
        ),
        &[
            "async",
            "the runtime's timer while the sync is stuck",
            "the append while the sync is stuck",
            "afterwards",
        ],
    );
    for &kind in &context.kinds {
        let dir = context.fresh("stuck-sync", kind)?;
        match hold(kind, &dir, &mut table) {
            Err(error) if table.rows.is_empty() => {
                table.not_tested = Some(format!("a file system in memory cannot be mounted: {error}"));
                return Ok(table);
            }
            Err(error) => return Err(error),
            Ok(cells) => table.row(kind, cells),
        }
    }
    Ok(table)
}

fn hold(kind: Kind, dir: &Path, table: &mut Table) -> io::Result<Vec<String>> {
    let mounted = Mounted::mount(Disk::default(), Names::WithTheFile, &dir.join("live"))?;
    let mut served = Served::start(kind, mounted.path(), ONE_FILE)?;
    let opened = served.opened();
    if !matches!(opened, Opening::Open(_)) {
        return Err(io::Error::other(format!("{}: does not open on the model: {opened:?}", kind.name())));
    }
    served.carry_out(&Order::Append { appender: 0, from: 1, count: 3, fill_bytes: 0 });
    mounted.hold_syncs();
    served.order(&Order::AppendAsync { appender: 0, number: 4 });
    let until = Instant::now() + HELD;
    let (mut ticks, mut answered) = (0, None);
    loop {
        match served.next(until.saturating_duration_since(Instant::now())) {
            Event::Said(Said::Ticked) => ticks += 1,
            Event::Said(Said::NotAsync) => {
                return Ok(vec!["no: every call blocks".to_string(), "-".into(), "-".into(), "-".into()]);
            }
            Event::Said(Said::Done) | Event::Silent(_) => break,
            Event::Said(said) => answered = Some(said),
            Event::Ended(how) => return Err(io::Error::other(format!("{}: {how}", kind.name()))),
        }
    }
    mounted.release_syncs();
    let meanwhile = match &answered {
        None => "pending".to_string(),
        Some(said) => {
            table.blame(kind, format!("stuck-sync: answered before the sync was: {said:?}"));
            words(&format!("{said:?}"))
        }
    };
    if ticks == 0 {
        table.blame(kind, "stuck-sync: the runtime's thread was blocked");
    }
    let afterwards = answered.map_or_else(|| outcome(&mut served), |_| "-".to_string());
    let ticked = if ticks > 0 { format!("went on ({ticks} times)") } else { "stood still".to_string() };
    Ok(vec!["yes".to_string(), ticked, meanwhile, afterwards])
}

fn outcome(served: &mut Served) -> String {
    loop {
        match served.next(SILENCE) {
            Event::Said(Said::Ticked) => {}
            Event::Said(Said::Acked(..)) => return "acknowledged".to_string(),
            Event::Said(other) => return words(&format!("{other:?}")),
            Event::Silent(how) => return how,
            Event::Ended(how) => return words(&how),
        }
    }
}
