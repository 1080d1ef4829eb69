//! What is done beside the commits: writing ahead, preparing the next segment, archiving and
//! closing the last one, retention. One job at a time, in the order asked for.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::retain::Keeper;
use crate::{
    device::{Disk, DiskFile, Hands, Open, RenameError, is_at, is_no_room, rename_to_free_name},
    format::PADDING,
    names::Names,
    ownership::{in_the_way, moved_away, remove_own},
    planted::{Bug, planted},
    queue::Queue,
    recovery::mark_closed,
    sync::{Receiver, Sender, unbounded},
};

/// Padding written and made durable at a time: a commit's sync that has to wait for it waits for no more.
const PADDING_BYTES: usize = 1 << 20;

/// What the housekeeper is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Pad the active segment from `from` to `to`, after cutting it at `cut`.
    Extend { file: Arc<dyn DiskFile>, cut: Option<u64>, from: u64, to: u64, cached: Cached },
    /// Create the next segment, padded up to `bytes`.
    Prepare { bytes: u64, cached: Cached },
    /// Give the active segment its archived name.
    Archive { file: Arc<dyn DiskFile>, to: PathBuf },
    /// Close an archived segment, whose successor has the active name by now; then delete the oldest segment.
    Retire(Retiring),
    /// Do what callers ask of retention. Of the archived segments those up to this number may be deleted.
    Retain { newest: u64, opening: bool },
}

/// Whether padding stays in the page cache: of no use, and in the way, where commits go past it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cached {
    Yes,
    No,
}

/// What is to be done with a segment that was archived.
#[derive(Debug, Clone)]
pub(super) struct Retiring {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) data_end: u64,
    pub(super) sealed: bool,
    /// Its number.
    pub(super) number: u64,
    /// Whether segments may be deleted then.
    pub(super) retains: bool,
}

impl Job {
    /// The same, deleting nothing.
    pub(super) fn without_retention(self) -> Self {
        match self {
            Self::Retire(retiring) => Self::Retire(Retiring { retains: false, ..retiring }),
            other => other,
        }
    }
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    Extended(io::Result<u64>),
    Prepared(io::Result<Arc<dyn DiskFile>>),
    Archived(io::Result<Archived>),
    Retired(io::Result<()>),
    /// There was no room for the last bytes of the archived segment. It is read as it is; to be tried again.
    Unretired(Retiring),
    /// Whoever asked was answered, or is when no segment is left to be deleted.
    Retained(io::Result<()>),
}

/// How [`Job::Archive`] can end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Archived {
    Renamed,
    /// The directory has no room for another name: nothing was changed.
    NoRoom,
    /// This file has the name, or is the lock file of a journal of that name: nothing was changed.
    Taken(PathBuf),
    /// The name cannot be given without the risk to replace another file: nothing was changed.
    Refused(String),
}

#[derive(Debug)]
pub(super) struct Housekeeper {
    hands: Box<dyn Hands>,
    worker: Arc<Worker>,
    done: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    /// Where the writer waits.
    queue: Arc<Queue>,
    in_flight: usize,
}

impl Housekeeper {
    pub(super) fn new(hands: Box<dyn Hands>, worker: Worker, queue: Arc<Queue>) -> Self {
        let (done, outcomes) = unbounded();
        Self { hands, worker: Arc::new(worker), done, outcomes, queue, in_flight: 0 }
    }

    pub(super) fn ask(&mut self, job: Job) {
        let worker = Arc::clone(&self.worker);
        let report = Report { done: self.done.clone(), queue: Arc::clone(&self.queue), outcome: None };
        self.in_flight += 1;
        self.hands.run(Box::new(move || {
            let mut report = report;
            report.outcome = Some(worker.carry_out(job));
        }));
    }

    /// Retention: segments are left to be deleted, and a job is to go on.
    pub(super) fn is_unfinished(&self) -> bool {
        self.worker.keeper.is_unfinished()
    }

    /// No job goes on with retention.
    pub(super) fn refuse_unfinished(&self) {
        self.worker.keeper.refuse_unfinished();
    }

    fn received(&mut self) {
        debug_assert!(self.in_flight > 0, "an outcome without a job");
        self.in_flight -= 1;
    }

    /// An outcome that is there, or `None`.
    pub(super) fn poll(&mut self) -> Option<Outcome> {
        let outcome = self.outcomes.try_recv().ok()?;
        self.received();
        Some(outcome)
    }

    /// Waits for an outcome; `None` where nothing is under way.
    pub(super) fn await_one(&mut self) -> Option<Outcome> {
        if self.in_flight == 0 {
            return None;
        }
        if self.outcomes.is_empty() {
            self.hands.finish_one();
        }
        let outcome = self.outcomes.recv().ok();
        self.received();
        outcome
    }

    /// Waits until everything asked for is done.
    pub(super) fn finish(&mut self, mut note: impl FnMut(Outcome)) {
        while let Some(outcome) = self.await_one() {
            note(outcome);
        }
        self.hands.finish();
    }
}

/// Tells the outcome of a job when it is dropped: also where the job was never run, or panicked.
#[derive(Debug)]
struct Report {
    done: Sender<Outcome>,
    queue: Arc<Queue>,
    outcome: Option<Outcome>,
}

