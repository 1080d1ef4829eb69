#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    io,
    path::PathBuf,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{
    group::{COPY_THRESHOLD_BYTES, RETAINED_CAPACITY_BYTES},
    *,
};
use crate::{
    JournalOptions, MiniStoreError, commit::inner::StoreInner, format::LF, journal::fork::ForkGuard,
};

/// A test that waits longer than this hangs.
const HANG: Duration = Duration::from_secs(60);

/// A full group.
const FULL_BYTES: u64 = 1 << 20;

/// Both ends of a queue.
struct Ends {
    queue: Arc<CommitQueue>,
    receiver: Option<QueueReceiver>,
}

impl Ends {
    fn new(permits: u32, group_bytes_max: u64) -> Self {
        let queue = Arc::new(CommitQueue::new(status(), permits, group_bytes_max, u64::MAX));
        let receiver = QueueReceiver::new(Arc::clone(&queue), Duration::ZERO);
        Self { queue, receiver: Some(receiver) }
    }

    fn inner(&self) -> StoreInner {
        StoreInner { status: Arc::clone(self.queue.status()), queue: Arc::clone(&self.queue) }
    }

    fn receiver(&self) -> &QueueReceiver {
        self.receiver.as_ref().unwrap()
    }

    fn submit(&self, bytes: usize) -> PendingCommit {
        self.append(queued(line(bytes), u32::try_from(bytes).unwrap()))
    }

    fn append(&self, mut queued: QueuedAppend) -> PendingCommit {
        self.queue.try_append(&mut queued).unwrap().expect("there is capacity")
    }

    /// Appends a line that finds no capacity.
    fn wait(&self, bytes: usize) -> Waiting<'_> {
        self.wait_with(queued(line(bytes), u32::try_from(bytes).unwrap()))
    }

    fn wait_with(&self, mut queued: QueuedAppend) -> Waiting<'_> {
        match self.queue.append(&mut queued) {
            Ok(Appended::Waiting(waiting)) => waiting,
            other => panic!("it does not wait: {other:?}"),
        }
    }

    /// Commits the oldest group.
    fn commit(&self, first_seq: u64) {
        self.receiver().complete(self.group(), GroupOutcome::Durable(committed(first_seq)));
    }

    fn poll(&self) -> Option<Recv> {
        self.receiver().poll()
    }

    fn group(&self) -> Group {
        match self.poll() {
            Some(Recv::Command(Command::Commit(group))) => group,
            other => panic!("not a group: {other:?}"),
        }
    }
}

fn status() -> Arc<StoreStatus> {
    let (path, process) = (PathBuf::from("j"), ForkGuard::current().unwrap());
    Arc::new(StoreStatus::new(path, process, &JournalOptions::new(), true).unwrap())
}

/// A group that is in no queue.
fn group_on(buffers: GroupBuffers) -> Group {
    Group::with_buffers(buffers, FULL_BYTES, status())
}

fn line(bytes: usize) -> Payload {
    Payload::Vec(vec![b'1'; bytes])
}

fn queued(lines: Payload, permits: u32) -> QueuedAppend {
    QueuedAppend { permits, ..QueuedAppend::new(lines, 1) }
}

