//! Switches of the seeded bugs (`stress/seeded-bugs`) that are still in the engine's source. They are constants here.

/// A bug that a log must not have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bug {
    AbandonedOpenUnnoticed,
    AppendOvertakesWaiters,
    CloseWithoutNotify,
    CommitAfterFailure,
    DroppedAppendStaysQueued,
    ExpectedSeqIgnored,
    FreedCapacityNotGranted,
    GrantWithoutWake,
    GroupEndingCommandLost,
    HeaderWithFirstGroup,
    NameBeforeHeader,
    NoDirSyncAfterRotation,
    NoTruncateAfterStorageFull,
    NotifyBeforePublish,
    PaddingOverwritesCommits,
    ParkWithoutRecheck,
    PermitsNeverReleased,
    PoisonOnShortage,
    ReleaseNotAnnounced,
    RenameReplaces,
    RequestsNotCancelledOnClose,
    RetentionDeletesOneTooMany,
    RetentionIgnoresHolds,
    RetryUnknownRename,
    SeqRestartsAtRotation,
    SplitBatch,
    SwitchBeforeRename,
    TrimDeletesOneTooMany,
    WaitSeqWithoutRecheck,
    WaitWithoutRecheck,
    WaitersClosedBeforeReason,
    WaitersFailBeforeCause,
    WakeReplacedWaker,
}

pub(crate) const fn seeded(_: Bug) -> bool {
    false
}
