//! The power goes at random moments under load: what was not synced is gone, there, or there in part.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use super::{
    Context,
    judge::{Handed, Judgement},
    random::Random,
    report::{Table, Tally},
    served::{Event, Opening, SILENCE, Served},
    template,
    wire::{Order, Said},
};
use crate::{
    contestant::{Kind, Settings},
    volatile::{
        model::{Disk, Keep, Names},
        mounted::Mounted,
    },
};

/// Small enough for several files in every run.
const SETTINGS: Settings = Settings { segment_bytes: 16 << 10 };

/// What became of a contestant's disks.
#[derive(Default)]
struct Outcome {
    cuts: u64,
    acked: u64,
    losing: u64,
    missing_most: u64,
    invented: u64,
    doubled: u64,
    out_of_order: u64,
    failed: Tally,
}

/// A disk as it is found, and how many records had been acknowledged before.
struct Found {
    disk: Disk,
    acked: usize,
    keep: Keep,
}

/// What a load left: disks, and the records by appender and number.
struct Recorded {
    found: Vec<Found>,
    /// In the order in which they were acknowledged.
    acked: Vec<(u32, u64)>,
    over: BTreeSet<(u32, u64)>,
}

/// Cuts the power of every contestant's disk.
///
/// # Errors
///
/// A child cannot be started.
pub fn run(context: &Context) -> io::Result<Table> {
    let mut table = Table::new(
        "power-cut",
        format!(
            "{} callers append at once to a new log on a file system in memory (FUSE) that knows what is durable. At \
             {} random moments, each after the acknowledgements seen so far, the disk is taken as a power cut would leave it: \
             without anything unsynced, with all of it, or with any sectors of 512 bytes, sizes and first changes of names \
             (seed {}); it is mounted, the log opened and read. Twice: a sync of a file makes its name durable too, as ext4, xfs \
             and btrfs do; or only a sync of the directory does, as `fsync(2)` says.",
            context.appenders, context.rounds, context.seed
        ),
        &[
            "names",
            "power cuts",
            "acknowledged at the last cut",
            "cuts with acknowledged records missing (most)",
            "doubled",
            "out of order",
            "invented",
            "opening or reading",
        ],
    );
    for &kind in &context.kinds {
        for (names, name) in
            [(Names::WithTheFile, "with the file"), (Names::WithTheDirectory, "with the directory")]
        {
            let dir = context.fresh("power-cut", kind)?;
            let mut random = Random::new(context.seed);
            let recorded = match record(context, kind, names, &dir, &mut random) {
                Ok(recorded) => recorded,
                Err(error) if table.rows.is_empty() => {
                    table.not_tested = Some(format!("a file system in memory cannot be mounted: {error}"));
                    return Ok(table);
                }
                Err(error) => return Err(error),
            };
            let outcome = open_all(kind, names, &dir, recorded)?;
            if outcome.losing + outcome.invented + outcome.doubled + outcome.out_of_order > 0
                || outcome.failed.told() != "-"
            {
                table.blame(
                    kind,
                    format!("power-cut ({name}): {} lost, {}", outcome.losing, outcome.failed.told()),
                );
            }
            table.row(
                kind,
                vec![
                    name.to_string(),
                    outcome.cuts.to_string(),
                    outcome.acked.to_string(),
                    format!("{} ({})", outcome.losing, outcome.missing_most),
                    outcome.doubled.to_string(),
                    outcome.out_of_order.to_string(),
                    outcome.invented.to_string(),
                    outcome.failed.told(),
                ],
            );
        }
    }
    table.notes.push(
        "The model: a sector of 512 bytes is written whole or not at all; changes of names keep their order; nothing else is in \
         order before a sync. wal-db-strict documents that it may refuse a log that several callers were appending to."
            .to_string(),
    );
    table.notes.push(
        "wal-db 1.1.0, `src/segment.rs`: `sync` never again syncs a segment below the one with the highest byte written so far \
         (`synced_from`), where another caller may still be writing a record that it acknowledges later."
            .to_string(),
    );
    Ok(table)
}

