//! The writer thread's end: commands, delays, and the end of the queue.

use super::{super::commit_queue::WriterState, *};
use crate::sync::oneshot;

#[test]
fn command_ends_the_group_before_it() {
    let ends = QueueEnds::new(100, 100);
    let (reply, _receiver) = oneshot::channel();
    drop((ends.submit(1), ends.submit(2)));
    ends.queue.control(Command::Rotate(reply)).unwrap();
    drop(ends.submit(4));
    ends.queue.wake_writer();
    ends.queue.disconnect();
    assert_eq!(ends.group().bytes(), 3);
    assert!(matches!(ends.poll(), Some(Recv::Command(Command::Rotate(_)))));
    assert_eq!(ends.group().bytes(), 4);
    assert!(matches!(ends.poll(), Some(Recv::Wakeup)), "after the commands");
    assert!(matches!(ends.poll(), Some(Recv::Disconnected)), "after everything");
}

#[test]
fn closed_queue_returns_commands_and_rejects_new() {
    let ends = QueueEnds::new(100, 100);
    drop(ends.submit(1));
    assert_eq!(ends.receiver().close().len(), 1);
    assert!(ends.queue.append(&mut queued(line(1), 1)).is_err());
    let (reply, _receiver) = oneshot::channel();
    assert!(ends.queue.control(Command::Close(reply)).is_err());
}

#[test]
fn lost_writer_fails_queued_and_waiting_appends() {
    let mut ends = QueueEnds::new(2, 100);
    let queued = ends.submit(2);
    let receiver = ends.receiver.take();
    let mut waiting = ends.wait(1);
    let woken = Arc::new(WakeCounter::default());
    assert!(poll(&mut waiting, &Waker::from(Arc::clone(&woken))).is_pending());
    drop(receiver);
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
        ends.receiver().complete(ends.group(), GroupOutcome::Rejected);
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
        let mut ends = QueueEnds::new(100, 100);
        let mut receiver = ends.receiver.take().unwrap();
        receiver.delay = Duration::from_secs(3600);
        drop(ends.submit(1));
        let (sender, received) = std::sync::mpsc::channel();
        let waits = std::thread::spawn(move || {
            sender.send(matches!(receiver.wait(), Recv::Command(_))).unwrap();
        });
        wait_until(|| ends.queue.lock().writer == WriterState::Delaying);
        drop(ends.wait(100));
        // The receiver may have checked the queue in between, and taken the group.
        wait_until(|| ends.queue.lock().writer == WriterState::Delaying || waits.is_finished());
        // Fails if the receiver has taken the group and was dropped.
        drop(ends.queue.try_append(&mut queued(line(100), 100)));
        assert_eq!(received.recv_timeout(HANG), Ok(true), "the receiver is not woken");
        waits.join().unwrap();
    }
}
