//! Decides whether a sync is too fast to be credible. Pure. `docs/reference/doctor.md` explains the bounds.

use ministore_uring::SyncKind;

use super::{
    device::Device,
    file_system::{FsClass, class_of},
    finding::Finding,
    measure::{self, DIRECT, DIRECT_SYNCED, Measurement, SYNCED, UNSYNCED},
};
use crate::units;

const CHECK: &str = "sync";

/// The fastest drives need about ten microseconds for a durable write; no device needs less than half of that.
const NANOS_OF_A_DEVICE_MIN: u64 = 5_000;

/// Half a rotation at 15,000 rpm, the fastest disks.
const NANOS_OF_HALF_A_ROTATION: u64 = 2_000_000;

/// Medians of 4 KiB, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Medians {
    unsynced: u64,
    synced: u64,
    /// With direct I/O, not synced and synced, if supported.
    direct: Option<(u64, u64)>,
}

/// Why a sync is suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SuspiciousSync {
    /// There is no device: the file system is in memory.
    NoDevice,
    /// It takes no longer than the write alone.
    NoOpSync,
    /// Faster than any device.
    FasterThanAnyDevice,
    /// Faster than a rotation of the disk.
    FasterThanRotation,
    /// The device reports a volatile cache, and flushing it takes no time.
    FlushIsNoop,
}

pub(super) fn check(
    measured: &[Measurement],
    device: Option<&Device>,
    kind: &str,
    sync_mode: Option<SyncKind>,
) -> Finding {
    let median = |method| measure::median(measured, method);
    let (Some(unsynced), Some(synced)) = (median(UNSYNCED), median(SYNCED)) else {
        return Finding::note(CHECK, "not measured")
            .detail("it is unknown whether a sync takes as long as a device needs");
    };
    // Direct figures count only if commits use O_DSYNC: other file systems can ignore the flag.
    let direct = median(DIRECT).zip(median(DIRECT_SYNCED)).filter(|_| sync_mode == Some(SyncKind::Dsync));
    let medians = Medians { unsynced, synced, direct };
    let message = format!("{} with fdatasync, {} without", units::nanos(synced), units::nanos(unsynced));
    let suspicion = match class_of(kind) {
        FsClass::Memory => Some(SuspiciousSync::NoDevice),
        _ => suspicion(&medians, device),
    };
    match suspicion {
        Some(suspicion) => describe(suspicion, &message),
        None => Finding::ok(CHECK, format!("{message}: credible for a device")),
    }
}

fn suspicion(medians: &Medians, device: Option<&Device>) -> Option<SuspiciousSync> {
    let Medians { unsynced, synced, direct } = *medians;
    // Only persistent memory can be this fast.
    if device.is_some_and(|device| device.persistent_memory) {
        return None;
    }
    if synced <= unsynced.saturating_add(unsynced / 2) {
        return Some(SuspiciousSync::NoOpSync);
    }
    let fastest = direct.map_or(synced, |(_, durable)| durable.min(synced));
    if fastest < NANOS_OF_A_DEVICE_MIN {
        return Some(SuspiciousSync::FasterThanAnyDevice);
    }
    let device = device?;
    if device.is_rotating() && fastest < NANOS_OF_HALF_A_ROTATION {
        return Some(SuspiciousSync::FasterThanRotation);
    }
    let flush_is_free = direct.is_some_and(|(plain, durable)| durable <= plain.saturating_add(plain / 10));
    (device.volatile_cache == Some(true) && flush_is_free).then_some(SuspiciousSync::FlushIsNoop)
}

