//! Small programs over the real engine, each run under thousands of interleavings of its threads; and the ways in which
//! the engine can be made wrong, to see that the models would notice. Compiled in `ministore-models` only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod closing;
mod failure;
mod hand_over;
mod lock;
mod pump;
mod rig;
mod room;
mod rotation;

use std::{cell::Cell, path::Path};

/// A program of a few threads that checks its own outcome. It is given an empty directory.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// The rule that it shows.
    pub name: &'static str,
    /// Runs once under the scheduler of the model checker.
    pub body: fn(&Path),
}

macro_rules! models {
    ($($module:ident: $($name:ident),+;)+) => {
        /// Every model.
        pub const ALL: &[Model] = &[$($(Model { name: stringify!($name), body: $module::$name },)+)+];
    };
}

models! {
    hand_over: every_append_is_answered_once_and_in_order, whoever_gives_up_hurts_nobody;
    room: no_more_is_accepted_than_there_is_room_for, room_is_granted_in_the_order_it_was_asked_for,
        whoever_waits_for_room_learns_that_there_will_be_none,
        whoever_waits_for_room_at_a_close_is_written_or_refused;
    failure: nothing_is_acknowledged_after_a_failed_commit, a_failure_racing_a_close_answers_everybody;
    closing: what_races_a_close_is_written_or_refused, the_last_handle_may_go_before_the_answers_come,
        a_closed_journal_is_free_at_once, a_cancelled_open_leaves_the_journal_free;
    lock: one_of_two_openers_gets_the_journal, a_lock_is_waited_for_while_it_is_being_released;
    pump: a_stream_gives_every_record_or_may_be_dropped, a_stream_tells_an_error_from_the_end;
    rotation: no_record_is_lost_between_segments, segments_written_ahead_lose_no_record,
        a_failed_rename_answers_everybody;
}

/// A deliberate bug in the engine, at the place that names it with `broken!`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// An append takes no room in the queue.
    TakesNoRoom,
    /// An answered append does not give its room back.
    KeepsItsRoom,
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
    /// An abandoned opening is not made known.
    OpensForNobody,
}

impl Bug {
    /// Every one of them.
    pub const ALL: &[Self] = &[
        Self::TakesNoRoom,
        Self::KeepsItsRoom,
        Self::FailsBeforeSayingWhy,
        Self::ClosesBeforeSayingWhy,
        Self::AnswersBeforePublishing,
        Self::GoesOnAfterAFailure,
        Self::ForgetsWhatEndsAGroup,
        Self::GoesWithoutAWord,
        Self::UnlocksSilently,
        Self::TurnsBeforeArchived,
        Self::EndsInsteadOfFailing,
        Self::OpensForNobody,
    ];

    /// Runs `act` with the bug. All modelled threads share the thread that this is called on.
    pub fn during<T>(self, act: impl FnOnce() -> T) -> T {
        let _off = Off;
        BUG.set(Some(self));
        act()
    }

    pub(crate) fn is_on(self) -> bool {
        BUG.get() == Some(self)
    }
}

thread_local! {
    static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Switches the bug off when it goes.
struct Off;

impl Drop for Off {
    fn drop(&mut self) {
        BUG.set(None);
    }
}
