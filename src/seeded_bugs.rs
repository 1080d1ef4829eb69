//! Seeded bugs: the simulation (`stress/sim`) and the concurrency models (`stress/concurrency`) must find every one of
//! them. In a user's build [`seeded`] is a constant `false`, so none of them is compiled.

#![cfg_attr(
    not(any(test, feature = "_sim")),
    allow(dead_code, unreachable_pub, reason = "only the simulation seeds them, some of them in its disk")
)]

/// A bug that a log must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bug {
    /// The name of a rotated segment is not durable when the next segment takes the active name.
    NoDirSyncAfterRotation,
    /// The name of a new journal is not durable when its records are.
    NoDirSyncAfterCreate,
    /// A commit through the page cache is not synced.
    AcknowledgeBeforeSync,
    /// A direct write is not followed by its `fdatasync`.
    AcknowledgeBeforeFdatasync,
    /// `O_DSYNC` is relied on where the file system ignores it.
    TrustEveryFileSystem,
    /// A commit is written when the next one is made.
    AcknowledgeBeforeWrite,
    /// A seal covers its own group and nothing before it.
    SealWithoutChain,
    /// The first seal of a segment does not cover the header.
    ChainWithoutHeader,
    /// Recovery truncates the last group that verifies, together with the torn tail.
    RecoveryTruncatesTooMuch,
    /// Recovery leaves the torn tail in the file and appends before it.
    RecoveryTruncatesTooLittle,
    /// A failed sync is retried, and a retry that succeeds is trusted.
    RetryFailedSync,
    /// The first record of a batch gets a seal of its own.
    SplitBatch,
    /// The header of a new segment and its first group are one write.
    HeaderWithFirstGroup,
    /// A new segment takes the active name before its header is written.
    NameBeforeHeader,
    /// Recovery treats the data it reads as durable.
    TrustUnsyncedData,
    /// Recovery treats the names it lists as durable.
    TrustUnsyncedNames,
    /// Recovery does not read again what it wrote again: it trusts what it verified before.
    NoRecheckOfLastGroup,
    /// A rotation restarts the sequence numbers at the start of the segment.
    SeqRestartsAtRotation,
    /// Retention deletes one segment more than it may.
    RetentionDeletesOneTooMany,
    /// Retention deletes records that a hold protects.
    RetentionIgnoresHolds,
    /// A trim deletes a segment when the first of its records may be deleted.
    TrimDeletesOneTooMany,
    /// A hold file gets its name before its bytes are durable.
    HoldNotSynced,
    /// The part of a group that fitted on a full disk is not truncated.
    NoTruncateAfterStorageFull,
    /// Padding is written from the data end at the time of the request.
    PaddingOverwritesCommits,
    /// The last group is treated as complete whatever its seal says.
    TornTailAsData,
    /// A prepared next segment is adopted without a check of the segment that it continues.
    NextSegmentUnchecked,
    /// An append with an expected sequence number gets another one.
    ExpectedSeqIgnored,
    /// A file loses its old name before its new one is durable, where a rename is a link and an unlink.
    UnlinkBeforeLinkIsDurable,
    /// A rename that must not replace another file replaces it.
    RenameReplaces,
    /// A call that failed before it changed anything poisons the store.
    PoisonOnShortage,
    /// A rename whose outcome is unknown is treated as one that changed nothing.
    RetryUnknownRename,

    /// An append takes no permits of the queue.
    AppendTakesNoPermits,
    /// A completed append does not release its permits.
    PermitsNeverReleased,
    /// A new append is accepted before those that wait.
    AppendOvertakesWaiters,
    /// Freed capacity is not granted to the appends that wait for it.
    FreedCapacityNotGranted,
    /// A waiting append is accepted, and its future is not woken.
    GrantWithoutWake,
    /// A waiting append whose future is dropped stays in the list.
    DroppedAppendStaysQueued,
    /// A failure fails the appends that wait for capacity before they can read its cause.
    WaitersFailBeforeCause,
    /// A close fails the appends that wait for capacity before they can read the reason.
    WaitersClosedBeforeReason,
    /// Callers are notified before the durable sequence number is published.
    NotifyBeforePublish,
    /// The writer commits again after a failure.
    CommitAfterFailure,
    /// A command that ends a group is lost.
    GroupEndingCommandLost,
    /// The last handle is dropped without an announcement that the lock will be released.
    ReleaseNotAnnounced,
    /// A released lock is not announced to the openers that wait for it.
    UnlockWithoutNotify,
    /// The writer switches to the next segment before the last one has its rotated name.
    SwitchBeforeRename,
    /// A reader that fails ends as if the journal did.
    ReadErrorAsEnd,
    /// A parallel replay returns its parts in the order in which they were parsed.
    PartsInParseOrder,
    /// An open whose future was dropped does not announce that the lock will be released.
    AbandonedOpenUnnoticed,
    /// A caller waits for an outcome without checking once more whether it is there.
    WaitWithoutRecheck,
    /// The first waker registered for an outcome is woken, not the one that replaced it.
    WakeReplacedWaker,
    /// The writer parks without checking once more for work.
    ParkWithoutRecheck,
    /// A close leaves retention requests unanswered.
    RequestsNotCancelledOnClose,
    /// A caller waits for a sequence number without checking once more whether it is durable.
    WaitSeqWithoutRecheck,
    /// A caller that waits for a sequence number which will not become durable is not woken.
    CloseWithoutNotify,
}

