//! Deliberate bugs, so that the simulation (`stress/sim`) and the models of threads (`stress/concurrency`) can show that they
//! would have found them. In a user's build none of them is compiled: [`planted`] is `false`, and known to be.

#![cfg_attr(
    not(any(test, feature = "_sim")),
    allow(dead_code, unreachable_pub, reason = "only the simulation plants them, and some in its disk")
)]

/// Something that a log must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bug {
    /// The name of an archived segment is not durable when the next segment takes the active name.
    NoDirSyncAfterArchiving,
    /// The name of a new journal is not durable when its records are.
    NoDirSyncAfterCreating,
    /// A commit through the page cache is not synced.
    AcknowledgeBeforeSync,
    /// A direct write is not followed by its fdatasync.
    AcknowledgeBeforeFdatasync,
    /// `O_DSYNC` is relied on where the file system ignores it.
    TrustsEveryFileSystem,
    /// A commit is written when the next one comes.
    AcknowledgeBeforeWrite,
    /// A seal covers its own group and nothing before it.
    SealWithoutChain,
    /// The first seal of a segment does not cover the header.
    ChainWithoutHeader,
    /// Recovery cuts the last group that verifies, together with the torn tail.
    RecoveryCutsTooMuch,
    /// Recovery leaves the torn tail where it is, and goes on in front of it.
    RecoveryCutsTooLittle,
    /// A sync that failed is made once more, and taken for success when it says so.
    RetryFailedSync,
    /// The first record of a batch gets a seal of its own.
    BatchSplit,
    /// The header of a new segment and its first group are one write.
    HeaderWithFirstGroup,
    /// A new segment takes the active name before its header is written.
    NamedBeforeHeader,
    /// Recovery takes what it sees for durable.
    TrustUnsyncedData,
    /// Recovery takes the names it sees for durable.
    TrustUnsyncedNames,
    /// What recovery wrote again it does not look at: all that was verified once is taken to be there still.
    NoLookAtTheLastGroup,
    /// A rotation counts from the start of the segment.
    NumberNotCarriedOver,
    /// Retention deletes one segment more than it may.
    RetentionOneTooMany,
    /// Retention deletes what is held.
    RetentionPassesHolds,
    /// A segment is released when the first of its records is.
    ReleasesOneTooMany,
    /// A hold takes its name before its bytes are durable.
    HoldNotSynced,
    /// What a full disk took of a group is left where it is.
    NoCutAfterNoRoom,
    /// Padding is written from where the data ended when it was asked for.
    PaddingOverCommits,
    /// The last group is taken for whole whatever its seal says.
    TornTailAsData,
    /// What was prepared as the next segment is adopted whatever it continues.
    NextUnchecked,
    /// An append that was meant for one number gets another.
    AnyNumberWillDo,
    /// A file loses its old name before its new one is durable, where a rename is a link and an unlink.
    UnlinksBeforeTheLinkIsDurable,
    /// A rename that must not replace another file does.
    RenameReplaces,
    /// A call that failed before it changed anything stops the store.
    PoisonsOnShortage,
    /// A rename whose outcome is unknown is taken for one that changed nothing.
    RetriesUnknownRename,

    /// An append takes no room in the queue.
    TakesNoRoom,
    /// An answered append does not give its room back.
    KeepsItsRoom,
    /// A new append is accepted before those that wait.
    OvertakesWaitingAppends,
    /// Freed capacity is not given to the appends that wait for it.
    KeepsFreedCapacity,
    /// A waiting append is accepted, and its future is not woken.
    AcceptsWithoutWaking,
    /// A waiting append whose future is dropped stays in the list.
    DroppedAppendKeepsWaiting,
    /// A failure turns away those who wait for room before the cause can be read.
    FailsBeforeSayingWhy,
    /// Those who wait for room are turned away before the reason can be read.
    ClosesBeforeSayingWhy,
    /// Callers are told before the durable number is published.
    AnswersBeforePublishing,
    /// The writer commits again after a failure.
    GoesOnAfterAFailure,
    /// A request that ends a group is forgotten.
    ForgetsWhatEndsAGroup,
    /// The last handle goes without announcing that the lock will be released.
    GoesWithoutAWord,
    /// A released lock is not made known to those who wait for it.
    UnlocksSilently,
    /// The writer turns to the next segment before the last one has its archived name.
    TurnsBeforeArchived,
    /// A reader that fails ends as if the journal did.
    EndsInsteadOfFailing,
    /// What is read in parallel is put together in the order in which it was parsed.
    TakesPartsAsTheyCome,
    /// An abandoned opening is not made known.
    OpensForNobody,
    /// Whoever is about to wait for an outcome does not look once more whether it is there.
    WaitsWithoutLooking,
    /// Whoever waits for an outcome in another's place is not woken, but the other.
    WakesWhoAskedFirst,
    /// The writer does not look once more before it parks.
    ParksWithoutLooking,
    /// A store that is closed forgets who asked something of retention.
    LeavesAsksUnanswered,
    /// Whoever is about to wait for a number does not look once more whether it is durable.
    WaitsForANumberWithoutLooking,
    /// Who waits for a number that will not be durable is not told.
    EndsWithoutTelling,
}

