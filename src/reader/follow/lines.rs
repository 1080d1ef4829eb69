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
    /// Behind the last line that was handed out: a file that was replaced is read anew.
    next_seq: u64,
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
    /// Lets [`next_line`](FollowLines::next_line), which may be waiting, return `None` from now on. Does nothing to the
    /// process that a fork was made of.
    pub fn stop(&self) {
        self.stop.stop();
    }
}

impl FollowLines {
    pub(super) fn new(origin: Origin) -> Result<Self> {
        let (stop, next_seq) = (origin.stop()?, origin.from_seq);
        Ok(Self { origin, stop, next_seq, cursor: Cursor::default(), state: State::Fresh })
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
        while !self.cursor.advance(self.next_seq) {
            if !self.refill(|follower, cursor| cursor.refill(follower))? {
                self.state = State::Ended;
                return Ok(None);
            }
        }
        let line = self.cursor.line();
        self.next_seq = line.map_or(self.next_seq, |line| line.seq.saturating_add(1));
        Ok(line)
    }

    /// Whether there is a line at this moment, so that [`next_line`](Self::next_line) need not wait for it. Who writes the
    /// lines to somewhere else flushes there where there is none.
    ///
    /// # Errors
    ///
    /// As [`next_line`](Self::next_line).
    pub fn is_ready(&mut self) -> Result<bool> {
        while !self.cursor.has_more(self.next_seq) {
            if !self.refill(|follower, cursor| cursor.refill(&mut Now(follower)))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the next block; `false` where there is none. It ends at the first error.
    fn refill(&mut self, refill: impl Fn(&mut Follower, &mut Cursor) -> Result<bool>) -> Result<bool> {
        if self.stop.is_set() {
            return Ok(false);
        }
        let state = std::mem::replace(&mut self.state, State::Ended);
        if !matches!(state, State::Ended) {
            // A fork shares what is open with the process that opened it: an event read here is one that it never sees.
            self.stop.check_process(&self.origin.path)?;
        }
        let mut follower = match state {
            State::Fresh => Box::new(Follower::new(self.origin.clone(), Arc::clone(&self.stop))?),
            State::Following(follower) => follower,
            State::Ended => return Ok(false),
        };
        let refilled = refill(&mut follower, &mut self.cursor)?;
        self.state = State::Following(follower);
        Ok(refilled)
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