impl Drop for Report {
    fn drop(&mut self) {
        let gone = || Outcome::Retired(Err(io::Error::other("the housekeeping thread is gone")));
        let _ = self.done.send(self.outcome.take().unwrap_or_else(gone));
        self.queue.nudge();
    }
}

/// Does the jobs.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) names: Names,
    pub(super) keeper: Keeper,
}

impl Worker {
    fn carry_out(&self, job: Job) -> Outcome {
        let outcome = self.outcome_of(job);
        if let Outcome::Archived(Err(error)) | Outcome::Retired(Err(error)) = &outcome {
            // Before the writer hears of it: it may have asked for more by now.
            self.keeper.stop(error);
        }
        outcome
    }

    fn outcome_of(&self, job: Job) -> Outcome {
        match job {
            Job::Extend { file, cut, from, to, cached } => {
                Outcome::Extended(extend(&*file, cut, from, to, cached))
            }
            Job::Prepare { bytes, cached } => Outcome::Prepared(self.prepare(bytes, cached)),
            Job::Archive { file, to } => Outcome::Archived(self.archive(&*file, &to)),
            Job::Retire(retiring) => match self.retire(&retiring) {
                Ok(false) => Outcome::Unretired(retiring),
                retired => Outcome::Retired(retired.map(drop)),
            },
            Job::Retain { newest, opening } => Outcome::Retained(self.tend(newest, opening)),
        }
    }

    fn prepare(&self, bytes: u64, cached: Cached) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.names.next();
        let file = self.disk.open(&path, Open::New)?;
        let prepared = pad(&*file, 0, bytes, cached).and_then(|()| file.sync());
        if let Err(error) = prepared.and_then(|()| self.disk.sync_dir(self.names.dir())) {
            // Best effort: what is left of it is removed at the next open at the latest.
            let _ = remove_own(&*self.disk, &path, &*file);
            return Err(error);
        }
        Ok(file)
    }

    /// The new name is durable before the prepared segment can take the old one: whatever order a file system
    /// makes renames durable in, no crash can leave the archived segment without a name.
    fn archive(&self, file: &dyn DiskFile, to: &Path) -> io::Result<Archived> {
        let active = self.names.active();
        if !is_at(&*self.disk, &active, file) {
            return Err(moved_away(&active));
        }
        if let Ok(Some(path)) = in_the_way(&*self.disk, to)
            && !planted(Bug::RenameReplaces)
        {
            return Ok(Archived::Taken(path));
        }
        match rename_to_free_name(&*self.disk, self.names.dir(), &active, to) {
            Err(RenameError::Refused(error)) if is_no_room(&error) => return Ok(Archived::NoRoom),
            Err(RenameError::Refused(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Archived::Taken(to.to_path_buf()));
            }
            Err(RenameError::Refused(error)) => return Ok(Archived::Refused(error.to_string())),
            Err(RenameError::Unknown(error)) => return Err(error),
            Ok(()) => {}
        }
        if !planted(Bug::NoDirSyncAfterArchiving) {
            self.disk.sync_dir(self.names.dir())?;
        }
        Ok(Archived::Renamed)
    }

    /// `false` where there is no room to close it.
    fn retire(&self, retiring: &Retiring) -> io::Result<bool> {
        self.disk.sync_dir(self.names.dir())?;
        let closed = self.close(retiring)?;
        if retiring.retains {
            self.retain_after_rotation(retiring.number)?;
        }
        // What was deleted may have made room.
        Ok(closed || self.close(retiring)?)
    }

    fn close(&self, retiring: &Retiring) -> io::Result<bool> {
        let closed = retiring.close()?;
        if closed {
            self.keeper.forget_size(retiring.number);
        }
        Ok(closed)
    }
}

impl Retiring {
    /// `false` where there is no room. A sync that fails for want of room is a failed sync all the same.
    fn close(&self) -> io::Result<bool> {
        match mark_closed(&*self.file, self.data_end, self.sealed) {
            Err(error) if is_no_room(&error) => return Ok(false),
            marked => marked?,
        }
        self.file.sync()?;
        Ok(true)
    }
}

fn extend(file: &dyn DiskFile, cut: Option<u64>, from: u64, to: u64, cached: Cached) -> io::Result<u64> {
    if let Some(end) = cut {
        file.set_len(end)?;
    }
    match pad(file, from, to, cached) {
        Ok(()) => Ok(to),
        Err(error) => {
            file.set_len(from)?;
            Err(error)
        }
    }
}

/// Padding, durable.
fn pad(file: &dyn DiskFile, from: u64, to: u64, cached: Cached) -> io::Result<()> {
    let padding = vec![PADDING; PADDING_BYTES.min((to.saturating_sub(from)) as usize)];
    let mut at = from;
    while at < to {
        let count = (padding.len() as u64).min(to - at) as usize;
        file.write_at(&padding[..count], at)?;
        file.sync()?;
        if cached == Cached::No {
            file.forget_cached(at, count as u64);
        }
        at += count as u64;
    }
    Ok(())
}
