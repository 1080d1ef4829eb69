//! Owns what `doctor` recommends: options of the program and of the library, each with its reason. Pure.

use ministore_uring::SyncKind;
use serde::Serialize;

use super::{
    file_system::{Nature, nature},
    measure::{self, DIRECT_SYNCED, GROWING, Measured, STORE_BLOCKING, STORE_URING, SYNCED},
    room::{Room, SEGMENT_BYTES},
};
use crate::units;

/// A sync that takes so long is worth sharing.
const NANOS_SLOW: u64 = 1_000_000;

/// One option, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Recommendation {
    /// As the program takes it, where it does.
    pub(super) flag: Option<String>,
    /// As the library takes it.
    pub(super) option: String,
    pub(super) why: String,
}

impl Recommendation {
    fn new(flag: Option<String>, option: impl Into<String>, why: impl Into<String>) -> Self {
        Self { flag, option: option.into(), why: why.into() }
    }
}

pub(super) fn recommend(
    kind: &str,
    room: &Room,
    measured: &[Measured],
    sync_mode: Option<SyncKind>,
) -> Vec<Recommendation> {
    let all = [
        write_ahead(kind, measured, sync_mode),
        backend(measured),
        segments(room),
        limit(room),
        delay(measured),
    ];
    all.into_iter().flatten().collect()
}

fn write_ahead(kind: &str, measured: &[Measured], sync_mode: Option<SyncKind>) -> Option<Recommendation> {
    let flag = Some("--no-write-ahead".to_owned());
    let option = "write_ahead(false)";
    let best = |way| measure::undisturbed(measured, way);
    // The figures of what commits do here.
    let ways = if sync_mode == Some(SyncKind::Dsync) { &[SYNCED, DIRECT_SYNCED][..] } else { &[SYNCED] };
    let in_place = ways.iter().copied().filter_map(best).min();
    if let (Some(growing), Some(in_place)) = (best(GROWING), in_place) {
        let figures =
            format!("appending takes {}, writing ahead {}", units::nanos(growing), units::nanos(in_place));
        // In memory neither costs anything, and what is measured is chance.
        let wins_nothing =
            growing <= in_place.saturating_add(in_place / 10) && nature(kind) != Nature::Memory;
        return wins_nothing.then(|| {
            Recommendation::new(flag, option, format!("writing ahead wins nothing here: {figures}"))
        });
    }
    let copies = nature(kind) == Nature::CopyOnWrite;
    copies.then(|| {
        Recommendation::new(
            flag,
            option,
            format!("{kind} does not overwrite in place what was written ahead"),
        )
    })
}

/// Only where one is much better than the other for a single caller, and it is not the one that would be taken.
fn backend(measured: &[Measured]) -> Option<Recommendation> {
    let uring = measure::undisturbed(measured, STORE_URING)?;
    let blocking = measure::undisturbed(measured, STORE_BLOCKING)?;
    (blocking.saturating_mul(3) < uring.saturating_mul(2)).then(|| {
        let figures = format!("{} against {}", units::nanos(blocking), units::nanos(uring));
        Recommendation::new(
            Some("--backend blocking".to_owned()),
            "backend(Backend::Blocking)",
            format!("for a single caller ({figures}); measure many callers with `ministore bench` before you choose"),
        )
    })
}

fn segments(room: &Room) -> Option<Recommendation> {
    let bytes = room.advised_segment_bytes()?;
    let why = format!(
        "{} are {} segments of {}, and a segment is what retention deletes",
        units::bytes(room.free_bytes),
        room.free_bytes / SEGMENT_BYTES,
        units::bytes(SEGMENT_BYTES)
    );
    Some(Recommendation::new(None, format!("max_bytes_per_segment({bytes})"), why))
}

/// A journal keeps everything unless told otherwise.
fn limit(room: &Room) -> Option<Recommendation> {
    let (bytes, shown) = round(room.advised_bytes());
    (bytes > 0).then(|| {
        Recommendation::new(
            Some(format!("--max-total-bytes {shown}")),
            format!("max_total_bytes({bytes})"),
            "or less, unless the program releases what it has done with: everything is kept otherwise, until the disk is full",
        )
    })
}

