//! The power fails at random times under load: unsynced data is lost, kept, or kept in part.

use std::{collections::BTreeSet, io, time::Duration};

use fastrand::Rng;
use ministore_faultfs::{NameDurability, mounts::temp_dir, recording::KeptWrites};
use tempfile::TempDir;

use super::{
    Context, Fault,
    child_process::{ChildEvent, ChildProcess, REPLY_TIMEOUT},
    integrity::{IntegrityReport, SubmittedRecords},
    report::{OutcomeCounts, Table},
    template,
    wire::{Command, Reply},
};
use crate::log_under_test::LogKind;

/// Small enough for several files in every run.
const SEGMENT_BYTES: u64 = 16 << 10;

#[derive(Default)]
struct PowerCutCounts {
    cuts: u64,
    acked: u64,
    cuts_with_loss: u64,
    most_missing: u64,
    invented: u64,
    doubled: u64,
    out_of_order: u64,
    failed: OutcomeCounts,
}

/// The size of a sector, which is written whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// A directory after a power cut, and the number of records acknowledged before it.
struct CutSnapshot {
    dir: TempDir,
    acked: usize,
    kept: KeptWrites,
}

/// The result of one load: disks, and the records by appender and number.
struct RecordedLoad {
    snapshots: Vec<CutSnapshot>,
    /// In the order of their acknowledgement.
    acked: Vec<(u32, u64)>,
    submitted: BTreeSet<(u32, u64)>,
}

pub const FAULT: Fault = Fault {
    id: "power-cut",
    description: |context| {
        format!(
            "{} callers append at once to a new log on a file system in memory (FUSE) that knows what is durable. At \
             {} random moments, each after the acknowledgements seen so far, it is copied as a power cut would leave it: \
             without anything unsynced, with all of it, or with any sectors of 512 bytes, sizes and first changes of names \
             (seed {}); the log in the copy is opened and read. Twice: a sync of a file makes its name durable too, as ext4, xfs \
             and btrfs do; or only a sync of the directory does, as `fsync(2)` says.",
            context.appenders, context.rounds, context.seed
        )
    },
    requirement: super::mountable,
    test,
    notes: &[
        "The model: a sector of 512 bytes is written whole or not at all; changes of names keep their order; nothing else is in \
         order before a sync. wal-db-strict documents that it may refuse a log that several callers were appending to.",
        "wal-db 1.1.0, `src/segment.rs`: `sync` never again syncs a segment below the one with the highest byte written so far \
         (`synced_from`), where another caller may still be writing a record that it acknowledges later.",
    ],
};

fn test(context: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    for (names, name) in
        [(NameDurability::WithFile, "with the file"), (NameDurability::WithDirectory, "with the directory")]
    {
        let mut random = Rng::with_seed(context.seed);
        let recorded = record_load(context, kind, names, &mut random)?;
        let counts = open_all(kind, recorded)?;
        if counts.cuts_with_loss + counts.invented + counts.doubled + counts.out_of_order > 0
            || counts.failed.summary() != "-"
        {
            table.record_violation(
                kind,
                format!("power-cut ({name}): {} lost, {}", counts.cuts_with_loss, counts.failed.summary()),
            );
        }
        table.row(
            kind,
            [
                ("names", name.to_string()),
                ("power cuts", counts.cuts.to_string()),
                ("acknowledged at the last cut", counts.acked.to_string()),
                (
                    "cuts with acknowledged records missing (most)",
                    format!("{} ({})", counts.cuts_with_loss, counts.most_missing),
                ),
                ("doubled", counts.doubled.to_string()),
                ("out of order", counts.out_of_order.to_string()),
                ("invented", counts.invented.to_string()),
                ("opening or reading", counts.failed.summary()),
            ],
        );
    }
    Ok(())
}

/// Runs a load and copies the disk at random times, in each of the three ways in turn. Returns the copies and all
/// submitted records.
fn record_load(
    context: &Context,
    kind: LogKind,
    names: NameDurability,
    random: &mut Rng,
) -> io::Result<RecordedLoad> {
    let mounted = super::mount(names)?;
    let mut process = ChildProcess::start(kind, mounted.path(), SEGMENT_BYTES)?.opened(kind)?;
    process.send(&Command::Load { from: vec![1; context.appenders] });
    let (mut snapshots, mut acked) = (Vec::new(), Vec::new());
    while (snapshots.len() as u64) < context.rounds {
        acked.extend(next_acked(&mut process, REPLY_TIMEOUT).map_err(|how| load_error(kind, &how))?);
        if random.u32(..3) == 0 {
            // Acknowledgements that arrived before the power cut count.
            while let Some(more) =
                next_acked(&mut process, Duration::ZERO).map_err(|how| load_error(kind, &how))?
            {
                acked.push(more);
            }
            let some = KeptWrites::Some { unit_bytes: SECTOR_BYTES, percent: 50, seed: random.u64(..) };
            let kept = [KeptWrites::Nothing, KeptWrites::Everything, some][snapshots.len() % 3];
            let dir = temp_dir()?;
            mounted.power_cut(dir.path(), kept)?;
            snapshots.push(CutSnapshot { dir, acked: acked.len(), kept });
        }
    }
    let mut submitted: BTreeSet<_> = (0..).take(context.appenders).map(|appender| (appender, 1)).collect();
    let rest = process.kill().into_iter().filter_map(|reply| match reply {
        Reply::Acked(appender, number) => Some((appender, number)),
        _ => None,
    });
    // Each caller had at most one record in flight after its last acknowledgement.
    for (appender, number) in acked.iter().copied().chain(rest) {
        submitted.extend([(appender, number), (appender, number + 1)]);
    }
    Ok(RecordedLoad { snapshots, acked, submitted })
}

/// Returns the next acknowledgement, if one arrives in time.
fn next_acked(process: &mut ChildProcess, timeout: Duration) -> Result<Option<(u32, u64)>, String> {
    match process.next(timeout) {
        ChildEvent::Reply(Reply::Acked(appender, number)) => Ok(Some((appender, number))),
        ChildEvent::TimedOut(_) if timeout.is_zero() => Ok(None),
        other => Err(format!("{other:?}")),
    }
}

fn load_error(kind: LogKind, how: &str) -> io::Error {
    io::Error::other(format!("{}: under load on the model: {how}", kind.name()))
}

fn open_all(kind: LogKind, recorded: RecordedLoad) -> io::Result<PowerCutCounts> {
    let RecordedLoad { snapshots, acked: all_acked, submitted } = recorded;
    let mut counts = PowerCutCounts::default();
    for CutSnapshot { dir, acked, kept } in snapshots {
        let mut records = SubmittedRecords { all: submitted.clone(), ..SubmittedRecords::default() };
        counts.acked = acked as u64;
        all_acked[..acked].iter().for_each(|(appender, number)| records.add_acked(*appender, *number));
        let (_process, outcome) = template::open_and_read(kind, dir.path(), SEGMENT_BYTES, &records)?;
        counts.cuts += 1;
        match outcome.into_report() {
            Ok(report) => count_violations(&mut counts, &report),
            Err(failed) => {
                let kept = if let KeptWrites::Some { .. } = kept { "some".into() } else { kept.to_string() };
                counts.failed.add(format!("{failed} (kept: {kept})"));
            }
        }
    }
    Ok(counts)
}

fn count_violations(counts: &mut PowerCutCounts, report: &IntegrityReport) {
    counts.cuts_with_loss += u64::from(report.missing > 0);
    counts.most_missing = counts.most_missing.max(report.missing);
    counts.invented += report.invented;
    counts.doubled += report.doubled;
    counts.out_of_order += report.out_of_order;
}
