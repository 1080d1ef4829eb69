//! The way to the writer and back, with a writer of the model's own or the engine's: nobody is left waiting.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::rig::{Rig, options, permits_for, poll_once};
use crate::{
    JournalOptions, MiniStore, MiniStoreError, Result,
    commit::queue::{
        Appended, Command, CommitInfo, CommitQueue, Group, GroupOutcome, Payload, PendingCommit,
        QueueReceiver, QueuedAppend, Recv,
    },
    journal::fork::ForkGuard,
    journal::status::StoreStatus,
    sync::{block_on, oneshot, thread},
};

/// Does not pass while a model runs.
const FOR_EVER: Duration = Duration::from_secs(1);

/// The two ends of a queue without a store.
#[derive(Clone)]
struct Ends {
    queue: Arc<CommitQueue>,
}

impl Ends {
    fn new(dir: &Path, permits: u32) -> (Self, QueueReceiver) {
        let (path, process) = (dir.join("j"), ForkGuard::current().unwrap());
        let status = StoreStatus::new(path, process, &JournalOptions::new(), true).unwrap();
        let queue = Arc::new(CommitQueue::new(Arc::new(status), permits, 100, u64::MAX));
        let receiver = QueueReceiver::new(Arc::clone(&queue), Duration::ZERO);
        (Self { queue }, receiver)
    }

    /// As a store does it.
    async fn submit(&self, permits: u32) -> Result<PendingCommit> {
        let lines = Payload::Vec(b"1".to_vec());
        let mut queued = QueuedAppend { permits, ..QueuedAppend::new(lines, 1) };
        match self.queue.append(&mut queued).map_err(|_| self.queue.status().closed_error())? {
            Appended::Queued(pending) => Ok(pending),
            Appended::Waiting(waiting) => waiting.await,
        }
    }
}

/// Nobody here asks for more than the number.
fn durable(seq: u64) -> GroupOutcome {
    let now = Instant::now();
    GroupOutcome::Durable(CommitInfo {
        seq,
        offset: 0,
        segment_first_seq: 1,
        group_records: 0,
        group_bytes: 0,
        taken: now,
        durable: now,
    })
}

/// Settles groups and counts nudges until it is abandoned.
fn serve(receiver: &QueueReceiver, told: oneshot::Sender<()>) {
    let (mut next, mut told) = (1, Some(told));
    loop {
        match receiver.wait() {
            Recv::Command(Command::Commit(group)) => {
                let first = next;
                next += group.records();
                receiver.complete(group, durable(first));
            }
            Recv::Command(other) => panic!("nobody asked for {other:?}"),
            Recv::Wakeup => {
                let _ = told.take().expect("nudged once").send(());
            }
            Recv::Disconnected => return,
        }
    }
}

/// Appends, a nudge and the end come while the writer parks: it misses none of them.
pub(super) fn a_parked_writer_hears_of_whatever_comes(dir: &Path) {
    let (ends, receiver) = Ends::new(dir, 10);
    let (told, wake_requested) = oneshot::channel();
    let writer = thread::spawn(move || serve(&receiver, told));
    let nudges = thread::spawn({
        let queue = Arc::clone(&ends.queue);
        move || {
            queue.wake_writer();
            block_on(wake_requested).unwrap();
        }
    });
    let appends = [0, 1].map(|_| {
        let ends = ends.clone();
        thread::spawn(move || block_on(async { ends.submit(1).await?.await }).unwrap().seq)
    });
    let mut numbers = appends.map(|append| append.join().unwrap());
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    nudges.join().unwrap();
    ends.queue.disconnect();
    writer.join().unwrap();
}

/// Outcomes are asked for by one task and awaited by another, while they come.
pub(super) fn whoever_asked_last_learns_the_outcome(dir: &Path) {
    let (ends, receiver) = Ends::new(dir, 10);
    let mut first = block_on(ends.submit(1)).unwrap();
    let second = block_on(ends.submit(1)).unwrap();
    let Some(Recv::Command(Command::Commit(group))) = receiver.poll() else { panic!("nothing was queued") };
    let polls = thread::spawn(move || {
        let told = poll_once(&mut first);
        thread::spawn(move || told.unwrap_or_else(|| block_on(first)).unwrap().seq)
    });
    let awaits = thread::spawn(move || block_on(second).unwrap().seq);
    receiver.complete(group, durable(7));
    let first = polls.join().unwrap().join().unwrap();
    assert_eq!((first, awaits.join().unwrap()), (7, 8));
}

