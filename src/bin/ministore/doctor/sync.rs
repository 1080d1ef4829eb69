//! Owns the rule that says when a sync is too fast to be true. Pure. `docs/doctor.md` says where its bounds are from.

use ministore_uring::SyncKind;

use super::{
    device::Device,
    file_system::{Nature, nature},
    finding::Finding,
    measure::{self, DIRECT, DIRECT_SYNCED, Measured, SYNCED, UNSYNCED},
};
use crate::units;

const CHECK: &str = "sync";

/// The fastest drives take some ten microseconds for a durable write; half of that is no device's answer.
const NANOS_OF_A_DEVICE_MIN: u64 = 5_000;

/// Half a turn at 15,000 a minute, the fastest that were built.
const NANOS_OF_HALF_A_TURN: u64 = 2_000_000;

/// Medians of 4 KiB, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Medians {
    unsynced: u64,
    synced: u64,
    /// Past the page cache, not synced and synced, where that is possible.
    direct: Option<(u64, u64)>,
}

/// Why a sync is not believed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// There is no device: it is a file system in memory.
    NobodyToAsk,
    /// It takes no longer than the write alone.
    CostsNothing,
    /// No device answers so soon.
    SoonerThanDevices,
    /// The disk has not turned meanwhile.
    SoonerThanTurns,
    /// The device says that it has a volatile cache, and flushing it takes no time.
    FlushIsFree,
}

pub(super) fn check(
    measured: &[Measured],
    device: Option<&Device>,
    kind: &str,
    sync_mode: Option<SyncKind>,
) -> Finding {
    let median = |way| measure::median(measured, way);
    let (Some(unsynced), Some(synced)) = (median(UNSYNCED), median(SYNCED)) else {
        return Finding::note(CHECK, "not measured")
            .why("whether a sync takes as long as a device needs could not be seen");
    };
    // Only what commits rely on is judged: elsewhere a write with O_DSYNC may be fast because it is not synced.
    let direct = median(DIRECT).zip(median(DIRECT_SYNCED)).filter(|_| sync_mode == Some(SyncKind::Dsync));
    let medians = Medians { unsynced, synced, direct };
    let found = format!("{} with fdatasync, {} without", units::nanos(synced), units::nanos(unsynced));
    let doubt = match nature(kind) {
        Nature::Memory => Some(Doubt::NobodyToAsk),
        _ => doubt(&medians, device),
    };
    match doubt {
        Some(doubt) => told(doubt, &found),
        None => Finding::ok(CHECK, format!("{found}: as long as a device may need")),
    }
}

fn doubt(medians: &Medians, device: Option<&Device>) -> Option<Doubt> {
    let Medians { unsynced, synced, direct } = *medians;
    // Persistent memory is the one thing that may well be so fast.
    if device.is_some_and(|device| device.persistent_memory) {
        return None;
    }
    if synced <= unsynced.saturating_add(unsynced / 2) {
        return Some(Doubt::CostsNothing);
    }
    let fastest = direct.map_or(synced, |(_, durable)| durable.min(synced));
    if fastest < NANOS_OF_A_DEVICE_MIN {
        return Some(Doubt::SoonerThanDevices);
    }
    let device = device?;
    if device.turns() && fastest < NANOS_OF_HALF_A_TURN {
        return Some(Doubt::SoonerThanTurns);
    }
    let flush_is_free = direct.is_some_and(|(plain, durable)| durable <= plain.saturating_add(plain / 10));
    (device.volatile_cache == Some(true) && flush_is_free).then_some(Doubt::FlushIsFree)
}

fn told(doubt: Doubt, found: &str) -> Finding {
    let warning = |says: &str| Finding::warning(CHECK, format!("{found}: {says}"));
    match doubt {
        Doubt::NobodyToAsk => warning("too fast to be a device's, and there is none")
            .why("a sync of a file system in memory has nothing to do"),
        Doubt::CostsNothing => warning("no longer than without, so that nobody seems to have asked a device")
            .why("a file system or a host that ignores syncs loses in a power cut what was acknowledged")
            .advice("find out who answers: mount options, the file system's own settings, the host's cache mode for this disk"),
        Doubt::SoonerThanDevices => warning("too fast for any device that is not persistent memory")
            .why("a cache that ignores flushes loses in a power cut what was acknowledged")
            .advice("find out who answers: the host's cache mode for this disk, or the controller's cache and its battery"),
        Doubt::SoonerThanTurns => warning("sooner than a rotating disk comes round")
            .why("either nothing turns (some controllers say so of solid-state drives), or a cache answers: a controller's with a battery keeps it, the drive's own loses it in a power cut")
            .advice("be sure of drive and battery, or turn the drive's write cache off (`hdparm -W 0`)"),
        Doubt::FlushIsFree => Finding::note(CHECK, format!("{found}; past the page cache a sync costs nothing on top"))
            .why("the device says that its cache is volatile, and flushing it takes no time: capacitors, or a flush that is ignored")
            .advice("the drive's data sheet: power-loss protection"),
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
    fn a_sync_that_costs_nothing_is_doubted_on_whatever_it_stands() {
        let figures = medians(400, 500, None);
        assert_eq!(doubt(&figures, None), Some(Doubt::CostsNothing));
        assert_eq!(
            doubt(&medians(30_000, 40_000, None), Some(&disk(false, true))),
            Some(Doubt::CostsNothing)
        );
        assert_eq!(doubt(&figures, Some(&Device { persistent_memory: true, ..Device::default() })), None);
    }

    #[test]
    fn no_device_answers_within_five_microseconds() {
        assert_eq!(doubt(&medians(800, 4_000, None), None), Some(Doubt::SoonerThanDevices));
        assert_eq!(doubt(&medians(800, 9_000, Some((2_000, 4_000))), None), Some(Doubt::SoonerThanDevices));
        // Drives that keep their cache through a power cut answer in 10 to 30 µs.
        assert_eq!(doubt(&medians(800, 14_000, Some((9_000, 11_000))), None), None);
    }

    #[test]
    fn a_disk_that_turns_cannot_do_more_than_its_turns() {
        let figures = medians(2_000, 150_000, None);
        assert_eq!(doubt(&figures, Some(&disk(true, false))), Some(Doubt::SoonerThanTurns));
        assert_eq!(doubt(&figures, Some(&disk(true, true))), None, "an emulated one says so without turning");
        assert_eq!(doubt(&figures, Some(&disk(false, false))), None);
        assert_eq!(doubt(&medians(2_000, 8_300_000, None), Some(&disk(true, false))), None);
    }

    #[test]
    fn a_flush_that_is_free_is_a_note_where_the_cache_is_said_to_be_volatile() {
        let figures = medians(800, 30_000, Some((20_000, 21_000)));
        assert_eq!(doubt(&figures, Some(&disk(false, false))), Some(Doubt::FlushIsFree));
        assert_eq!(told(Doubt::FlushIsFree, "").level, Level::Note);
        let honest = Device { volatile_cache: Some(false), ..disk(false, false) };
        assert_eq!(doubt(&figures, Some(&honest)), None);
        let flushed = medians(800, 600_000, Some((20_000, 500_000)));
        assert_eq!(doubt(&flushed, Some(&disk(false, false))), None);
    }

    #[test]
    fn nothing_measured_is_nothing_said() {
        assert_eq!(told(Doubt::NobodyToAsk, "").level, Level::Warning);
        assert_eq!(check(&[], None, "ext4", Some(SyncKind::Dsync)).level, Level::Note);
    }
}