impl Bug {
    /// Those that the simulated disk must show.
    pub const ON_DISK: [Self; 31] = [
        Self::NoDirSyncAfterArchiving,
        Self::NoDirSyncAfterCreating,
        Self::AcknowledgeBeforeSync,
        Self::AcknowledgeBeforeFdatasync,
        Self::TrustsEveryFileSystem,
        Self::AcknowledgeBeforeWrite,
        Self::SealWithoutChain,
        Self::ChainWithoutHeader,
        Self::RecoveryCutsTooMuch,
        Self::RecoveryCutsTooLittle,
        Self::RetryFailedSync,
        Self::BatchSplit,
        Self::HeaderWithFirstGroup,
        Self::NamedBeforeHeader,
        Self::TrustUnsyncedData,
        Self::TrustUnsyncedNames,
        Self::NoLookAtTheLastGroup,
        Self::NumberNotCarriedOver,
        Self::RetentionOneTooMany,
        Self::RetentionPassesHolds,
        Self::ReleasesOneTooMany,
        Self::HoldNotSynced,
        Self::NoCutAfterNoRoom,
        Self::PaddingOverCommits,
        Self::TornTailAsData,
        Self::NextUnchecked,
        Self::AnyNumberWillDo,
        Self::UnlinksBeforeTheLinkIsDurable,
        Self::RenameReplaces,
        Self::PoisonsOnShortage,
        Self::RetriesUnknownRename,
    ];

    /// Those that the models of threads must show.
    pub const OF_THREADS: [Self; 23] = [
        Self::TakesNoRoom,
        Self::KeepsItsRoom,
        Self::OvertakesWaitingAppends,
        Self::KeepsFreedCapacity,
        Self::AcceptsWithoutWaking,
        Self::DroppedAppendKeepsWaiting,
        Self::FailsBeforeSayingWhy,
        Self::ClosesBeforeSayingWhy,
        Self::AnswersBeforePublishing,
        Self::GoesOnAfterAFailure,
        Self::ForgetsWhatEndsAGroup,
        Self::GoesWithoutAWord,
        Self::UnlocksSilently,
        Self::TurnsBeforeArchived,
        Self::EndsInsteadOfFailing,
        Self::TakesPartsAsTheyCome,
        Self::OpensForNobody,
        Self::WaitsWithoutLooking,
        Self::WakesWhoAskedFirst,
        Self::ParksWithoutLooking,
        Self::LeavesAsksUnanswered,
        Self::WaitsForANumberWithoutLooking,
        Self::EndsWithoutTelling,
    ];
}

/// Whether this bug is to be shown.
#[cfg(not(any(test, feature = "_sim", shuttle)))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(any(test, feature = "_sim", shuttle))]
pub use switch::plant;
#[cfg(any(test, feature = "_sim", shuttle))]
pub(crate) use switch::planted;

/// Which bug is planted: a matter of each thread, so that tests can run side by side.
#[cfg(any(test, feature = "_sim", shuttle))]
pub(crate) mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is to be shown.
    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Plants a bug for this thread and the threads its journals start; `None` weeds it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// To be called on a thread that this one starts.
    pub(crate) fn carry_over() -> impl FnOnce() + Send + 'static {
        let bug = PLANTED.get();
        move || PLANTED.set(bug)
    }
}
