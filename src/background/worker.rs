//! What is done beside the commits: writing ahead, preparing the next segment, archiving and
//! closing the last one, retention. One job at a time, in the order asked for.

use std::{
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    task::Waker,
};

use super::retention::RetentionManager;
use crate::{
    format::PADDING,
    io::{
        Executor, FileHandle, FileSystem, OpenMode, RenameError, changed_no_name, is_at, is_storage_full,
        rename_to_free_name,
    },
    journal::close_segment::mark_closed,
    journal::file_names::FileNames,
    journal::ownership::{in_the_way, moved_away, remove_empty, remove_own},
    seeded_bugs::{Bug, seeded},
    sync::{Mutex, PoisonError, Receiver, Sender, unbounded},
};

/// Padding written and made durable at a time: a commit's sync that has to wait for it waits for no more.
const PADDING_BYTES: usize = 1 << 20;

/// What the housekeeper is asked to do.
#[derive(Debug)]
pub(crate) enum BackgroundJob {
    /// Pad the active segment from `from` to `to`, after cutting it at `cut`.
    Preallocate { file: Arc<dyn FileHandle>, cut: Option<u64>, from: u64, to: u64, page_cache: PageCache },
    /// Create the next segment, padded up to `bytes`.
    CreateNext { bytes: u64, page_cache: PageCache },
    /// Give the active segment its archived name, if the prepared one is still there.
    Rename { file: Arc<dyn FileHandle>, next: Arc<dyn FileHandle>, to: PathBuf },
    /// Close an archived segment, whose successor has the active name by now; then delete the oldest segment.
    Close(RotatedSegment),
    /// Do what callers ask of retention. Of the archived segments those up to this number may be deleted.
    ApplyRetention { newest: u64, opening: bool },
}

/// Whether padding stays in the page cache: of no use, and in the way, where commits go past it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageCache {
    Keep,
    Drop,
}

/// What is to be done with a segment that was archived.
#[derive(Debug, Clone)]
pub(crate) struct RotatedSegment {
    pub(crate) file: Arc<dyn FileHandle>,
    pub(crate) data_end: u64,
    pub(crate) sealed: bool,
    /// Its number.
    pub(crate) number: u64,
    /// Whether segments may be deleted then.
    pub(crate) applies_retention: bool,
}

impl BackgroundJob {
    /// The same, deleting nothing.
    pub(crate) fn without_retention(self) -> Self {
        match self {
            Self::Close(rotated) => Self::Close(RotatedSegment { applies_retention: false, ..rotated }),
            other => other,
        }
    }
}

/// What became of a job.
#[derive(Debug)]
pub(crate) enum JobResult {
    Preallocated(io::Result<u64>),
    Created(Result<Arc<dyn FileHandle>, PrepareError>),
    RenameResult(io::Result<RenameResult>),
    Closed(io::Result<()>),
    /// There was no room for the last bytes of the archived segment. It is read as it is; to be tried again.
    CloseDeferred(RotatedSegment),
    /// Whoever asked was answered, or is when no segment is left to be deleted.
    RetentionApplied(io::Result<()>),
}

/// Why the next segment was not prepared.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// Nothing that a record depends on was changed, and the file is discarded.
    NotBegun { action: &'static str, source: io::Error },
    /// Another process created a file of this name.
    Taken,
    /// A sync of the directory failed.
    NotDurable(io::Error),
}

/// How [`BackgroundJob::Rename`] can end well.
#[derive(Debug)]
pub(crate) enum RenameResult {
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
pub(crate) struct BackgroundWorker {
    executor: Box<dyn Executor>,
    worker: Arc<JobRunner>,
    done: Sender<JobResult>,
    outcomes: Receiver<JobResult>,
    /// Wakes the writer thread.
    waker: Waker,
    in_flight: usize,
}

impl BackgroundWorker {
    pub(crate) fn new(executor: Box<dyn Executor>, worker: JobRunner, waker: Waker) -> Self {
        let (done, outcomes) = unbounded();
        Self { executor, worker: Arc::new(worker), done, outcomes, waker, in_flight: 0 }
    }

    pub(crate) fn submit(&mut self, job: BackgroundJob) {
        let worker = Arc::clone(&self.worker);
        let report = CompletionGuard { done: self.done.clone(), waker: self.waker.clone(), outcome: None };
        self.in_flight += 1;
        self.executor.run(Box::new(move || {
            let mut report = report;
            report.outcome = Some(worker.run(job));
        }));
    }

