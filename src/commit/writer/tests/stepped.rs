//! The writer without its thread, run step by step.

use super::*;
use crate::commit::writer::{StepOutcome, SteppedWriter};

#[test]
fn stepped_writer_runs_only_when_stepped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let faults = FaultInjector::new();
    let commit_backend = faults.commit_backend(BackendKind::Blocking).unwrap();
    let options = JournalOptions::new().preallocate(false);
    let (store, mut writer): (MiniStore, SteppedWriter) = MiniStore::open_stepped(
        options,
        &path,
        (BackendKind::Blocking, faults.file_system(), commit_backend),
    )
    .unwrap();
    let commits = faults.count(Op::Commit);
    let mut pending: Vec<_> = (0..3u64).map(|record| finish(store.submit(&record)).unwrap()).collect();
    assert!(pending.iter_mut().all(is_pending));
    assert_eq!(faults.count(Op::Commit), commits);
    assert_eq!(writer.step(false), StepOutcome::Busy);
    assert_eq!(faults.count(Op::Commit), commits + 1, "one group");
    for (index, pending) in pending.into_iter().enumerate() {
        assert_eq!(finish(pending).unwrap().seq, index as u64 + 1);
    }
    assert_eq!(writer.step(true), StepOutcome::Idle);
    drop(store);
    assert_eq!(writer.step(false), StepOutcome::Ended);
    assert!(is_closed(&path));
    assert_eq!(values(&path), [0, 1, 2]);
}
