//! The recommendations of `doctor`: options of the program and of the library, with reasons. Pure.

use std::path::Path;

use ministore_uring::{Backend, SyncKind};
use serde::Serialize;

use super::{
    file_system::{FsClass, class_of},
    measure::{
        self, DIRECT_SYNCED, GROWING, Measurement, STORE_BLOCKING, STORE_TOKIO_URING, STORE_URING, SYNCED,
    },
    space::{FreeSpace, SEGMENT_BYTES},
};
use crate::{hint::quoted, units};

/// A sync that takes this long is worth sharing.
const NANOS_SLOW: u64 = 1_000_000;

/// An option and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Recommendation {
    /// The flag of the program, if there is one.
    pub(super) flag: Option<String>,
    /// The option of the library.
    pub(super) option: String,
    pub(super) reason: String,
}

impl Recommendation {
    fn new(flag: Option<String>, option: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { flag, option: option.into(), reason: reason.into() }
    }
}

/// Returns a command line with the recommended options of the program, quoted for a shell.
pub(super) fn command(directory: &Path, recommended: &[Recommendation]) -> Option<String> {
    let flags: Vec<_> = recommended.iter().filter_map(|one| one.flag.as_deref()).collect();
    if flags.is_empty() {
        return None;
    }
    let in_directory = |name: &str| quoted(&directory.join(name));
    let (journal, socket) = (in_directory("journal.jsonl"), in_directory("journal.sock"));
    Some(format!("ministore serve {journal} --listen unix:{socket} {}", flags.join(" ")))
}

pub(super) fn recommend(
    kind: &str,
    space: &FreeSpace,
    measured: &[Measurement],
    sync_mode: Option<SyncKind>,
) -> Vec<Recommendation> {
    let all = [
        preallocate(kind, measured, sync_mode),
        backend(measured),
        segments(space),
        limit(space),
        delay(measured),
    ];
    all.into_iter().flatten().collect()
}

fn preallocate(kind: &str, measured: &[Measurement], sync_mode: Option<SyncKind>) -> Option<Recommendation> {
    let flag = Some("--no-preallocate".to_owned());
    let option = "preallocate(false)";
    let best = |method| measure::undisturbed(measured, method);
    // Only the methods that commits use here.
    let methods = if sync_mode == Some(SyncKind::Dsync) { &[SYNCED, DIRECT_SYNCED][..] } else { &[SYNCED] };
    let in_place = methods.iter().copied().filter_map(best).min();
    if let (Some(growing), Some(in_place)) = (best(GROWING), in_place) {
        let figures =
            format!("appending takes {}, writing in place {}", units::nanos(growing), units::nanos(in_place));
        // In memory neither costs anything, and the difference is noise.
        let gains_nothing =
            growing <= in_place.saturating_add(in_place / 10) && class_of(kind) != FsClass::Memory;
        return gains_nothing.then(|| {
            Recommendation::new(flag, option, format!("preallocation gains nothing here: {figures}"))
        });
    }
    let copies = class_of(kind) == FsClass::CopyOnWrite;
    copies.then(|| {
        Recommendation::new(flag, option, format!("{kind} does not overwrite preallocated blocks in place"))
    })
}

/// Recommends a backend that is not the default only if it is much faster for a single caller.
fn backend(measured: &[Measurement]) -> Option<Recommendation> {
    let best = |method| measure::undisturbed(measured, method);
    let uring = best(STORE_URING)?;
    let others = [
        (STORE_BLOCKING, Backend::Blocking, "Blocking"),
        (STORE_TOKIO_URING, Backend::TokioUring, "TokioUring"),
    ];
    let (other, backend, variant) = others
        .into_iter()
        .filter_map(|(method, backend, variant)| Some((best(method)?, backend, variant)))
        .min_by_key(|&(nanos, ..)| nanos)?;
    (other.saturating_mul(3) < uring.saturating_mul(2)).then(|| {
        let figures = format!("{} versus {}", units::nanos(other), units::nanos(uring));
        Recommendation::new(
            Some(format!("--backend {backend}")),
            format!("backend(Backend::{variant})"),
            format!("for a single caller ({figures}); for many concurrent callers, compare with `ministore bench --backend io_uring,tokio-uring,blocking` first"),
        )
    })
}

fn segments(space: &FreeSpace) -> Option<Recommendation> {
    let bytes = space.advised_segment_bytes()?;
    let reason = format!(
        "{} is space for only {} segments of {}, and retention deletes whole segments",
        units::bytes(space.free_bytes),
        space.free_bytes / SEGMENT_BYTES,
        units::bytes(SEGMENT_BYTES)
    );
    Some(Recommendation::new(
        Some(format!("--max-segment-bytes {bytes}")),
        format!("max_segment_bytes({bytes})"),
        reason,
    ))
}

/// Recommends a size limit: a journal keeps all records by default.
fn limit(space: &FreeSpace) -> Option<Recommendation> {
    let (bytes, shown) = round(space.advised_bytes());
    (bytes > 0).then(|| {
        Recommendation::new(
            Some(format!("--max-total-bytes {shown}")),
            format!("max_total_bytes({bytes})"),
            "or less, unless the application trims the journal: by default all records are kept, until the disk is full",
        )
    })
}

/// Rounds down to whole GiB or MiB, as accepted by the command line.
fn round(bytes: u64) -> (u64, String) {
    let (unit, name) = if bytes < 4 << 30 { (1 << 20, "MiB") } else { (1 << 30, "GiB") };
    (bytes / unit * unit, format!("{}{name}", bytes / unit))
}

