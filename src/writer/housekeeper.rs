//! What is done beside the commits: writing ahead, preparing the next segment, archiving and
//! closing the last one, retention. One job at a time, in the order asked for.

use std::{
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::retain::Keeper;
use crate::{
    device::{
        Disk, DiskFile, Hands, Open, RenameError, changed_no_name, is_at, is_no_room, rename_to_free_name,
    },
    format::PADDING,
    names::Names,
    ownership::{in_the_way, moved_away, remove_empty, remove_own},
    planted::{Bug, planted},
    queue::Queue,
    recovery::mark_closed,
    sync::{Mutex, PoisonError, Receiver, Sender, unbounded},
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
    /// Give the active segment its archived name, if the prepared one is still there.
    Archive { file: Arc<dyn DiskFile>, next: Arc<dyn DiskFile>, to: PathBuf },
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
    Prepared(Result<Arc<dyn DiskFile>, Unprepared>),
    Archived(io::Result<Archived>),
    Retired(io::Result<()>),
    /// There was no room for the last bytes of the archived segment. It is read as it is; to be tried again.
    Unretired(Retiring),
    /// Whoever asked was answered, or is when no segment is left to be deleted.
    Retained(io::Result<()>),
}

/// Why the next segment was not prepared.
#[derive(Debug)]
pub(super) enum Unprepared {
    /// Nothing that a record depends on was changed, and the file is discarded.
    NotBegun { action: &'static str, source: io::Error },
    /// Another process created a file of this name.
    Taken,
    /// A sync of the directory failed.
    NotDurable(io::Error),
}

/// How [`Job::Archive`] can end well.
#[derive(Debug)]
pub(super) enum Archived {
    Renamed,
    /// A call failed before it changed anything.
    NotRenamed(io::Error),
    /// Another process deleted, moved or replaced the prepared segment: nothing was changed.
    NextGone,
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

    /// The journal is being closed.
    pub(super) fn begin_closing(&self) {
        self.worker.keeper.begin_closing();
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
    /// What could not be removed under the name of the next segment.
    pub(super) leftover: Mutex<Leftover>,
}

/// A file that an attempt to prepare the next segment left. Nothing depends on it.
#[derive(Debug, Default)]
pub(super) enum Leftover {
    #[default]
    None,
    /// Creating it failed, and may have created it all the same: empty, then.
    Perhaps,
    /// Open, so that another file that gets the name is not taken for it.
    File(Arc<dyn DiskFile>),
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
            Job::Archive { file, next, to } => Outcome::Archived(self.archive(&*file, &*next, &to)),
            Job::Retire(retiring) => match self.retire(&retiring) {
                Ok(false) => Outcome::Unretired(retiring),
                retired => Outcome::Retired(retired.map(drop)),
            },
            Job::Retain { newest, opening } => Outcome::Retained(self.tend(newest, opening)),
        }
    }

    fn prepare(&self, bytes: u64, cached: Cached) -> Result<Arc<dyn DiskFile>, Unprepared> {
        let not_begun = |action| move |source| Unprepared::NotBegun { action, source };
        let path = self.names.next();
        self.discard_leftover().map_err(not_begun("remove"))?;
        let file = self.disk.open(&path, Open::New).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return Unprepared::Taken;
            }
            if !changed_no_name(&source) {
                self.leave_over(Leftover::Perhaps);
            }
            not_begun("create")(source)
        })?;
        // Nothing depends on this file before the writer turns to it: whatever fails, another one can be made.
        let made = lock(&*file)
            .map_err(not_begun("lock"))
            .and_then(|()| pad(&*file, 0, bytes, cached).map_err(not_begun("preallocate")))
            .and_then(|()| file.sync().map_err(not_begun("sync")))
            .and_then(|()| self.disk.sync_dir(self.names.dir()).map_err(Unprepared::NotDurable));
        if let Err(unprepared) = made {
            // Best effort: it is removed before the next attempt, or at the next open.
            let _ = file.unlock();
            self.leave_over(Leftover::File(file));
            let _ = self.discard_leftover();
            return Err(unprepared);
        }
        Ok(file)
    }

    /// Removes what an earlier attempt to prepare the next segment left.
    fn discard_leftover(&self) -> io::Result<()> {
        let leftover = self.leave_over(Leftover::None);
        let removed = match &leftover {
            Leftover::None => Ok(()),
            Leftover::Perhaps => remove_empty(&*self.disk, &self.names.next()),
            Leftover::File(file) => remove_own(&*self.disk, &self.names.next(), &**file),
        };
        removed.inspect_err(|_| {
            self.leave_over(leftover);
        })
    }

    fn leave_over(&self, leftover: Leftover) -> Leftover {
        mem::replace(&mut *self.leftover.lock().unwrap_or_else(PoisonError::into_inner), leftover)
    }

    /// The new name is durable before the prepared segment can take the old one: whatever order a file system
    /// makes renames durable in, no crash can leave the archived segment without a name.
    fn archive(&self, file: &dyn DiskFile, next: &dyn DiskFile, to: &Path) -> io::Result<Archived> {
        let active = self.names.active();
        let names = is_at(&*self.disk, &active, file).and_then(|is_active| {
            let taken = in_the_way(&*self.disk, to)?;
            // An earlier attempt may have given it this name as a second one.
            let is_own = taken.as_deref() == Some(to) && is_at(&*self.disk, to, file)?;
            Ok((is_active, taken.filter(|_| !is_own)))
        });
        match names {
            Err(error) => return Ok(Archived::NotRenamed(error)),
            Ok((false, _)) => return Err(moved_away(&active)),
            Ok((true, Some(path))) if !planted(Bug::RenameReplaces) => return Ok(Archived::Taken(path)),
            Ok(_) => {}
        }
        match is_at(&*self.disk, &self.names.next(), next) {
            Err(error) => return Ok(Archived::NotRenamed(error)),
            Ok(false) => return Ok(Archived::NextGone),
            Ok(true) => {}
        }
        match rename_to_free_name(&*self.disk, self.names.dir(), &active, to) {
            Err(RenameError::Refused(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Archived::Taken(to.to_path_buf()));
            }
            Err(RenameError::Refused(error)) => return Ok(Archived::NotRenamed(error)),
            Err(RenameError::Unsupported(error)) => return Ok(Archived::Refused(error.to_string())),
            Err(RenameError::Unknown(error)) if planted(Bug::RetriesUnknownRename) => {
                return Ok(Archived::NotRenamed(error));
            }
            Err(RenameError::Unknown(error)) => return Err(error),
            Ok(()) => {}
        }
        if !planted(Bug::NoDirSyncAfterArchiving) {
            self.disk.sync_dir(self.names.dir())?;
        }
        if let Some(number) = self.names.number_of(to) {
            self.keeper.archived(number, to);
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

/// Locks a new file, as the active segment is locked.
fn lock(file: &dyn DiskFile) -> io::Result<()> {
    if file.try_lock()? { Ok(()) } else { Err(io::Error::other("another process has locked it")) }
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