/// A group whose first record gets this number, and whose lines begin at 1,000.
fn committed(seq: u64) -> CommitInfo {
    let now = Instant::now();
    CommitInfo {
        seq,
        offset: 1000,
        segment_first_seq: 1,
        group_records: 2,
        group_bytes: 3,
        taken: now,
        durable: now,
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

fn panics() -> Waker {
    Waker::from(Arc::new(Panics))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

fn now<F: Future + Unpin>(mut future: F) -> F::Output {
    match poll(&mut future, Waker::noop()) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it is not known"),
    }
}

/// Lines as callers hand them over: how many, and how long each.
fn appends() -> impl Strategy<Value = Vec<(Bytes, u64)>> {
    let lens = prop_oneof![
        3 => vec(1_usize..40, 0..4),
        1 => vec(COPY_THRESHOLD_BYTES - 2..COPY_THRESHOLD_BYTES + 3, 1..2),
        1 => vec(COPY_THRESHOLD_BYTES / 2 - 2..COPY_THRESHOLD_BYTES / 2 + 3, 1..4),
    ];
    let lines = (lens, any::<u8>()).prop_map(|(lens, seed)| {
        let line = |(at, len): (usize, &usize)| vec![b'a' + (seed.wrapping_add(at as u8) % 26); *len];
        let lines: Vec<_> = lens.iter().enumerate().map(line).collect();
        (Bytes::from(lines.join(&LF)), lines.len() as u64)
    });
    vec(lines, 0..12)
}

fn group_of(appends: &[(Bytes, u64)], buffers: GroupBuffers) -> Group {
    let mut group = group_on(buffers);
    for (at, (bytes, records)) in appends.iter().enumerate() {
        let lines = if at % 2 == 0 { Payload::Bytes(bytes.clone()) } else { Payload::Vec(bytes.to_vec()) };
        group.add(&mut QueuedAppend { records: *records, ..queued(lines, 10) });
    }
    group
}

fn agrees_with_what_was_added(group: &mut Group, appends: &[(Bytes, u64)]) -> Result<(), TestCaseError> {
    let written: Vec<_> =
        appends.iter().filter(|(_, records)| *records > 0).map(|(bytes, _)| &bytes[..]).collect();
    let json = |(bytes, records): &(Bytes, u64)| bytes.len() as u64 - records.saturating_sub(1);
    let each = appends.iter().map(|append| (&append.0[..], append.1, json(append)));
    prop_assert_eq!(group.pieces().collect::<Vec<_>>().join(&LF), written.join(&LF));
    prop_assert!(group.each().eq(each));
    prop_assert_eq!(group.appends(), appends.len());
    prop_assert_eq!(group.records(), appends.iter().map(|append| append.1).sum::<u64>());
    prop_assert_eq!(group.bytes(), appends.iter().map(|append| append.0.len() as u64).sum::<u64>());
    prop_assert_eq!(group.json_bytes(), appends.iter().map(json).sum::<u64>());
    prop_assert_eq!(group.take_permits(), 10 * appends.len() as u64);
    prop_assert_eq!(group.take_permits(), 0, "room is given back once");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// In new memory and in that of another group.
    #[test]
    fn a_group_gives_what_was_added_to_it(first in appends(), second in appends()) {
        let mut group = group_of(&first, GroupBuffers::default());
        agrees_with_what_was_added(&mut group, &first)?;
        let mut group = group_of(&second, group.take_buffers());
        agrees_with_what_was_added(&mut group, &second)?;
    }

    #[test]
    fn each_slot_gets_its_first_seq(appends in appends(), first in 1_u64..1 << 60) {
        let mut group = group_on(GroupBuffers::default());
        let places: Vec<_> = appends
            .iter()
            .map(|(bytes, records)| {
                let lines = Payload::Bytes(bytes.clone());
                group.add(&mut QueuedAppend { records: *records, ..queued(lines, 0) })
            })
            .collect();
        prop_assert!(places.iter().all(|slot| slot.fate().is_none()));
        group.complete(GroupOutcome::Durable(committed(first)));
        let (mut next, mut offset) = (first, 1000);
        for (slot, (bytes, records)) in places.iter().zip(&appends) {
            let Some(AppendOutcome::Durable(told)) = slot.fate() else { panic!("it is not known") };
            prop_assert_eq!((told.seq, told.offset), (next, offset));
            next += records;
            offset += if *records > 0 { bytes.len() as u64 + 1 } else { 0 };
        }
    }
}

#[test]
fn appends_committed_alone_get_separate_outcomes() {
    let ends = Ends::new(100, 100);
    let [written, no_room, refused, left_out] = [1, 2, 3, 4].map(|bytes| ends.submit(bytes));
    let full = Arc::new(io::Error::from(io::ErrorKind::StorageFull));
    let fates =
        vec![AppendOutcome::Durable(committed(7)), AppendOutcome::StorageFull(full), AppendOutcome::Refused];
    ends.receiver().complete(ends.group(), GroupOutcome::Each(fates));
    assert!(matches!(now(written), Ok(CommitInfo { seq: 7, .. })));
    assert!(matches!(now(no_room), Err(MiniStoreError::StorageFull { .. })));
    assert!(matches!(now(refused), Err(MiniStoreError::WriterPanicked)));
    assert!(
        matches!(now(left_out), Err(MiniStoreError::WriterPanicked)),
        "nobody is told of a number that is not there"
    );
}

#[test]
fn the_first_verdict_is_the_one() {
    let mut group = group_on(GroupBuffers::default());
    let slot = group.add(&mut queued(line(1), 0));
    group.complete(GroupOutcome::Durable(committed(5)));
    group.complete(GroupOutcome::Refused);
    drop(group);
    assert!(matches!(slot.fate(), Some(AppendOutcome::Durable(told)) if told.seq == 5));
}

#[test]
fn last_registered_waker_is_woken_once() {
    let ends = Ends::new(100, 100);
    let mut pending = ends.submit(1);
    let (first, last) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    assert!(poll(&mut pending, &Waker::from(Arc::clone(&first))).is_pending());
    for _ in 0..2 {
        assert!(poll(&mut pending, &Waker::from(Arc::clone(&last))).is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 1, "the waker that was replaced is kept");
    ends.receiver().complete(ends.group(), GroupOutcome::Durable(committed(1)));
    assert_eq!((first.0.load(SeqCst), last.0.load(SeqCst)), (0, 1));
    assert_eq!(Arc::strong_count(&last), 1, "the waker is kept after it was woken");
    assert!(matches!(now(pending), Ok(CommitInfo { seq: 1, .. })));
}

#[test]
fn panicking_waker_does_not_stop_other_wakers() {
    let ends = Ends::new(100, 100);
    let mut pending = [1, 2, 3, 4].map(|bytes| ends.submit(bytes));
    let woken = Arc::new(Woken::default());
    let counts = Waker::from(Arc::clone(&woken));
    for (at, pending) in pending.iter_mut().enumerate() {
        let waker = if at % 2 == 0 { panics() } else { counts.clone() };
        assert!(poll(pending, &waker).is_pending());
    }
    ends.receiver().complete(ends.group(), GroupOutcome::Durable(committed(1)));
    assert_eq!(woken.0.load(SeqCst), 2);
    assert_eq!(pending.map(|pending| now(pending).unwrap().seq), [1, 2, 3, 4]);
}

#[test]
fn panicking_waker_does_not_stop_acceptance() {
    let ends = Ends::new(4, 100);
    let all = ends.submit(4);
    let mut waiting = [1, 1, 1].map(|bytes| ends.wait(bytes));
    let woken = Arc::new(Woken::default());
    let counts = Waker::from(Arc::clone(&woken));
    for (at, append) in waiting.iter_mut().enumerate() {
        assert!(poll(append, &if at == 0 { panics() } else { counts.clone() }).is_pending());
    }
    ends.commit(1);
    assert!(matches!(now(all), Ok(CommitInfo { seq: 1, .. })));
    assert_eq!(woken.0.load(SeqCst), 2);
    let pending = waiting.map(|append| now(append).unwrap());
    ends.commit(2);
    assert_eq!(pending.map(|pending| now(pending).unwrap().seq), [2, 3, 4]);
    assert_eq!(ends.queue.used_bytes(), 0);
}

#[test]
fn waiting_appends_are_accepted_without_a_poll() {
    let ends = Ends::new(10, 100);
    drop(ends.submit(8));
    let mut waiting = [3, 1, 7, 1].map(|bytes| ends.wait(bytes));
    assert!(ends.queue.try_append(&mut queued(line(1), 1)).unwrap().is_none());
    ends.commit(1);
    assert_eq!(ends.queue.used_bytes(), 4, "the third does not fit, and the fourth does not overtake it");
    assert!(poll(&mut waiting[3], Waker::noop()).is_pending());
    ends.commit(2);
    ends.commit(4);
    assert_eq!(waiting.map(|append| now(now(append).unwrap()).unwrap().seq), [2, 3, 4, 5]);
    assert_eq!(ends.queue.used_bytes(), 0);
    drop(ends.submit(10));
}

#[test]
fn dropped_waiting_append_is_not_written() {
    let ends = Ends::new(10, 100);
    drop(ends.submit(8));
    let [first, second, third, fourth] = [9, 9, 1, 1].map(|bytes| ends.wait(bytes));
    drop(second);
    assert_eq!(ends.queue.used_bytes(), 8);
    drop(first);
    assert_eq!(ends.queue.used_bytes(), 10, "the next ones fit");
    assert_eq!(ends.group().bytes(), 10);
    let pending = now(third).unwrap();
    drop(fourth);
    assert!(matches!(now(pending), Err(MiniStoreError::WriterPanicked)), "its group was dropped");
}

#[test]
fn many_waiting_appends_are_accepted_in_order() {
    let count = 3 * ACCEPTED_APPENDS_PER_LOCK + 1;
    let ends = Ends::new(u32::try_from(count).unwrap(), u64::MAX);
    drop(ends.submit(count));
    let large = ACCEPTED_BYTES_PER_LOCK / 3;
    let waiting: Vec<_> =
        (0..count).map(|at| ends.wait_with(queued(line(if at % 7 == 0 { large } else { 1 }), 1))).collect();
    ends.commit(1);
    assert_eq!(ends.group().appends(), count);
    for (at, append) in waiting.into_iter().enumerate() {
        drop((at, now(append).unwrap()));
    }
}

#[test]
fn last_waker_of_waiting_append_is_woken_once() {
    let ends = Ends::new(1, 100);
    drop(ends.submit(1));
    let mut waiting = ends.wait(1);
    let (first, last) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    assert!(poll(&mut waiting, &Waker::from(Arc::clone(&first))).is_pending());
    assert!(poll(&mut waiting, &Waker::from(Arc::clone(&last))).is_pending());
    assert_eq!(Arc::strong_count(&first), 1, "the replaced waker is kept");
    ends.commit(1);
    assert_eq!((first.0.load(SeqCst), last.0.load(SeqCst)), (0, 1));
    assert_eq!(Arc::strong_count(&last), 1, "the waker is kept after it was woken");
    drop(now(waiting).unwrap());
}

#[test]
fn closing_rejects_waiting_appends_and_later_ones() {
    let ends = Ends::new(1, 100);
    drop(ends.submit(1));
    let (mut waiting, unpolled) = (ends.wait(1), ends.wait(1));
    let woken = Arc::new(Woken::default());
    assert!(poll(&mut waiting, &Waker::from(Arc::clone(&woken))).is_pending());
    ends.inner().poison(io::Error::other("on purpose"));
    assert_eq!(woken.0.load(SeqCst), 1);
    ends.commit(1);
    assert_eq!(ends.queue.used_bytes(), 0);
    for waiting in [waiting, unpolled] {
        assert!(matches!(now(waiting), Err(MiniStoreError::Poisoned { .. })));
    }
    assert!(ends.queue.append(&mut queued(line(1), 1)).is_err());
    assert!(ends.queue.try_append(&mut queued(line(1), 1)).is_err());
}

#[test]
fn a_group_is_full_when_it_holds_so_many_bytes() {
    let ends = Ends::new(1000, 10);
    for bytes in [9, 5, 10, 1, 8, 1, 1, 30] {
        drop(ends.submit(bytes));
    }
    let groups = std::iter::from_fn(|| match ends.poll()? {
        Recv::Command(Command::Commit(group)) => Some((group.appends(), group.bytes())),
        other => panic!("not a group: {other:?}"),
    });
    assert_eq!(groups.collect::<Vec<_>>(), [(2, 14), (1, 10), (3, 10), (2, 31)]);
}

#[test]
fn a_request_ends_the_group_before_it() {
    let ends = Ends::new(100, 100);
    let (done, _told) = oneshot::channel();
    drop((ends.submit(1), ends.submit(2)));
    ends.queue.control(Command::Rotate(done)).unwrap();
    drop(ends.submit(4));
    ends.queue.wake_writer();
    ends.queue.disconnect();
    assert_eq!(ends.group().bytes(), 3);
    assert!(matches!(ends.poll(), Some(Recv::Command(Command::Rotate(_)))));
    assert_eq!(ends.group().bytes(), 4);
    assert!(matches!(ends.poll(), Some(Recv::Wakeup)), "after what was asked for");
    assert!(matches!(ends.poll(), Some(Recv::Disconnected)), "when nothing is left");
}

#[test]
fn nothing_is_taken_after_the_end_and_what_was_taken_comes_out() {
    let ends = Ends::new(100, 100);
    drop(ends.submit(1));
    assert_eq!(ends.receiver().end().len(), 1);
    assert!(ends.queue.append(&mut queued(line(1), 1)).is_err());
    let (done, _told) = oneshot::channel();
    assert!(ends.queue.control(Command::Close(done)).is_err());
}

#[test]
fn a_group_that_goes_unsettled_refuses_its_callers() {
    let ends = Ends::new(100, 100);
    let mut pending = ends.submit(1);
    let woken = Arc::new(Woken::default());
    assert!(poll(&mut pending, &Waker::from(Arc::clone(&woken))).is_pending());
    drop(ends.group());
    assert_eq!(woken.0.load(SeqCst), 1);
    assert!(matches!(now(pending), Err(MiniStoreError::WriterPanicked)));
}

#[test]
fn lost_writer_fails_queued_and_waiting_appends() {
    let mut ends = Ends::new(2, 100);
    let queued = ends.submit(2);
    let receiver = ends.receiver.take();
    let mut waiting = ends.wait(1);
    let woken = Arc::new(Woken::default());
    assert!(poll(&mut waiting, &Waker::from(Arc::clone(&woken))).is_pending());
    drop(receiver);
    assert!(matches!(now(queued), Err(MiniStoreError::WriterPanicked)));
    assert_eq!(woken.0.load(SeqCst), 1, "a waiting append is not woken");
    assert!(matches!(now(waiting), Err(MiniStoreError::WriterPanicked)));
}

#[test]
fn completed_group_returns_its_capacity() {
    let ends = Ends::new(10, 100);
    for _ in 0..3 {
        drop((ends.submit(4), ends.submit(6)));
        assert!(ends.queue.try_append(&mut queued(line(1), 1)).unwrap().is_none());
        ends.receiver().complete(ends.group(), GroupOutcome::Refused);
    }
    drop(ends.submit(10));
}

#[test]
fn the_memory_of_a_group_serves_the_next() {
    let ends = Ends::new(1000, 1000);
    drop(ends.submit(700));
    let group = ends.group();
    let memory = group.pieces().next().unwrap().as_ptr();
    ends.receiver().complete(group, GroupOutcome::Refused);
    drop(ends.submit(600));
    assert_eq!(ends.group().pieces().next().unwrap().as_ptr(), memory);
}

#[test]
fn of_very_large_groups_little_memory_is_kept() {
    let mut group = group_on(GroupBuffers::default());
    let small = COPY_THRESHOLD_BYTES - 1;
    for _ in 0..2 * RETAINED_CAPACITY_BYTES / small {
        group.add(&mut queued(line(small), 0));
    }
    for _ in 0..RETAINED_CAPACITY_BYTES / 10 {
        group.add(&mut QueuedAppend { records: 0, ..queued(line(0), 0) });
    }
    group.add(&mut queued(line(COPY_THRESHOLD_BYTES), 0));
    assert!(group.bytes() > RETAINED_CAPACITY_BYTES as u64);
    let kept = group.take_buffers();
    assert!(
        kept.bytes() > 0 && kept.bytes() <= 2 * RETAINED_CAPACITY_BYTES,
        "{} bytes are kept",
        kept.bytes()
    );
}

#[test]
fn no_more_memory_is_kept_than_two_groups_use() {
    let ends = Ends::new(1000, 1);
    for _ in 0..8 {
        drop(ends.submit(1));
    }
    let groups: Vec<_> = (0..8).map(|_| ends.group()).collect();
    groups.into_iter().for_each(|group| ends.receiver().complete(group, GroupOutcome::Refused));
    assert_eq!(ends.queue.lock().spare.len(), KEPT_BUFFERS);
}

/// Bytes whose owner does something when they go.
struct Owner<F: Fn()>(Vec<u8>, F);

impl<F: Fn()> AsRef<[u8]> for Owner<F> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<F: Fn()> Drop for Owner<F> {
    fn drop(&mut self) {
        (self.1)();
    }
}

#[test]
fn copied_payloads_are_dropped_outside_the_lock() {
    let ends = Ends::new(1000, 1000);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (queue, counts) = (Arc::clone(&ends.queue), Arc::clone(&dropped));
    let owner = Owner(b"1".to_vec(), move || {
        assert!(queue.state.try_lock().is_ok(), "the owner of an append's bytes runs under the lock");
        counts.fetch_add(1, SeqCst);
    });
    drop(ends.append(queued(Payload::Bytes(Bytes::from_owner(owner)), 1)));
    assert_eq!(dropped.load(SeqCst), 1, "it was not copied");
}

/// Checks on every wake-up that the queue is not locked, and panics.
struct Unlocked(Arc<CommitQueue>, Arc<AtomicUsize>);

impl Wake for Unlocked {
    fn wake(self: Arc<Self>) {
        if self.0.state.try_lock().is_ok() {
            self.1.fetch_add(1, SeqCst);
        }
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn code_of_waiting_callers_runs_outside_the_lock() {
    let ends = Ends::new(10, 100);
    let (calls, callbacks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::new(Unlocked(Arc::clone(&ends.queue), Arc::clone(&calls))));
    let wait = |permits| {
        let (queue, calls) = (Arc::clone(&ends.queue), Arc::clone(&calls));
        let owner = Owner(b"1".to_vec(), move || {
            if queue.state.try_lock().is_ok() {
                calls.fetch_add(1, SeqCst);
            }
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        });
        let called = Arc::clone(&callbacks);
        let callback = Callback::new(move |_, _| {
            called.fetch_add(1, SeqCst);
        });
        let lines = Payload::Bytes(Bytes::from_owner(owner));
        let mut waiting = ends.wait_with(QueuedAppend { callback: Some(callback), ..queued(lines, permits) });
        assert!(poll(&mut waiting, &waker).is_pending());
        waiting
    };
    drop(ends.submit(10));
    let [accepted, dropped, next, rejected] = [5, 9, 5, 9].map(wait);
    ends.commit(1);
    assert_eq!(calls.swap(0, SeqCst), 2, "the bytes and the waker of the first");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(dropped)));
    assert!(panicked.is_err(), "the owner of the bytes");
    assert_eq!(calls.swap(0, SeqCst), 3, "the bytes of the dropped one; the bytes and the waker of the next");
    ends.inner().close();
    assert_eq!(calls.swap(0, SeqCst), 2, "the bytes and the waker of the last");
    assert!(matches!(now(rejected), Err(MiniStoreError::Closed)));
    ends.commit(2);
    assert_eq!([accepted, next].map(|append| now(now(append).unwrap()).unwrap().seq), [2, 3]);
    assert_eq!(callbacks.load(SeqCst), 2);
}

#[test]
fn panicking_bytes_owner_affects_only_itself() {
    let ends = Ends::new(100, u64::MAX);
    let lines = || {
        Payload::Bytes(Bytes::from_owner(Owner(vec![b'1'; COPY_THRESHOLD_BYTES], || panic!("on purpose"))))
    };
    let settled = [0; 2].map(|_| ends.append(queued(lines(), 1)));
    ends.receiver().complete(ends.group(), GroupOutcome::Durable(committed(1)));
    let refused = [0; 2].map(|_| ends.append(queued(lines(), 1)));
    drop(ends.group());
    assert!(settled.iter().all(|pending| matches!(pending.slot.fate(), Some(AppendOutcome::Durable(_)))));
    assert!(refused.iter().all(|pending| matches!(pending.slot.fate(), Some(AppendOutcome::Refused))));
}

/// Notes what it is told.
fn noting(told: &Arc<Mutex<Vec<String>>>, panics: bool) -> Option<Callback> {
    let told = Arc::clone(told);
    Some(Callback::new(move |fate, _| {
        told.lock().unwrap().push(match fate {
            AppendOutcome::Durable(committed) => committed.seq.to_string(),
            other => format!("{other:?}"),
        });
        assert!(!panics, "on purpose");
    }))
}

#[test]
fn callbacks_run_once_in_order_despite_panics() {
    let ends = Ends::new(100, 100);
    let told = Arc::default();
    for at in 0..4 {
        let callback = noting(&told, at % 2 == 0);
        drop(ends.append(QueuedAppend { callback, ..queued(line(1), 1) }));
    }
    assert!(told.lock().unwrap().is_empty());
    ends.receiver().complete(ends.group(), GroupOutcome::Durable(committed(5)));
    assert_eq!(*told.lock().unwrap(), ["5", "6", "7", "8"]);
}

#[test]
fn callbacks_of_groups_that_go_unsettled_are_called_too() {
    let mut ends = Ends::new(100, 1);
    let told = Arc::default();
    for _ in 0..2 {
        drop(ends.append(QueuedAppend { callback: noting(&told, false), ..queued(line(1), 1) }));
    }
    drop(ends.group());
    ends.receiver = None;
    assert_eq!(*told.lock().unwrap(), ["Refused", "Refused"]);
}

#[test]
fn what_is_meant_for_one_number_has_a_group_of_its_own() {
    let ends = Ends::new(100, 100);
    for next_seq in [None, None, Some(3), Some(4), None, None] {
        drop(ends.append(QueuedAppend { next_seq, ..queued(line(1), 1) }));
    }
    let groups = std::iter::from_fn(|| match ends.poll()? {
        Recv::Command(Command::Commit(group)) => Some((group.appends(), group.next_seq())),
        other => panic!("not a group: {other:?}"),
    });
    assert_eq!(groups.collect::<Vec<_>>(), [(2, None), (1, Some(3)), (1, Some(4)), (2, None)]);
}

#[test]
fn expect_seq_append_is_not_encoded_early() {
    let ends = Ends::new(100, 100);
    let meant = || QueuedAppend { next_seq: Some(9), ..queued(line(1), 1) };
    drop(ends.append(meant()));
    drop(ends.submit(1));
    assert!(ends.receiver().pop_full_group().is_none());
    drop(ends.group());
    assert!(ends.receiver().pop_full_group().is_none(), "it can still be added to");
    drop(ends.append(meant()));
    assert!(ends.receiver().pop_full_group().is_some());
}

fn await_that(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < HANG, "the writer cannot be woken");
        std::thread::yield_now();
    }
}

#[test]
fn cancelled_waiting_caller_still_wakes_writer() {
    for _ in 0..50 {
        let mut ends = Ends::new(100, 100);
        let mut receiver = ends.receiver.take().unwrap();
        receiver.delay = Duration::from_secs(3600);
        drop(ends.submit(1));
        let (sender, found) = std::sync::mpsc::channel();
        let waits = std::thread::spawn(move || {
            sender.send(matches!(receiver.wait(), Recv::Command(_))).unwrap();
        });
        await_that(|| ends.queue.lock().writer == WriterState::Delaying);
        drop(ends.wait(100));
        // It may have looked in between, and taken the group.
        await_that(|| ends.queue.lock().writer == WriterState::Delaying || waits.is_finished());
        // An error where it took the group.
        drop(ends.queue.try_append(&mut queued(line(100), 100)));
        assert_eq!(found.recv_timeout(HANG), Ok(true), "nobody wakes the writer");
        waits.join().unwrap();
    }
}