fn describe(suspicion: SuspiciousSync, message: &str) -> Finding {
    let warning = |reason: &str| Finding::warning(CHECK, format!("{message}: {reason}"));
    match suspicion {
        SuspiciousSync::NoDevice => warning("too fast for a device, and there is none")
            .detail("a sync of a file system in memory does nothing"),
        SuspiciousSync::NoOpSync => warning("no longer than without, so that the sync seems to be ignored")
            .detail("a file system or host that ignores syncs loses acknowledged records in a power failure")
            .remedy("check the mount options, the settings of the file system, and the cache mode of the host for this disk"),
        SuspiciousSync::FasterThanAnyDevice => warning("too fast for any device except persistent memory")
            .detail("a cache that ignores flushes loses acknowledged records in a power failure")
            .remedy("check the cache mode of the host for this disk, or the cache of the controller and its battery"),
        SuspiciousSync::FasterThanRotation => warning("faster than half a rotation of the disk")
            .detail("either it does not rotate (some controllers report solid-state drives as rotating), or a cache responds: a controller cache with a battery is safe, the cache of the drive is not")
            .remedy("check the drive and the battery, or turn the write cache of the drive off (`hdparm -W 0`)"),
        SuspiciousSync::FlushIsNoop => Finding::note(CHECK, format!("{message}; with direct I/O a sync costs nothing extra"))
            .detail("the device reports a volatile cache, and flushing it takes no time: either it has power-loss protection, or the flush is ignored")
            .remedy("check the data sheet of the drive for power-loss protection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    fn medians(unsynced: u64, synced: u64, direct: Option<(u64, u64)>) -> Medians {
        Medians { unsynced, synced, direct }
    }

    fn disk(rotational: bool, emulated: bool) -> Device {
        Device { volatile_cache: Some(true), rotational: Some(rotational), emulated, ..Device::default() }
    }

    #[test]
    fn free_sync_is_suspicious_on_any_device() {
        let figures = medians(400, 500, None);
        assert_eq!(suspicion(&figures, None), Some(SuspiciousSync::NoOpSync));
        assert_eq!(
            suspicion(&medians(30_000, 40_000, None), Some(&disk(false, true))),
            Some(SuspiciousSync::NoOpSync)
        );
        assert_eq!(suspicion(&figures, Some(&Device { persistent_memory: true, ..Device::default() })), None);
    }

    #[test]
    fn sync_below_5_microseconds_is_suspicious() {
        assert_eq!(suspicion(&medians(800, 4_000, None), None), Some(SuspiciousSync::FasterThanAnyDevice));
        assert_eq!(
            suspicion(&medians(800, 9_000, Some((2_000, 4_000))), None),
            Some(SuspiciousSync::FasterThanAnyDevice)
        );
        // Drives with power-loss protection respond in 10 to 30 µs.
        assert_eq!(suspicion(&medians(800, 14_000, Some((9_000, 11_000))), None), None);
    }

    #[test]
    fn sync_faster_than_rotation_is_suspicious() {
        let figures = medians(2_000, 150_000, None);
        assert_eq!(suspicion(&figures, Some(&disk(true, false))), Some(SuspiciousSync::FasterThanRotation));
        assert_eq!(
            suspicion(&figures, Some(&disk(true, true))),
            None,
            "an emulated one only claims to rotate"
        );
        assert_eq!(suspicion(&figures, Some(&disk(false, false))), None);
        assert_eq!(suspicion(&medians(2_000, 8_300_000, None), Some(&disk(true, false))), None);
    }

    #[test]
    fn free_flush_of_volatile_cache_is_a_note() {
        let figures = medians(800, 30_000, Some((20_000, 21_000)));
        assert_eq!(suspicion(&figures, Some(&disk(false, false))), Some(SuspiciousSync::FlushIsNoop));
        assert_eq!(describe(SuspiciousSync::FlushIsNoop, "").level, Level::Note);
        let honest = Device { volatile_cache: Some(false), ..disk(false, false) };
        assert_eq!(suspicion(&figures, Some(&honest)), None);
        let flushed = medians(800, 600_000, Some((20_000, 500_000)));
        assert_eq!(suspicion(&flushed, Some(&disk(false, false))), None);
    }

    #[test]
    fn no_measurement_is_a_note() {
        assert_eq!(describe(SuspiciousSync::NoDevice, "").level, Level::Warning);
        assert_eq!(check(&[], None, "ext4", Some(SyncKind::Dsync)).level, Level::Note);
    }
}
