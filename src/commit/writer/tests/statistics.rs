//! The statistics of a store and of the stages of a commit group.

use std::{thread, time::Instant};

use super::*;
use crate::Stats;

fn stats(fixture: &StoreFixture) -> Stats {
    fixture.store.stats()
}

/// Returns the number of values in each histogram.
fn counts(stats: &Stats) -> [(&'static str, u64); 8] {
    stats.histograms().map(|(name, histogram)| (name, histogram.len()))
}

/// Waits until more time has passed than any stage takes by itself. Returns the nanoseconds since `begun`.
fn wait_since(begun: Instant) -> u64 {
    while begun.elapsed() < Duration::from_millis(2) {
        thread::yield_now();
    }
    begun.elapsed().as_nanos().try_into().unwrap()
}

/// Returns whether a value of at least `nanos` was recorded, within the resolution of the histogram.
fn is_at_least(histogram: &hdrhistogram::Histogram<u64>, nanos: u64) -> bool {
    histogram.max() >= histogram.lowest_equivalent(nanos)
}

#[test]
fn acknowledged_append_is_counted_except_notify() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        for number in 1..=20 {
            fixture.append(number).unwrap();
            let Stats { groups, records, durable_seq, .. } = stats(&fixture);
            assert_eq!((groups, records, durable_seq), (number, number, number));
            let stages = counts(&stats(&fixture));
            assert_eq!(stages[..3], [("queue_wait", number), ("encode", number), ("sync", number)]);
            assert_eq!(stages[6..], [("group_records", number), ("group_bytes", number)]);
        }
        finish(fixture.store.close()).unwrap();
        // The writer thread has ended, so the counts are final.
        let expected = ["queue_wait", "encode", "sync", "notify"].map(|name| (name, 20));
        assert_eq!(counts(&stats(&fixture))[..4], expected);
        assert_eq!((stats(&fixture).queue_bytes, stats(&fixture).poisoned), (0, false));
    }
}

#[test]
fn time_is_recorded_in_the_stage_that_took_it() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        let before = stats(&fixture);
        let first = fixture.stall(1);
        let (submitted, second) = (Instant::now(), fixture.submit(&2u64));
        let third = fixture.submit(&3u64);
        let waiting = stats(&fixture).queue_bytes;
        assert!(waiting > 3 * 200, "three appends wait, and have {waiting} bytes");
        let blocked = wait_since(submitted);
        fixture.faults.unblock(Op::Commit);
        assert_eq!([first, second, third].map(|pending| finish(pending).unwrap().seq), [2, 3, 4]);
        finish(fixture.store.close()).unwrap();
        let interval = stats(&fixture).since(&before);
        assert_eq!((interval.groups, interval.records, interval.bytes), (2, 3, 3));
        assert!(is_at_least(&interval.sync, blocked), "the first group's write took that long");
        assert!(is_at_least(&interval.queue_wait, blocked), "the second waited for it");
        assert_eq!((interval.group_records.min(), interval.group_records.max()), (1, 2));
        assert_eq!(interval.notify.len(), 2);
    }
}

#[test]
fn intervals_add_up_independently() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let begin = stats(&fixture);
        let mut last = begin.clone();
        let mut sums = counts(&begin);
        let mut elapsed = Duration::ZERO;
        for batch in 1..=4u64 {
            (0..batch).for_each(|record| fixture.append(record).unwrap());
            let other = stats(&fixture).since(&begin);
            assert_eq!(other.records, (1..=batch).sum::<u64>(), "a second observer");
            // The callers of a group are notified before that is counted. An empty group is handled after that.
            fixture.barrier();
            let now = stats(&fixture);
            let interval = now.since(&last);
            assert_eq!((interval.records, interval.groups), (batch, batch));
            assert_eq!(interval.started, last.started + last.elapsed);
            elapsed += interval.elapsed;
            for (sum, (_, count)) in sums.iter_mut().zip(counts(&interval)) {
                sum.1 += count;
            }
            last = now;
        }
        assert_eq!((sums, elapsed), (counts(&last), last.elapsed - begin.elapsed));
        let nothing = last.since(&last);
        assert!(counts(&nothing).iter().all(|(_, count)| *count == 0) && nothing.records == 0);
        let backwards = begin.since(&last);
        assert_eq!(
            (backwards.records, backwards.queue_wait.len(), backwards.elapsed),
            (0, 0, Duration::ZERO)
        );
    }
}

#[test]
fn rotation_duration_is_recorded() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let rotating = fixture.stall_rotation();
        let started = Instant::now();
        fixture.append(1).unwrap();
        let nanos = wait_since(started);
        fixture.faults.unblock(Op::SyncDir);
        finish(rotating).unwrap();
        let Stats { rotations, rotation, rotation_stall, .. } = stats(&fixture);
        assert_eq!((rotations, rotation.len(), rotation_stall.len()), (1, 1, 1));
        assert!(is_at_least(&rotation, nanos));
        assert!(rotation_stall.max() <= rotation.max(), "the stall is a part of the rotation");
        finish(fixture.store.rotate()).unwrap();
        assert_eq!(stats(&fixture).rotation.len(), 1, "there was nothing to rotate");
    }
}

#[test]
fn rotation_stall_is_measured_separately() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_segment_bytes(1000));
        fixture.append(0).unwrap();
        fixture.barrier();
        fixture.faults.block(Op::SyncDir);
        // Exceeds the limit by more than an eighth: the next group waits for the rotation.
        finish(fixture.store.append(&"x".repeat(2000))).unwrap();
        let waiting = fixture.submit(&1u64);
        fixture.faults.wait_until_blocked(Op::SyncDir);
        wait_since(Instant::now());
        fixture.faults.unblock(Op::SyncDir);
        finish(waiting).unwrap();
        finish(fixture.store.close()).unwrap();
        let stats = stats(&fixture);
        assert_eq!(stats.rotations, stats.rotation.len());
        assert_eq!(stats.rotations, stats.rotation_stall.len());
        assert!(stats.rotation_stall.max() <= stats.rotation.max() && stats.rotation_stall.max() > 0);
    }
}

#[test]
fn appends_committed_individually_are_each_counted() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let [first, small, huge, last] = fixture.submit_more_than_fits();
        finish(first).unwrap();
        finish(small).unwrap();
        assert!(is_storage_full(&finish(huge)));
        finish(last).unwrap();
        finish(fixture.store.close()).unwrap();
        let Stats { records, groups, queue_wait, notify, .. } = stats(&fixture);
        assert_eq!((records, groups, queue_wait.len(), notify.len()), (3, 3, 3, 2));
    }
}

#[test]
fn failed_append_is_not_counted() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        fixture.faults.fail(Op::Commit, 1, Errno::IO);
        assert!(fixture.append(1).is_err());
        let _ = finish(fixture.store.close());
        let stats = stats(&fixture);
        assert_eq!((stats.records, stats.groups, stats.sync.len(), stats.poisoned), (1, 1, 1, true));
    }
}
