//! What a store counts of itself, and of the stages that a group goes through.

use std::{thread, time::Instant};

use super::*;
use crate::Stats;

fn stats(rig: &Rig) -> Stats {
    rig.store.stats()
}

/// How many values are in each histogram.
fn counts(stats: &Stats) -> [(&'static str, u64); 8] {
    stats.histograms().map(|(name, histogram)| (name, histogram.len()))
}

/// Lets more time pass than any stage takes by itself; how many nanoseconds that were.
fn let_pass_since(begun: Instant) -> u64 {
    while begun.elapsed() < Duration::from_millis(2) {
        thread::yield_now();
    }
    begun.elapsed().as_nanos().try_into().unwrap()
}

/// Whether a value of so many nanoseconds, or a greater one, was recorded, as far as the histogram tells them apart.
fn is_at_least(histogram: &hdrhistogram::Histogram<u64>, nanos: u64) -> bool {
    histogram.max() >= histogram.lowest_equivalent(nanos)
}

#[test]
fn an_append_that_returned_is_counted_in_every_stage_but_the_waking() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        for number in 1..=20 {
            rig.append(number).unwrap();
            let Stats { groups, records, durable_seq, .. } = stats(&rig);
            assert_eq!((groups, records, durable_seq), (number, number, number));
            let stages = counts(&stats(&rig));
            assert_eq!(stages[..3], [("queue_wait", number), ("encode", number), ("sync", number)]);
            assert_eq!(stages[6..], [("group_records", number), ("group_bytes", number)]);
        }
        finish(rig.store.close()).unwrap();
        // The writer is gone: nothing is being counted any more.
        let expected = ["queue_wait", "encode", "sync", "notify"].map(|name| (name, 20));
        assert_eq!(counts(&stats(&rig))[..4], expected);
        assert_eq!((stats(&rig).queue_bytes, stats(&rig).poisoned), (0, false));
    }
}

#[test]
fn time_is_counted_in_the_stage_where_it_was_spent() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        let before = stats(&rig);
        let first = rig.stall(1);
        let (lowest_hold, second) = (Instant::now(), rig.submit(&2u64));
        let third = rig.submit(&3u64);
        let waiting = stats(&rig).queue_bytes;
        assert!(waiting > 3 * 200, "three appends wait, and have {waiting} bytes");
        let held = let_pass_since(lowest_hold);
        rig.faults.release(Op::Commit);
        assert_eq!([first, second, third].map(|pending| finish(pending).unwrap().seq), [2, 3, 4]);
        finish(rig.store.close()).unwrap();
        let interval = stats(&rig).since(&before);
        assert_eq!((interval.groups, interval.records, interval.bytes), (2, 3, 3));
        assert!(is_at_least(&interval.sync, held), "the first group's write took that long");
        assert!(is_at_least(&interval.queue_wait, held), "the second waited for it");
        assert_eq!((interval.group_records.min(), interval.group_records.max()), (1, 2));
        assert_eq!(interval.notify.len(), 2);
    }
}

#[test]
fn intervals_add_up_independently() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let begin = stats(&rig);
        let mut last = begin.clone();
        let mut sums = counts(&begin);
        let mut elapsed = Duration::ZERO;
        for batch in 1..=4u64 {
            (0..batch).for_each(|record| rig.append(record).unwrap());
            let other = stats(&rig).since(&begin);
            assert_eq!(other.records, (1..=batch).sum::<u64>(), "an observer of its own");
            // The last group's callers are told before their waking is counted: an empty one comes after that.
            rig.settle();
            let now = stats(&rig);
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
fn a_rotation_is_counted_with_the_time_it_was_under_way() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let rotating = rig.stall_rotation();
        let under_way = Instant::now();
        rig.append(1).unwrap();
        let under_way = let_pass_since(under_way);
        rig.faults.release(Op::SyncDir);
        finish(rotating).unwrap();
        let Stats { rotations, rotation, rotation_stall, .. } = stats(&rig);
        assert_eq!((rotations, rotation.len(), rotation_stall.len()), (1, 1, 1));
        assert!(is_at_least(&rotation, under_way));
        assert!(rotation_stall.max() <= rotation.max(), "what it held up is part of it");
        finish(rig.store.rotate()).unwrap();
        assert_eq!(stats(&rig).rotation.len(), 1, "there was nothing to rotate");
    }
}

#[test]
fn rotation_stall_is_measured_separately() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_segment_bytes(1000));
        rig.append(0).unwrap();
        rig.settle();
        rig.faults.hold(Op::SyncDir);
        // More than an eighth too large: the next group waits for the rotation.
        finish(rig.store.append(&"x".repeat(2000))).unwrap();
        let waiting = rig.submit(&1u64);
        rig.faults.await_held(Op::SyncDir);
        let_pass_since(Instant::now());
        rig.faults.release(Op::SyncDir);
        finish(waiting).unwrap();
        finish(rig.store.close()).unwrap();
        let stats = stats(&rig);
        assert_eq!(stats.rotations, stats.rotation.len());
        assert_eq!(stats.rotations, stats.rotation_stall.len());
        assert!(stats.rotation_stall.max() <= stats.rotation.max() && stats.rotation_stall.max() > 0);
    }
}

#[test]
fn appends_that_a_full_disk_made_groups_of_are_counted_each() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let [first, small, huge, last] = rig.submit_more_than_fits();
        finish(first).unwrap();
        finish(small).unwrap();
        assert!(is_full(&finish(huge)));
        finish(last).unwrap();
        finish(rig.store.close()).unwrap();
        let Stats { records, groups, queue_wait, notify, .. } = stats(&rig);
        assert_eq!((records, groups, queue_wait.len(), notify.len()), (3, 3, 3, 2));
    }
}

#[test]
fn what_is_refused_is_not_counted() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        rig.faults.fail(Op::Commit, 1, Errno::IO);
        assert!(rig.append(1).is_err());
        let _ = finish(rig.store.close());
        let stats = stats(&rig);
        assert_eq!((stats.records, stats.groups, stats.sync.len(), stats.poisoned), (1, 1, 1, true));
    }
}
