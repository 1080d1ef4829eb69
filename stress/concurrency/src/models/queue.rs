//! The commit pipeline, with a writer of the model or the engine's writer thread: no caller is left waiting.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::fixture::{Fixture, options, permits_for, poll_once, spawn};
use crate::{
    JournalOptions, MiniStore, MiniStoreError, Result,
    background::job::{JobResult, Remaining},
    commit::queue::{
        AppendOutcome, Appended, CommitInfo, CommitQueue, Mailbox, Payload, PendingCommit, QueuedAppend,
        WriterMessage,
    },
    journal::fork::ForkGuard,
    journal::status::StoreStatus,
    sync::{block_on, oneshot, thread},
};

/// A delay that does not expire while a model runs.
const UNLIMITED_DELAY: Duration = Duration::from_secs(1);

/// The sending end of a queue without a store.
#[derive(Clone)]
struct QueueClient {
    queue: Arc<CommitQueue>,
}

impl QueueClient {
    fn new(dir: &Path, permits: u32) -> (Self, Mailbox) {
        let (path, process) = (dir.join("j"), ForkGuard::current().unwrap());
        let status = StoreStatus::new(path, process, &JournalOptions::new(), true).unwrap();
        let options = JournalOptions::new().max_group_bytes(100);
        let (queue, mailbox) = Mailbox::with_queue(Arc::new(status), permits, &options);
        (Self { queue }, mailbox)
    }

    /// Submits an append as a store does.
    async fn submit(&self, permits: u32) -> Result<PendingCommit> {
        let lines = Payload::Vec(b"1".to_vec());
        let mut queued = QueuedAppend { permits, ..QueuedAppend::new(lines, 1) };
        match self.queue.append(&mut queued).map_err(|_| self.queue.status().closed_error())? {
            Appended::Queued(pending) => Ok(pending),
            Appended::Waiting(waiting) => waiting.await,
        }
    }
}

/// Returns an outcome in which only the sequence number matters.
fn durable(seq: u64) -> AppendOutcome {
    let now = Instant::now();
    AppendOutcome::Durable(CommitInfo {
        seq,
        offset: 0,
        segment_first_seq: 1,
        group_records: 0,
        group_bytes: 0,
        dequeued_at: now,
        durable_at: now,
    })
}

/// Completes groups and reports one job result until the queue is closed.
fn run_writer(mailbox: &mut Mailbox, received: oneshot::Sender<()>) {
    let (mut next, mut received) = (1, Some(received));
    loop {
        match mailbox.recv() {
            WriterMessage::Commit(group) => {
                let first = next;
                next += group.records();
                mailbox.complete(group, durable(first));
            }
            WriterMessage::JobDone(_) => {
                let _ = received.take().expect("one result").send(());
            }
            WriterMessage::Close(None) => return,
            other => panic!("unexpected message {other:?}"),
        }
    }
}

/// Appends, a job result and the end arrive while the writer parks: it misses none of them.
pub(super) fn parked_writer_wakes_for_every_message(dir: &Path) {
    let (client, mut mailbox) = QueueClient::new(dir, 10);
    let (received, was_received) = oneshot::channel();
    let writer = thread::spawn(move || run_writer(&mut mailbox, received));
    let job = thread::spawn({
        let queue = Arc::clone(&client.queue);
        move || {
            queue.send(WriterMessage::JobDone(JobResult::Closed(Ok(Remaining::None)))).unwrap();
            block_on(was_received).unwrap();
        }
    });
    let appends = [0, 1].map(|_| {
        let client = client.clone();
        thread::spawn(move || block_on(async { client.submit(1).await?.await }).unwrap().seq)
    });
    let mut numbers = appends.map(|append| append.join().unwrap());
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    job.join().unwrap();
    client.queue.disconnect();
    writer.join().unwrap();
}

/// One task polls for an outcome, another awaits it, and the outcome arrives at any moment: the last waker is notified.
pub(super) fn last_waker_is_notified_of_the_outcome(dir: &Path) {
    let (client, mut mailbox) = QueueClient::new(dir, 10);
    let mut first = block_on(client.submit(1)).unwrap();
    let second = block_on(client.submit(1)).unwrap();
    let Some(WriterMessage::Commit(group)) = mailbox.poll_commits() else { panic!("no group is queued") };
    let polls = thread::spawn(move || {
        let polled = poll_once(&mut first);
        thread::spawn(move || polled.unwrap_or_else(|| block_on(first)).unwrap().seq)
    });
    let awaits = thread::spawn(move || block_on(second).unwrap().seq);
    mailbox.complete(group, durable(7));
    let first = polls.join().unwrap().join().unwrap();
    assert_eq!((first, awaits.join().unwrap()), (7, 8));
}