impl Bug {
    /// The bugs that the simulation must find.
    pub const SIMULATION: [Self; 31] = [
        Self::NoDirSyncAfterRotation,
        Self::NoDirSyncAfterCreate,
        Self::AcknowledgeBeforeSync,
        Self::AcknowledgeBeforeFdatasync,
        Self::TrustEveryFileSystem,
        Self::AcknowledgeBeforeWrite,
        Self::SealWithoutChain,
        Self::ChainWithoutHeader,
        Self::RecoveryTruncatesTooMuch,
        Self::RecoveryTruncatesTooLittle,
        Self::RetryFailedSync,
        Self::SplitBatch,
        Self::HeaderWithFirstGroup,
        Self::NameBeforeHeader,
        Self::TrustUnsyncedData,
        Self::TrustUnsyncedNames,
        Self::NoRecheckOfLastGroup,
        Self::SeqRestartsAtRotation,
        Self::RetentionDeletesOneTooMany,
        Self::RetentionIgnoresHolds,
        Self::TrimDeletesOneTooMany,
        Self::HoldNotSynced,
        Self::NoTruncateAfterStorageFull,
        Self::PaddingOverwritesCommits,
        Self::TornTailAsData,
        Self::NextSegmentUnchecked,
        Self::ExpectedSeqIgnored,
        Self::UnlinkBeforeLinkIsDurable,
        Self::RenameReplaces,
        Self::PoisonOnShortage,
        Self::RetryUnknownRename,
    ];

    /// The bugs that the concurrency models must find.
    pub const CONCURRENCY: [Self; 23] = [
        Self::AppendTakesNoPermits,
        Self::PermitsNeverReleased,
        Self::AppendOvertakesWaiters,
        Self::FreedCapacityNotGranted,
        Self::GrantWithoutWake,
        Self::DroppedAppendStaysQueued,
        Self::WaitersFailBeforeCause,
        Self::WaitersClosedBeforeReason,
        Self::NotifyBeforePublish,
        Self::CommitAfterFailure,
        Self::GroupEndingCommandLost,
        Self::ReleaseNotAnnounced,
        Self::UnlockWithoutNotify,
        Self::SwitchBeforeRename,
        Self::ReadErrorAsEnd,
        Self::PartsInParseOrder,
        Self::AbandonedOpenUnnoticed,
        Self::WaitWithoutRecheck,
        Self::WakeReplacedWaker,
        Self::ParkWithoutRecheck,
        Self::RequestsNotCancelledOnClose,
        Self::WaitSeqWithoutRecheck,
        Self::CloseWithoutNotify,
    ];
}

/// Whether this bug is switched on.
#[cfg(not(any(test, feature = "_sim", shuttle)))]
pub(crate) const fn seeded(_: Bug) -> bool {
    false
}

#[cfg(any(test, feature = "_sim"))]
pub(crate) use switch::inherit;
#[cfg(any(test, feature = "_sim", shuttle))]
pub use switch::seed;
#[cfg(any(test, feature = "_sim", shuttle))]
pub(crate) use switch::seeded;

/// The bug that is switched on. Each thread has its own, so that tests can run in parallel.
#[cfg(any(test, feature = "_sim", shuttle))]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static SEEDED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is switched on.
    pub(crate) fn seeded(bug: Bug) -> bool {
        SEEDED.get() == Some(bug)
    }

    /// Switches a bug on for this thread and the threads that its journals start; `None` switches it off.
    pub fn seed(bug: Option<Bug>) {
        SEEDED.set(bug);
    }

    /// Returns a closure that switches the bug of this thread on for the thread that calls it.
    pub(crate) fn inherit() -> impl FnOnce() + Send + 'static {
        let bug = SEEDED.get();
        move || SEEDED.set(bug)
    }
}