    /// Retention: segments are left to be deleted, and a job is to go on.
    pub(crate) fn has_deferred(&self) -> bool {
        self.worker.retention.has_deferred()
    }

    /// The journal is being closed.
    pub(crate) fn begin_closing(&self) {
        self.worker.retention.begin_closing();
    }

    /// No job goes on with retention.
    pub(crate) fn cancel_deferred(&self) {
        self.worker.retention.cancel_deferred();
    }

    fn received(&mut self) {
        debug_assert!(self.in_flight > 0, "an outcome without a job");
        self.in_flight -= 1;
    }

    /// An outcome that is there, or `None`.
    pub(crate) fn poll(&mut self) -> Option<JobResult> {
        let outcome = self.outcomes.try_recv().ok()?;
        self.received();
        Some(outcome)
    }

    /// Waits for an outcome; `None` where nothing is under way.
    pub(crate) fn recv(&mut self) -> Option<JobResult> {
        if self.in_flight == 0 {
            return None;
        }
        if self.outcomes.is_empty() {
            self.executor.before_wait();
        }
        let outcome = self.outcomes.recv().ok();
        self.received();
        outcome
    }

    /// Waits until everything asked for is done.
    pub(crate) fn finish(&mut self, mut note: impl FnMut(JobResult)) {
        while let Some(outcome) = self.recv() {
            note(outcome);
        }
        self.executor.finish();
    }
}

/// Tells the outcome of a job when it is dropped: also where the job was never run, or panicked.
#[derive(Debug)]
struct CompletionGuard {
    done: Sender<JobResult>,
    waker: Waker,
    outcome: Option<JobResult>,
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        let gone = || JobResult::Closed(Err(io::Error::other("the housekeeping thread is gone")));
        let _ = self.done.send(self.outcome.take().unwrap_or_else(gone));
        self.waker.wake_by_ref();
    }
}

/// Does the jobs.
#[derive(Debug)]
pub(crate) struct JobRunner {
    pub(crate) disk: Arc<dyn FileSystem>,
    pub(crate) names: FileNames,
    pub(crate) retention: RetentionManager,
    /// What could not be removed under the name of the next segment.
    pub(crate) leftover: Mutex<Leftover>,
}

/// A file that an attempt to prepare the next segment left. Nothing depends on it.
#[derive(Debug, Default)]
pub(crate) enum Leftover {
    #[default]
    None,
    /// Creating it failed, and may have created it all the same: empty, then.
    Perhaps,
    /// Open, so that another file that gets the name is not taken for it.
    File(Arc<dyn FileHandle>),
}

impl JobRunner {
    fn run(&self, job: BackgroundJob) -> JobResult {
        let outcome = self.dispatch(job);
        if let JobResult::RenameResult(Err(error)) | JobResult::Closed(Err(error)) = &outcome {
            // Before the writer hears of it: it may have asked for more by now.
            self.retention.stop(error);
        }
        outcome
    }

    fn dispatch(&self, job: BackgroundJob) -> JobResult {
        match job {
            BackgroundJob::Preallocate { file, cut, from, to, page_cache } => {
                JobResult::Preallocated(extend(&*file, cut, from, to, page_cache))
            }
            BackgroundJob::CreateNext { bytes, page_cache } => {
                JobResult::Created(self.prepare(bytes, page_cache))
            }
            BackgroundJob::Rename { file, next, to } => {
                JobResult::RenameResult(self.archive(&*file, &*next, &to))
            }
            BackgroundJob::Close(rotated) => match self.close_and_retain(&rotated) {
                Ok(false) => JobResult::CloseDeferred(rotated),
                retired => JobResult::Closed(retired.map(drop)),
            },
            BackgroundJob::ApplyRetention { newest, opening } => {
                JobResult::RetentionApplied(self.run_retention(newest, opening))
            }
        }
    }