/// Down to whole GiB, or MiB, in the form that the command line takes.
fn round(bytes: u64) -> (u64, String) {
    let (unit, name) = if bytes < 4 << 30 { (1 << 20, "MiB") } else { (1 << 30, "GiB") };
    (bytes / unit * unit, format!("{}{name}", bytes / unit))
}

fn delay(measured: &[Measured]) -> Option<Recommendation> {
    let sync = [STORE_URING, STORE_BLOCKING]
        .into_iter()
        .filter_map(|way| measure::undisturbed(measured, way))
        .min()?;
    (sync >= NANOS_SLOW).then(|| {
        // A tenth, in whole microseconds, at most a second.
        let micros = (sync / 10_000).min(1_000_000);
        Recommendation::new(
            None,
            format!("commit_delay(Duration::from_micros({micros}))"),
            format!("a commit takes {}: with many callers a short wait fills it; a single caller waits that much longer", units::nanos(sync)),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;

    const ROOM: Room =
        Room { free_bytes: 100 << 30, size_bytes: 200 << 30, free_files: None, file_bytes_max: None };

    fn took(way: &'static str, nanos: u64) -> Measured {
        let mut latency = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        latency.record_n(nanos, 100).unwrap();
        Measured {
            way,
            durable: true,
            bytes: 4096,
            latency,
            took: Duration::from_nanos(nanos),
            refused: None,
        }
    }

    fn options(kind: &str, room: &Room, measured: &[Measured]) -> Vec<String> {
        let names = recommend(kind, room, measured, Some(SyncKind::Dsync)).into_iter();
        names.map(|one| one.option.split('(').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_limit_is_always_recommended_and_nothing_else_where_all_is_well() {
        let fast = [
            took(GROWING, 300_000),
            took(SYNCED, 60_000),
            took(STORE_URING, 70_000),
            took(STORE_BLOCKING, 60_000),
        ];
        assert_eq!(options("ext4", &ROOM, &fast), ["max_total_bytes"]);
        let limit = recommend("ext4", &ROOM, &fast, Some(SyncKind::Dsync)).remove(0);
        assert_eq!(limit.flag.unwrap(), "--max-total-bytes 50GiB");
        assert_eq!(limit.option, format!("max_total_bytes({})", 50_u64 << 30));
        assert_eq!(round((100 << 20) + 5), (100 << 20, "100MiB".to_owned()));
    }

    #[test]
    fn writing_ahead_is_judged_by_its_figures_and_by_the_kind_where_there_are_none() {
        let same = [took(GROWING, 62_000), took(SYNCED, 60_000)];
        assert_eq!(options("ext4", &ROOM, &same), ["write_ahead", "max_total_bytes"]);
        assert_eq!(options("tmpfs", &ROOM, &same), ["max_total_bytes"]);
        assert_eq!(
            options("btrfs", &ROOM, &[took(GROWING, 300_000), took(SYNCED, 60_000)]),
            ["max_total_bytes"]
        );
        assert_eq!(options("btrfs", &ROOM, &[]), ["write_ahead", "max_total_bytes"]);
    }

    #[test]
    fn dsync_figures_count_only_in_dsync_mode() {
        let unsynced = [took(GROWING, 90_000), took(SYNCED, 300_000), took(DIRECT_SYNCED, 20_000)];
        let ahead = |mode| write_ahead("fuse.sshfs", &unsynced, mode).map(|one| one.option);
        assert_eq!(ahead(Some(SyncKind::Dsync)), None);
        assert_eq!(ahead(Some(SyncKind::Fdatasync)), Some("write_ahead(false)".to_owned()));
    }

    #[test]
    fn little_room_slow_syncs_and_a_slow_ring_are_answered() {
        let little = Room { free_bytes: 160 << 20, ..ROOM };
        let slow = [took(STORE_URING, 8_000_000), took(STORE_BLOCKING, 5_000_000)];
        let names = options("ext4", &little, &slow);
        assert_eq!(names, ["backend", "max_bytes_per_segment", "max_total_bytes", "commit_delay"]);
        let delay = recommend("ext4", &little, &slow, Some(SyncKind::Dsync)).pop().unwrap();
        assert!(
            delay.option.contains("from_micros(49") || delay.option.contains("from_micros(500"),
            "{delay:?}"
        );
    }
}