/// The writer ends in the middle of a group: every append gets an error, whether it is in that group, in the queue, waits
/// for capacity, or is issued later.
pub(super) fn panicked_writer_rejects_all_callers(dir: &Path) {
    let (client, mailbox) = QueueClient::new(dir, 2);
    let callers = [0, 1, 2, 3].map(|_| {
        let client = client.clone();
        thread::spawn(move || block_on(async { client.submit(1).await?.await }))
    });
    let writer = thread::spawn(move || {
        let group = mailbox.poll_commits();
        drop((group, mailbox));
    });
    writer.join().unwrap();
    for caller in callers {
        let outcome = caller.join().unwrap();
        assert!(matches!(outcome, Err(MiniStoreError::WriterPanicked)), "{outcome:?}");
    }
}

/// Appends arrive during the commit delay of a group, which ends at any moment.
pub(super) fn commit_delay_loses_no_append(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options().commit_delay(Duration::from_millis(1)).max_group_bytes(2)).unwrap();
    let callers =
        [1_u64, 2, 3].map(|value| spawn(&store, move |store| store.blocking().append(&value).unwrap()));
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    store.blocking().close().unwrap();
    let mut records = fixture.records();
    records.sort_unstable();
    assert_eq!(records, [1, 2, 3]);
}

/// A group with an unlimited delay is committed when it is full, when a rotation is requested, and when the last handle is
/// dropped.
pub(super) fn commit_delay_ends_with_the_group(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options().commit_delay(UNLIMITED_DELAY).max_group_bytes(2)).unwrap();
    append_at_once(&store, [1, 2]);
    let before_rotation = store.blocking().submit(&3_u64).unwrap();
    store.blocking().rotate().unwrap();
    assert_eq!(before_rotation.wait().unwrap().seq, 3);
    let before_end = store.blocking().submit(&4_u64).unwrap();
    drop(store);
    assert_eq!(before_end.wait().unwrap().seq, 4);
}

/// A group with an unlimited delay is committed when it has `commit_delay_bytes`, and when an append waits for capacity.
pub(super) fn commit_delay_ends_at_its_bytes_or_a_full_queue(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options().commit_delay(UNLIMITED_DELAY).commit_delay_bytes(2)).unwrap();
    append_at_once(&store, [1, 2]);
    store.blocking().close().unwrap();
    let store = fixture.open(permits_for(2).commit_delay(UNLIMITED_DELAY)).unwrap();
    // The close commits the last one.
    let callers =
        spawn(&store, move |store| [3_u64, 4, 5].map(|value| store.blocking().submit(&value).unwrap()));
    let [third, fourth, fifth] = callers.join().unwrap();
    assert_eq!((third.wait().unwrap().seq, fourth.wait().unwrap().seq), (3, 4));
    store.blocking().close().unwrap();
    assert_eq!(fifth.wait().unwrap().seq, 5);
    // Each append but the last is committed because the next one waits for capacity. The close commits the last one.
    let store = fixture.open(permits_for(1).commit_delay(UNLIMITED_DELAY)).unwrap();
    let callers =
        [6_u64, 7, 8].map(|value| spawn(&store, move |store| store.blocking().submit(&value).unwrap()));
    let accepted = callers.map(|caller| caller.join().unwrap());
    store.blocking().close().unwrap();
    let mut numbers = accepted.map(|pending| pending.wait().unwrap().seq);
    numbers.sort_unstable();
    assert_eq!(numbers, [6, 7, 8]);
}

fn append_at_once(store: &MiniStore, values: [u64; 2]) {
    let callers = values.map(|value| spawn(store, move |store| store.blocking().append(&value).unwrap()));
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

/// A group frees the capacity of all its appends at once: every append that waited for a part of it is accepted.
pub(super) fn freed_group_capacity_serves_all_waiting_appends(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(permits_for(3)).unwrap();
    fixture.block_commits();
    let accepted = [0_u64, 1, 2].map(|value| store.blocking().submit(&value).unwrap());
    let waiting =
        [3_u64, 4, 5].map(|value| spawn(&store, move |store| store.blocking().append(&value).unwrap()));
    fixture.unblock_commits();
    for pending in accepted {
        pending.wait().unwrap();
    }
    waiting.into_iter().for_each(|waiter| waiter.join().unwrap());
    // Needs the whole queue; hangs if any capacity was lost.
    store.blocking().append_batch([6_u64; 1000]).unwrap();
    store.blocking().close().unwrap();
    assert_eq!(fixture.records().len(), 1006);
}