/// Runs a load and takes the disk at random moments, in each of the three ways in turn; and everything that was handed over.
fn record(
    context: &Context,
    kind: Kind,
    names: Names,
    dir: &Path,
    random: &mut Random,
) -> io::Result<Recorded> {
    let mounted = Mounted::mount(Disk::default(), names, &dir.join("live"))?;
    let mut served = Served::start(kind, mounted.path(), SETTINGS)?;
    let opened = served.opened();
    if !matches!(opened, Opening::Open(_)) {
        return Err(io::Error::other(format!("{}: does not open on the model: {opened:?}", kind.name())));
    }
    served.order(&Order::Load { from: vec![1; context.appenders] });
    let (mut found, mut acked) = (Vec::new(), Vec::new());
    while (found.len() as u64) < context.rounds {
        acked.extend(next_acked(&mut served, SILENCE).map_err(|how| broke(kind, &how))?);
        if random.below(3) == 0 {
            // Everything that was said before this moment counts.
            while let Some(more) = next_acked(&mut served, Duration::ZERO).map_err(|how| broke(kind, &how))? {
                acked.push(more);
            }
            let keep = [Keep::Nothing, Keep::All, Keep::Any][found.len() % 3];
            let disk = mounted.disk().cut(keep, random);
            found.push(Found { disk, acked: acked.len(), keep });
        }
    }
    let mut over: BTreeSet<_> = (0..).take(context.appenders).map(|appender| (appender, 1)).collect();
    let rest = served.kill().into_iter().filter_map(|said| match said {
        Said::Acked(appender, number) => Some((appender, number)),
        _ => None,
    });
    // Each caller had at most one record in flight beyond what was acknowledged.
    for (appender, number) in acked.iter().copied().chain(rest) {
        over.extend([(appender, number), (appender, number + 1)]);
    }
    Ok(Recorded { found, acked, over })
}

/// The next acknowledgement, if there is one in time.
fn next_acked(served: &mut Served, patience: Duration) -> Result<Option<(u32, u64)>, String> {
    match served.next(patience) {
        Event::Said(Said::Acked(appender, number)) => Ok(Some((appender, number))),
        Event::Silent(_) if patience.is_zero() => Ok(None),
        other => Err(format!("{other:?}")),
    }
}

fn broke(kind: Kind, how: &str) -> io::Error {
    io::Error::other(format!("{}: under load on the model: {how}", kind.name()))
}

fn open_all(kind: Kind, names: Names, dir: &Path, recorded: Recorded) -> io::Result<Outcome> {
    let Recorded { found, acked: all, over } = recorded;
    let mut outcome = Outcome::default();
    for (index, Found { disk, acked, keep }) in found.into_iter().enumerate() {
        let mut handed = Handed { over: over.clone(), ..Handed::default() };
        outcome.acked = acked as u64;
        all[..acked].iter().for_each(|(appender, number)| handed.ack(*appender, *number));
        let mounted = Mounted::mount(disk, names, &dir.join(format!("cut-{index}")))?;
        let (_served, fate) = template::open_and_read(kind, mounted.path(), SETTINGS, &handed)?;
        outcome.cuts += 1;
        match fate.judged() {
            Ok(judgement) => note(&mut outcome, &judgement),
            Err(failed) => outcome.failed.add(format!("{failed} (kept: {keep:?})")),
        }
    }
    Ok(outcome)
}

fn note(outcome: &mut Outcome, judgement: &Judgement) {
    outcome.losing += u64::from(judgement.missing > 0);
    outcome.missing_most = outcome.missing_most.max(judgement.missing);
    outcome.invented += judgement.invented;
    outcome.doubled += judgement.doubled;
    outcome.out_of_order += judgement.out_of_order;
}