/// A writer that is gone in the middle of a group: refused are those whose group it has, those in the queue, those who
/// wait for room and those who come later.
pub(super) fn a_writer_that_ends_without_a_word_refuses_everybody(dir: &Path) {
    let (ends, receiver) = Ends::new(dir, 2);
    let callers = [0, 1, 2, 3].map(|_| {
        let ends = ends.clone();
        thread::spawn(move || block_on(async { ends.submit(1).await?.await }))
    });
    let writer = thread::spawn(move || {
        let taken: Option<Group> = match receiver.poll() {
            Some(Recv::Command(Command::Commit(group))) => Some(group),
            _ => None,
        };
        drop((taken, receiver));
    });
    writer.join().unwrap();
    for caller in callers {
        let told = caller.join().unwrap();
        assert!(matches!(told, Err(MiniStoreError::WriterPanicked)), "{told:?}");
    }
}

/// Appends come while a group is given time to fill, which is over at any moment.
pub(super) fn a_commit_delay_loses_nobody(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options().commit_delay(Duration::from_millis(1)).max_group_bytes(2)).unwrap();
    let callers = [1_u64, 2, 3].map(|value| {
        let store = store.clone();
        thread::spawn(move || store.blocking().append(&value).unwrap())
    });
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    store.blocking().close().unwrap();
    let mut records = rig.records();
    records.sort_unstable();
    assert_eq!(records, [1, 2, 3]);
}

/// A group that is given time for ever is committed all the same when it is full, when a rotation is asked for, and when
/// the last handle goes.
pub(super) fn what_ends_a_group_ends_its_delay(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options().commit_delay(FOR_EVER).max_group_bytes(2)).unwrap();
    append_at_once(&store, [1, 2]);
    let before_rotation = store.blocking().submit(&3_u64).unwrap();
    store.blocking().rotate().unwrap();
    assert_eq!(before_rotation.wait().unwrap().seq, 3);
    let before_end = store.blocking().submit(&4_u64).unwrap();
    drop(store);
    assert_eq!(before_end.wait().unwrap().seq, 4);
}

/// A group that is given time for ever is committed when it holds the bytes that are enough, and when a caller finds no
/// room.
pub(super) fn what_is_enough_ends_a_delay_and_so_does_a_full_queue(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options().commit_delay(FOR_EVER).commit_delay_bytes(2)).unwrap();
    append_at_once(&store, [1, 2]);
    store.blocking().close().unwrap();
    let store = rig.open(permits_for(2).commit_delay(FOR_EVER)).unwrap();
    // The last of them is committed by the closing.
    let callers = thread::spawn({
        let store = store.clone();
        move || [3_u64, 4, 5].map(|value| store.blocking().submit(&value).unwrap())
    });
    let [third, fourth, fifth] = callers.join().unwrap();
    assert_eq!((third.wait().unwrap().seq, fourth.wait().unwrap().seq), (3, 4));
    store.blocking().close().unwrap();
    assert_eq!(fifth.wait().unwrap().seq, 5);
    // Each of them waits for room; the one that comes last waits for nobody, and is committed by the closing.
    let store = rig.open(permits_for(1).commit_delay(FOR_EVER)).unwrap();
    let callers = [6_u64, 7, 8].map(|value| {
        let store = store.clone();
        thread::spawn(move || store.blocking().submit(&value).unwrap())
    });
    let accepted = callers.map(|caller| caller.join().unwrap());
    store.blocking().close().unwrap();
    let mut numbers = accepted.map(|pending| pending.wait().unwrap().seq);
    numbers.sort_unstable();
    assert_eq!(numbers, [6, 7, 8]);
}

fn append_at_once(store: &MiniStore, values: [u64; 2]) {
    let callers = values.map(|value| {
        let store = store.clone();
        thread::spawn(move || store.blocking().append(&value).unwrap())
    });
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

/// A group gives back the room of all its appends at once: whoever waited for a part of it goes on.
pub(super) fn room_that_comes_back_in_one_piece_serves_all_who_waited(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(permits_for(3)).unwrap();
    rig.hold();
    let accepted = [0_u64, 1, 2].map(|value| store.blocking().submit(&value).unwrap());
    let waiting = [3_u64, 4, 5].map(|value| {
        let store = store.clone();
        thread::spawn(move || store.blocking().append(&value).unwrap())
    });
    rig.release();
    for pending in accepted {
        pending.wait().unwrap();
    }
    waiting.into_iter().for_each(|waiter| waiter.join().unwrap());
    // One that takes the whole queue: had a byte of room been lost, it would wait for ever.
    store.blocking().append_batch([6_u64; 1000]).unwrap();
    store.blocking().close().unwrap();
    assert_eq!(rig.records().len(), 1006);
}
