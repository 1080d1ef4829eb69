//! The policy, checked against a second formulation on generated small journals.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// A rotated segment.
#[derive(Debug, Clone, Copy)]
struct SegmentCase {
    records: u64,
    bytes: u64,
    age: u64,
    /// Whether the next segment stores its first sequence number.
    end_is_known: bool,
}

/// Returns the first sequence numbers of the segments and of the active one, starting at 1.
fn firsts(segments: &[SegmentCase]) -> Vec<u64> {
    let mut first = 1;
    let mut firsts = vec![first];
    for segment in segments {
        first += segment.records;
        firsts.push(first);
    }
    firsts
}

/// Deletes the oldest segment until the policy keeps it, as the background thread does.
fn deleted(policy: &RetentionPolicy, segments: &[SegmentCase], active_bytes: u64) -> Vec<DeleteReason> {
    let firsts = firsts(segments);
    let mut size = JournalSize {
        segments: segments.len() + 1,
        bytes: active_bytes + segments.iter().map(|segment| segment.bytes).sum::<u64>(),
    };
    let mut deleted = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let end = segment.end_is_known.then(|| firsts[index + 1]);
        let oldest = OldestSegment { first: firsts[index], end, age: Some(Duration::from_secs(segment.age)) };
        let Some(reason) = policy.delete_reason(size, &oldest) else { break };
        deleted.push(reason);
        size = JournalSize { segments: size.segments - 1, bytes: size.bytes - segment.bytes };
    }
    deleted
}

/// Computes the same at once: as many segments as the most demanding limit wants, up to the first one that is held.
fn expected(policy: &RetentionPolicy, segments: &[SegmentCase], active_bytes: u64) -> usize {
    let RetentionPolicy { limits, trimmed_before, lowest_hold } = *policy;
    let ends = &firsts(segments)[1..];
    let bytes_from =
        |count: usize| active_bytes + segments[count..].iter().map(|segment| segment.bytes).sum::<u64>();
    let may_delete = |index: usize| {
        lowest_hold == u64::MAX || (segments[index].end_is_known && ends[index] <= lowest_hold)
    };
    let wanted = |index: usize| {
        segments.len() + 1 - index > limits.max_segments
            || bytes_from(index) > limits.max_total_bytes
            || segments[index].age > limits.max_age.as_secs()
            || (segments[index].end_is_known && ends[index] <= trimmed_before)
    };
    (0..segments.len()).take_while(|&index| wanted(index) && may_delete(index)).count()
}

fn segment() -> impl Strategy<Value = SegmentCase> {
    (1..4_u64, 1..5_u64, 0..4_u64, prop::bool::weighted(0.8))
        .prop_map(|(records, bytes, age, end_is_known)| SegmentCase { records, bytes, age, end_is_known })
}

