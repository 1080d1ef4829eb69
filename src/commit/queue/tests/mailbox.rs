//! The mailbox: control messages, delays, and the end of the queue.

use super::{super::queue_state::WriterState, *};
use crate::{
    background::job::{JobResult, Remaining},
    sync::oneshot,
};

/// Returns the next control message.
fn control(ends: &QueueEnds) -> Option<WriterMessage> {
    ends.mailbox().poll_control()
}

fn job_done() -> WriterMessage {
    WriterMessage::JobDone(JobResult::Closed(Ok(Remaining::None)))
}

#[test]
fn ordered_message_follows_groups_before_it() {
    let ends = QueueEnds::new(100, 100);
    let (reply, _receiver) = oneshot::channel();
    drop((ends.submit(1), ends.submit(2)));
    ends.queue.send_in_order(WriterMessage::Rotate(reply)).unwrap();
    drop(ends.submit(4));
    ends.queue.send(job_done()).unwrap();
    assert!(matches!(control(&ends), Some(WriterMessage::JobDone(_))), "it follows no group");
    assert!(control(&ends).is_none());
    let first = ends.group();
    assert_eq!(first.bytes(), 3, "the rotation ended the group");
    assert!(control(&ends).is_none(), "the group is not complete");
    ends.complete(first, AppendOutcome::Rejected);
    assert!(matches!(control(&ends), Some(WriterMessage::Rotate(_))));
    ends.commit(3);
    assert!(control(&ends).is_none() && ends.poll_group().is_none());
}

#[test]
fn dropped_handle_closes_after_waiting_appends() {
    let ends = QueueEnds::new(10, 100);
    drop(ends.submit(10));
    let mut waiting = ends.wait(1);
    assert!(poll(&mut waiting, Waker::noop()).is_pending());
    ends.queue.disconnect();
    ends.commit(1);
    assert!(matches!(ends.mailbox().recv(), WriterMessage::Commit(group) if group.bytes() == 1));
    assert!(matches!(ends.mailbox().recv(), WriterMessage::Close(None)));
}

#[test]
fn job_result_is_received_before_other_messages() {
    let ends = QueueEnds::new(100, 100);
    let (reply, _receiver) = oneshot::channel();
    ends.queue.send_in_order(WriterMessage::Rotate(reply)).unwrap();
    assert!(ends.mailbox().poll_result().is_none());
    ends.queue.send(job_done()).unwrap();
    assert!(matches!(ends.mailbox().recv_result(), Some(JobResult::Closed(Ok(Remaining::None)))));
    assert!(matches!(ends.mailbox().recv(), WriterMessage::Rotate(_)), "the other message is kept");
}

#[test]
fn unordered_message_ends_no_group() {
    let ends = QueueEnds::new(100, 100);
    drop(ends.submit(1));
    ends.queue.send(job_done()).unwrap();
    drop(ends.submit(2));
    assert!(matches!(ends.mailbox().recv(), WriterMessage::JobDone(_)));
    assert!(matches!(ends.mailbox().recv(), WriterMessage::Commit(group) if group.bytes() == 3));
}

#[test]
fn closed_mailbox_rejects_messages() {
    let ends = QueueEnds::new(100, 100);
    let (reply, mut received) = oneshot::channel();
    let queued_before = ends.submit(1);
    ends.queue.send_in_order(WriterMessage::Rotate(reply)).unwrap();
    ends.mailbox().close();
    assert!(now(queued_before).is_err());
    assert!(matches!(poll(&mut received, Waker::noop()), Poll::Ready(Err(_))), "the reply is dropped");
    assert!(ends.queue.append(&mut queued(line(1), 1)).is_err());
    assert!(ends.queue.send(job_done()).is_err());
    assert!(ends.queue.send_in_order(WriterMessage::Close(None)).is_err());
}

#[test]
fn dropped_group_frees_its_capacity() {
    let ends = QueueEnds::new(10, 100);
    drop(ends.submit(10));
    let group = ends.group();
    assert!(ends.queue.try_append(&mut queued(line(1), 1)).unwrap().is_none());
    drop(group);
    drop(ends.submit(10));
}

#[test]
fn lost_writer_fails_queued_and_waiting_appends() {
    let ends = QueueEnds::new(2, 100);
    let queued = ends.submit(2);
    let mailbox = ends.mailbox.take();
    let mut waiting = ends.wait(1);
    let woken = Arc::new(WakeCounter::default());
    assert!(poll(&mut waiting, &Waker::from(Arc::clone(&woken))).is_pending());
    drop(mailbox);
    assert!(matches!(now(queued), Err(MiniStoreError::WriterPanicked)));
    assert_eq!(woken.0.load(SeqCst), 1, "a waiting append is not woken");
    assert!(matches!(now(waiting), Err(MiniStoreError::WriterPanicked)));
}

#[test]
fn completed_group_returns_its_capacity() {
    let ends = QueueEnds::new(10, 100);
    for _ in 0..3 {
        drop((ends.submit(4), ends.submit(6)));
        assert!(ends.queue.try_append(&mut queued(line(1), 1)).unwrap().is_none());
        let group = ends.group();
        ends.complete(group, AppendOutcome::Rejected);
    }
    drop(ends.submit(10));
}

fn wait_until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < HANG, "the writer thread does not reach that state");
        std::thread::yield_now();
    }
}

#[test]
fn cancelled_waiting_caller_still_wakes_writer() {
    for _ in 0..50 {
        let ends = QueueEnds::new(100, 100);
        let mut mailbox = ends.mailbox.take().unwrap();
        mailbox.delay = Duration::from_secs(3600);
        drop(ends.submit(1));
        let (sender, received) = std::sync::mpsc::channel();
        let waits = std::thread::spawn(move || {
            sender.send(matches!(mailbox.recv(), WriterMessage::Commit(_))).unwrap();
        });
        wait_until(|| ends.queue.lock().writer == WriterState::Delaying);
        drop(ends.wait(100));
        // The writer thread may have checked the queue in between, and taken the group.
        wait_until(|| ends.queue.lock().writer == WriterState::Delaying || waits.is_finished());
        // Fails if the writer thread has taken the group and its mailbox was dropped.
        drop(ends.queue.try_append(&mut queued(line(100), 100)));
        assert_eq!(received.recv_timeout(HANG), Ok(true), "the writer thread is not woken");
        waits.join().unwrap();
    }
}
