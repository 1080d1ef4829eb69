//! How long a rotation takes, and how long it stalls the writer thread.

use std::{
    mem,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub(super) struct RotationTimer {
    /// When the rotation became due.
    due: Option<Instant>,
    /// The path of the rotated segment and when its rotation became due, until the new segment has its name.
    switched: Option<(PathBuf, Instant)>,
    /// For how long the writer thread could not commit.
    stall: Duration,
}

/// The times of a rotation that is complete.
pub(super) struct RotationTimes {
    pub(super) rotated: PathBuf,
    pub(super) elapsed: Duration,
    pub(super) stall: Duration,
}

impl RotationTimer {
    pub(super) fn update(&mut self, is_due: bool) {
        self.due = is_due.then(|| self.due.unwrap_or_else(Instant::now));
    }

    /// Records that commits go to the new segment.
    pub(super) fn switched(&mut self, rotated: &Path) {
        let due = self.due.take().unwrap_or_else(Instant::now);
        self.switched = Some((rotated.into(), due));
    }

    pub(super) fn add_stall(&mut self, began: Instant) {
        self.stall += began.elapsed();
    }

    /// Ends the rotation, if commits have gone to the new segment, and resets the timer.
    pub(super) fn finish(&mut self) -> Option<RotationTimes> {
        let (rotated, due) = self.switched.take()?;
        Some(RotationTimes { rotated, elapsed: due.elapsed(), stall: mem::take(&mut self.stall) })
    }
}