fn policy() -> impl Strategy<Value = RetentionPolicy> {
    let limits = (
        prop_oneof![Just(usize::MAX), 1..6_usize],
        prop_oneof![Just(u64::MAX), 1..20_u64],
        prop_oneof![Just(Duration::MAX), (1..4_u64).prop_map(Duration::from_secs)],
    );
    let limits = limits.prop_map(|(max_segments, max_total_bytes, max_age)| RetentionLimits {
        max_segments,
        max_total_bytes,
        max_age,
    });
    (limits, prop_oneof![Just(0), 0..20_u64], prop_oneof![Just(u64::MAX), 0..20_u64]).prop_map(
        |(limits, trimmed_before, lowest_hold)| RetentionPolicy { limits, trimmed_before, lowest_hold },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn oldest_unheld_segments_are_selected(
        policy in policy(),
        segments in prop::collection::vec(segment(), 0..6),
        active_bytes in 0..5_u64,
    ) {
        let deleted = deleted(&policy, &segments, active_bytes);
        prop_assert_eq!(deleted.len(), expected(&policy, &segments, active_bytes));
    }

    #[test]
    fn held_records_are_never_deleted(
        policy in policy(),
        segments in prop::collection::vec(segment(), 0..6),
    ) {
        let count = deleted(&policy, &segments, 1).len();
        prop_assert!(count == 0 || firsts(&segments)[count] <= policy.lowest_hold);
    }
}

const KEEP: RetentionLimits =
    RetentionLimits { max_segments: usize::MAX, max_total_bytes: u64::MAX, max_age: Duration::MAX };

/// Three segments of ten records, oldest first.
const THREE: [SegmentCase; 3] = [
    SegmentCase { records: 10, bytes: 5, age: 30, end_is_known: true },
    SegmentCase { records: 10, bytes: 5, age: 20, end_is_known: true },
    SegmentCase { records: 10, bytes: 5, age: 10, end_is_known: true },
];

#[test]
fn no_limits_keep_every_segment() {
    let policy = RetentionPolicy { limits: KEEP, trimmed_before: 0, lowest_hold: u64::MAX };
    assert_eq!(deleted(&policy, &THREE, 5), []);
}

#[test]
fn each_limit_reports_its_reason() {
    let of = |limits, trimmed_before| RetentionPolicy { limits, trimmed_before, lowest_hold: u64::MAX };
    assert_eq!(deleted(&of(KEEP, 21), &THREE, 5), [DeleteReason::Trimmed; 2]);
    assert_eq!(deleted(&of(KEEP, 20), &THREE, 5), [DeleteReason::Trimmed; 1]);
    assert_eq!(
        deleted(&of(RetentionLimits { max_segments: 2, ..KEEP }, 0), &THREE, 5),
        [DeleteReason::Count; 2]
    );
    assert_eq!(
        deleted(&of(RetentionLimits { max_total_bytes: 12, ..KEEP }, 0), &THREE, 5),
        [DeleteReason::Bytes; 2]
    );
    assert_eq!(
        deleted(&of(RetentionLimits { max_age: Duration::from_secs(20), ..KEEP }, 0), &THREE, 5),
        [DeleteReason::Age]
    );
    let first_trimmed = of(RetentionLimits { max_segments: 1, ..KEEP }, 11);
    assert_eq!(
        deleted(&first_trimmed, &THREE, 5),
        [DeleteReason::Trimmed, DeleteReason::Count, DeleteReason::Count]
    );
}

#[test]
fn hold_overrides_every_rule() {
    let limits = RetentionLimits { max_segments: 1, max_total_bytes: 1, max_age: Duration::from_secs(1) };
    for (lowest_hold, count) in [(0, 0), (1, 0), (10, 0), (11, 1), (20, 1), (21, 2), (31, 3), (u64::MAX, 3)] {
        let policy = RetentionPolicy { limits, trimmed_before: 1000, lowest_hold };
        assert_eq!(deleted(&policy, &THREE, 5).len(), count, "held from {lowest_hold}");
    }
}

#[test]
fn segment_with_unknown_end_is_held() {
    let unknown = THREE.map(|segment| SegmentCase { end_is_known: false, ..segment });
    let one_left = RetentionLimits { max_segments: 1, ..KEEP };
    let policy = RetentionPolicy { limits: KEEP, trimmed_before: 1000, lowest_hold: u64::MAX };
    assert_eq!(deleted(&policy, &unknown, 5), []);
    let policy = RetentionPolicy { limits: one_left, trimmed_before: 0, lowest_hold: 1000 };
    assert_eq!(deleted(&policy, &unknown, 5), []);
    let policy = RetentionPolicy { limits: one_left, trimmed_before: 0, lowest_hold: u64::MAX };
    assert_eq!(deleted(&policy, &unknown, 5), [DeleteReason::Count; 3]);
}

/// Years after 1970.
fn stamp(years: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(years * 365.25 * 86400.0)
}

#[test]
fn implausible_stamp_is_replaced_by_a_later_one() {
    let now = stamp(57.0);
    for (stamps, years) in [
        (&[56.0, 56.5][..], Some(1.0)),
        // From the future, and from a clock that was not set.
        (&[58.0, 56.5, 56.9], Some(0.5)),
        (&[10.0, 56.5, 56.9], Some(0.5)),
        (&[0.0, 99.0, 10.0, 56.9], Some(0.1)),
        (&[10.0, 10.1], None),
        (&[58.0], None),
        (&[], None),
    ] {
        let found = stamps.iter().map(|years| Ok::<_, ()>(Some(stamp(*years))));
        let age = age_of_oldest(found, now).unwrap().map(|age| (age.as_secs_f64() / 365.25 / 8640.0).round());
        assert_eq!(age, years.map(|years| years * 10.0), "{stamps:?}");
    }
    assert_eq!(plausible_age(stamp(1.0), stamp(1.5)), Some(stamp(0.5).duration_since(stamp(0.0)).unwrap()));
}