fn delay(measured: &[Measurement]) -> Option<Recommendation> {
    let sync = [STORE_URING, STORE_BLOCKING]
        .into_iter()
        .filter_map(|method| measure::undisturbed(measured, method))
        .min()?;
    (sync >= NANOS_SLOW).then(|| {
        // A tenth, in whole microseconds, at most one second.
        let micros = (sync / 10_000).min(1_000_000);
        Recommendation::new(
            None,
            format!("commit_delay(Duration::from_micros({micros}))"),
            format!("a commit takes {}: with many concurrent callers a short delay makes larger groups; a single caller waits longer", units::nanos(sync)),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;

    const AMPLE_SPACE: FreeSpace =
        FreeSpace { free_bytes: 100 << 30, size_bytes: 200 << 30, free_files: None, max_file_bytes: None };

    fn took(method: &'static str, nanos: u64) -> Measurement {
        let mut latency = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        latency.record_n(nanos, 100).unwrap();
        Measurement {
            method,
            durable: true,
            bytes: 4096,
            latency,
            took: Duration::from_nanos(nanos),
            error: None,
        }
    }

    fn options(kind: &str, space: &FreeSpace, measured: &[Measurement]) -> Vec<String> {
        let names = recommend(kind, space, measured, Some(SyncKind::Dsync)).into_iter();
        names.map(|one| one.option.split('(').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn limit_is_always_recommended() {
        let fast = [
            took(GROWING, 300_000),
            took(SYNCED, 60_000),
            took(STORE_URING, 70_000),
            took(STORE_BLOCKING, 60_000),
            took(STORE_TOKIO_URING, 75_000),
        ];
        assert_eq!(options("ext4", &AMPLE_SPACE, &fast), ["max_total_bytes"]);
        let limit = recommend("ext4", &AMPLE_SPACE, &fast, Some(SyncKind::Dsync)).remove(0);
        assert_eq!(limit.flag.unwrap(), "--max-total-bytes 50GiB");
        assert_eq!(limit.option, format!("max_total_bytes({})", 50_u64 << 30));
        assert_eq!(round((100 << 20) + 5), (100 << 20, "100MiB".to_owned()));
    }

    #[test]
    fn preallocation_is_judged_by_figures_or_kind() {
        let same = [took(GROWING, 62_000), took(SYNCED, 60_000)];
        assert_eq!(options("ext4", &AMPLE_SPACE, &same), ["preallocate", "max_total_bytes"]);
        assert_eq!(options("tmpfs", &AMPLE_SPACE, &same), ["max_total_bytes"]);
        assert_eq!(
            options("btrfs", &AMPLE_SPACE, &[took(GROWING, 300_000), took(SYNCED, 60_000)]),
            ["max_total_bytes"]
        );
        assert_eq!(options("btrfs", &AMPLE_SPACE, &[]), ["preallocate", "max_total_bytes"]);
    }

    #[test]
    fn dsync_figures_count_only_in_dsync_mode() {
        let unsynced = [took(GROWING, 90_000), took(SYNCED, 300_000), took(DIRECT_SYNCED, 20_000)];
        let advice = |mode| preallocate("fuse.sshfs", &unsynced, mode).map(|one| one.option);
        assert_eq!(advice(Some(SyncKind::Dsync)), None);
        assert_eq!(advice(Some(SyncKind::Fdatasync)), Some("preallocate(false)".to_owned()));
    }

    #[test]
    fn command_has_every_flag_and_is_accepted() {
        let small_disk = FreeSpace { free_bytes: 160 << 20, ..AMPLE_SPACE };
        let slow = [took(STORE_URING, 8_000_000), took(STORE_BLOCKING, 5_000_000)];
        for (kind, space, measured) in
            [("ext4", &AMPLE_SPACE, &[][..]), ("btrfs", &AMPLE_SPACE, &[]), ("btrfs", &small_disk, &slow)]
        {
            let recommended = recommend(kind, space, measured, Some(SyncKind::Dsync));
            for directory in [".", "/var/lib", "-x", "a b", "it's"] {
                let command = command(Path::new(directory), &recommended).unwrap();
                assert!(
                    recommended.iter().filter_map(|one| one.flag.as_ref()).all(|flag| command.contains(flag))
                );
                assert_eq!(crate::command_lines::rejection(&command), None);
            }
        }
        assert_eq!(command(Path::new("."), &[]), None);
    }

    #[test]
    fn small_disk_and_slow_sync_are_handled() {
        let small_disk = FreeSpace { free_bytes: 160 << 20, ..AMPLE_SPACE };
        let slow = [took(STORE_URING, 8_000_000), took(STORE_BLOCKING, 5_000_000)];
        let names = options("ext4", &small_disk, &slow);
        assert_eq!(names, ["backend", "max_segment_bytes", "max_total_bytes", "commit_delay"]);
        let backend = |measured: &[Measurement]| backend(measured).unwrap().flag.unwrap();
        assert_eq!(backend(&slow), "--backend blocking");
        let with_faster = slow.into_iter().chain([took(STORE_TOKIO_URING, 4_000_000)]).collect::<Vec<_>>();
        assert_eq!(backend(&with_faster), "--backend tokio-uring");
        let slow = with_faster;
        let delay = recommend("ext4", &small_disk, &slow, Some(SyncKind::Dsync)).pop().unwrap();
        assert!(
            delay.option.contains("from_micros(49") || delay.option.contains("from_micros(500"),
            "{delay:?}"
        );
    }
}
