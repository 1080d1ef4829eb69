//! A followed journal, for programs without an async runtime: lines, lent out of the reader's buffer.

use std::{fmt, sync::Arc};

use super::{
    super::{
        cursor::{Blocks, Cursor},
        feed::Place,
        line::Line,
    },
    follower::{Follower, Origin},
    source::Stop,
};
use crate::{Result, scan::Block};

/// The lines of a journal from some number on, then those that come. See
/// [`MiniStore::follow_lines`](crate::MiniStore::follow_lines) and
/// [`Blocking::follow_lines`](crate::Blocking::follow_lines).
///
/// The files are read on the thread that asks; nothing is opened before that. No more than one block of records is in
/// memory.
#[must_use = "nothing is read before the first `next_line`"]
pub struct FollowLines {
    origin: Origin,
    stop: Arc<Stop>,
    cursor: Cursor,
    state: State,
}

enum State {
    Fresh,
    Following(Box<Follower>),
    Ended,
}

/// Ends a [`FollowLines`], from another thread (that answers signals, say). Clones end the same.
#[derive(Debug, Clone)]
pub struct Stopper {
    stop: Arc<Stop>,
}

impl Stopper {
    /// Lets [`next_line`](FollowLines::next_line), which may be waiting, return `None` from now on.
    pub fn stop(&self) {
        self.stop.stop();
    }
}

impl FollowLines {
    pub(super) fn new(origin: Origin) -> Result<Self> {
        let stop = origin.stop()?;
        Ok(Self { origin, stop, cursor: Cursor::default(), state: State::Fresh })
    }

    /// What ends it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper { stop: Arc::clone(&self.stop) }
    }

    /// The next line; blocks the calling thread until there is one. `None` once it was [stopped](Stopper::stop), or the
    /// store it belongs to was closed, and after an error.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::follow`](crate::MiniStore::follow), save that nothing is parsed here.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>> {
        self.advance(|follower, cursor| cursor.refill(follower).map(|refilled| (refilled, !refilled)))
    }

    /// The next line, if there is one at this moment. `None` is no end: [`next_line`](Self::next_line) waits. Who writes
    /// what comes to somewhere else flushes there.
    ///
    /// # Errors
    ///
    /// As [`next_line`](Self::next_line).
    pub fn try_next_line(&mut self) -> Result<Option<Line<'_>>> {
        self.advance(|follower, cursor| cursor.refill(&mut Now(follower)).map(|refilled| (refilled, false)))
    }

    /// Goes to the next line. `refill` says whether it took a block, and whether that was the end.
    fn advance(
        &mut self,
        refill: impl Fn(&mut Follower, &mut Cursor) -> Result<(bool, bool)>,
    ) -> Result<Option<Line<'_>>> {
        while !self.cursor.advance(self.origin.from_seq) {
            if self.stop.is_set() {
                return Ok(None);
            }
            let mut follower = match std::mem::replace(&mut self.state, State::Ended) {
                State::Fresh => Box::new(Follower::new(self.origin.clone(), Arc::clone(&self.stop))?),
                State::Following(follower) => follower,
                State::Ended => return Ok(None),
            };
            let (refilled, ended) = refill(&mut follower, &mut self.cursor)?;
            if !ended {
                self.state = State::Following(follower);
            }
            if !refilled {
                return Ok(None);
            }
        }
        Ok(self.cursor.line())
    }
}

/// What there is without waiting.
struct Now<'a>(&'a mut Follower);

impl Blocks for Now<'_> {
    fn fill(&mut self, block: &mut Block) -> Result<Option<Place>> {
        self.0.look(block)
    }
}

impl fmt::Debug for FollowLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowLines")
            .field("path", &self.origin.path)
            .field("from_seq", &self.origin.from_seq)
            .finish_non_exhaustive()
    }
}