    fn prepare(&self, bytes: u64, page_cache: PageCache) -> Result<Arc<dyn FileHandle>, PrepareError> {
        let not_begun = |action| move |source| PrepareError::NotBegun { action, source };
        let path = self.names.next();
        self.discard_leftover().map_err(not_begun("remove"))?;
        let file = self.disk.open(&path, OpenMode::CreateNew).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return PrepareError::Taken;
            }
            if !changed_no_name(&source) {
                self.leave_over(Leftover::Perhaps);
            }
            not_begun("create")(source)
        })?;
        // Nothing depends on this file before the writer turns to it: whatever fails, another one can be made.
        let made = lock(&*file)
            .map_err(not_begun("lock"))
            .and_then(|()| pad(&*file, 0, bytes, page_cache).map_err(not_begun("preallocate")))
            .and_then(|()| file.sync().map_err(not_begun("sync")))
            .and_then(|()| self.disk.sync_dir(self.names.dir()).map_err(PrepareError::NotDurable));
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
    fn archive(&self, file: &dyn FileHandle, next: &dyn FileHandle, to: &Path) -> io::Result<RenameResult> {
        let active = self.names.active();
        let names = is_at(&*self.disk, &active, file).and_then(|is_active| {
            let taken = in_the_way(&*self.disk, to)?;
            // An earlier attempt may have given it this name as a second one.
            let is_own = taken.as_deref() == Some(to) && is_at(&*self.disk, to, file)?;
            Ok((is_active, taken.filter(|_| !is_own)))
        });
        match names {
            Err(error) => return Ok(RenameResult::NotRenamed(error)),
            Ok((false, _)) => return Err(moved_away(&active)),
            Ok((true, Some(path))) if !seeded(Bug::RenameReplaces) => return Ok(RenameResult::Taken(path)),
            Ok(_) => {}
        }
        match is_at(&*self.disk, &self.names.next(), next) {
            Err(error) => return Ok(RenameResult::NotRenamed(error)),
            Ok(false) => return Ok(RenameResult::NextGone),
            Ok(true) => {}
        }
        match rename_to_free_name(&*self.disk, self.names.dir(), &active, to) {
            Err(RenameError::Refused(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(RenameResult::Taken(to.to_path_buf()));
            }
            Err(RenameError::Refused(error)) => return Ok(RenameResult::NotRenamed(error)),
            Err(RenameError::Unsupported(error)) => return Ok(RenameResult::Refused(error.to_string())),
            Err(RenameError::Unknown(error)) if seeded(Bug::RetryUnknownRename) => {
                return Ok(RenameResult::NotRenamed(error));
            }
            Err(RenameError::Unknown(error)) => return Err(error),
            Ok(()) => {}
        }
        if !seeded(Bug::NoDirSyncAfterRotation) {
            self.disk.sync_dir(self.names.dir())?;
        }
        if let Some(number) = self.names.number_of(to) {
            self.retention.rotated(number, to);
        }
        Ok(RenameResult::Renamed)
    }

    /// `false` where there is no room to close it.
    fn close_and_retain(&self, rotated: &RotatedSegment) -> io::Result<bool> {
        self.disk.sync_dir(self.names.dir())?;
        let closed = self.close(rotated)?;
        if rotated.applies_retention {
            self.retain_after_rotation(rotated.number)?;
        }
        // What was deleted may have made room.
        Ok(closed || self.close(rotated)?)
    }

    fn close(&self, rotated: &RotatedSegment) -> io::Result<bool> {
        let closed = rotated.close()?;
        if closed {
            self.retention.forget_size(rotated.number);
        }
        Ok(closed)
    }
}

impl RotatedSegment {
    /// `false` where there is no room. A sync that fails for want of room is a failed sync all the same.
    fn close(&self) -> io::Result<bool> {
        match mark_closed(&*self.file, self.data_end, self.sealed) {
            Err(error) if is_storage_full(&error) => return Ok(false),
            closed => closed?,
        }
        self.file.sync()?;
        Ok(true)
    }
}

/// Locks a new file, as the active segment is locked.
fn lock(file: &dyn FileHandle) -> io::Result<()> {
    if file.try_lock()? { Ok(()) } else { Err(io::Error::other("another process has locked it")) }
}

fn extend(
    file: &dyn FileHandle,
    cut: Option<u64>,
    from: u64,
    to: u64,
    page_cache: PageCache,
) -> io::Result<u64> {
    if let Some(end) = cut {
        file.set_len(end)?;
    }
    match pad(file, from, to, page_cache) {
        Ok(()) => Ok(to),
        Err(error) => {
            file.set_len(from)?;
            Err(error)
        }
    }
}

/// Padding, durable.
fn pad(file: &dyn FileHandle, from: u64, to: u64, page_cache: PageCache) -> io::Result<()> {
    let padding = vec![PADDING; PADDING_BYTES.min((to.saturating_sub(from)) as usize)];
    let mut at = from;
    while at < to {
        let count = (padding.len() as u64).min(to - at) as usize;
        file.write_at(&padding[..count], at)?;
        file.sync()?;
        if page_cache == PageCache::Drop {
            file.drop_page_cache(at, count as u64);
        }
        at += count as u64;
    }
    Ok(())
}
