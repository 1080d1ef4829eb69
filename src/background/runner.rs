//! Runs the jobs on the background thread: creates, renames and closes segments. Retention has its own module.

use std::{io, mem, path::Path, sync::Arc};

use super::{
    job::{BackgroundJob, JobResult, PageCache, PrepareError, Remaining, RenameResult, RotatedSegment},
    padding::{extend, pad},
    retention::RetentionManager,
};
use crate::{
    error::{is_storage_full, left_names_unchanged},
    io::{FileHandle, FileSystem, OpenMode, RenameError, is_at, rename_to_free_name},
    journal::{
        close_segment::mark_closed,
        file_names::FileNames,
        ownership::{conflicting_file, moved_away, remove_empty, remove_own},
    },
    sync::{Mutex, PoisonError},
};

/// Runs one job at a time.
#[derive(Debug)]
pub(crate) struct JobRunner {
    fs: Arc<dyn FileSystem>,
    names: FileNames,
    retention: RetentionManager,
    leftover: Mutex<Leftover>,
}

/// A file of the name `NAME.next` that a failed attempt to prepare the next segment left. No record depends on it.
#[derive(Debug, Default)]
enum Leftover {
    #[default]
    None,
    /// Creating the file failed and may have created it all the same. It is empty then.
    MaybeCreated,
    /// The file is kept open, so that another file of the same name is not mistaken for it.
    File(Arc<dyn FileHandle>),
}

impl JobRunner {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, names: FileNames, retention: RetentionManager) -> Self {
        Self { fs, names, retention, leftover: Mutex::default() }
    }

    pub(super) fn retention(&self) -> &RetentionManager {
        &self.retention
    }

    pub(super) fn run(&self, job: BackgroundJob) -> JobResult {
        let result = self.dispatch(job);
        if let JobResult::Renamed(Err(error)) | JobResult::Closed(Err(error)) = &result {
            // Here and not in the writer, which may have submitted more jobs before it receives this result.
            self.retention.poison(error);
        }
        result
    }

    fn dispatch(&self, job: BackgroundJob) -> JobResult {
        match job {
            BackgroundJob::Preallocate { file, truncate_at, from, to, page_cache } => {
                JobResult::Preallocated(extend(&*file, truncate_at, from, to, page_cache))
            }
            BackgroundJob::CreateNext { bytes, page_cache } => {
                JobResult::Created(self.create_next(bytes, page_cache))
            }
            BackgroundJob::Rename { file, next, to } => JobResult::Renamed(self.rename(&*file, &*next, &to)),
            BackgroundJob::Close(rotated) => {
                self.close_and_apply_limits(rotated).unwrap_or_else(|error| JobResult::Closed(Err(error)))
            }
            BackgroundJob::ApplyRetention { requests, newest, opening } => {
                JobResult::RetentionApplied(self.retention.serve_requests(requests, newest, opening))
            }
        }
    }

    fn create_next(&self, bytes: u64, page_cache: PageCache) -> Result<Arc<dyn FileHandle>, PrepareError> {
        let not_begun = |action| move |source| PrepareError::NotStarted { action, source };
        let path = self.names.next();
        self.discard_leftover().map_err(not_begun("remove"))?;
        let file = self.fs.open(&path, OpenMode::CreateNew).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return PrepareError::Taken;
            }
            if !left_names_unchanged(&source) {
                self.replace_leftover(Leftover::MaybeCreated);
            }
            not_begun("create")(source)
        })?;
        // No record depends on this file before the writer switches to it: after any failure another one can be
        // created.
        let prepared = lock(&*file)
            .map_err(not_begun("lock"))
            .and_then(|()| pad(&*file, 0, bytes, page_cache).map_err(not_begun("preallocate")))
            .and_then(|()| file.sync().map_err(not_begun("sync")))
            .and_then(|()| self.fs.sync_dir(self.names.dir()).map_err(PrepareError::NotDurable));
        if let Err(error) = prepared {
            // Best effort: it is removed before the next attempt, or at the next open.
            let _ = file.unlock();
            self.replace_leftover(Leftover::File(file));
            let _ = self.discard_leftover();
            return Err(error);
        }
        Ok(file)
    }

    /// Removes the file that an earlier attempt to prepare the next segment left.
    fn discard_leftover(&self) -> io::Result<()> {
        let leftover = self.replace_leftover(Leftover::None);
        let removed = match &leftover {
            Leftover::None => Ok(()),
            Leftover::MaybeCreated => remove_empty(&*self.fs, &self.names.next()),
            Leftover::File(file) => remove_own(&*self.fs, &self.names.next(), &**file),
        };
        removed.inspect_err(|_| {
            self.replace_leftover(leftover);
        })
    }

    fn replace_leftover(&self, leftover: Leftover) -> Leftover {
        mem::replace(&mut *self.leftover.lock().unwrap_or_else(PoisonError::into_inner), leftover)
    }

    /// Renames the active segment to `to`.
    ///
    /// The new name is durable before the prepared segment can take the active name. Whatever the order in which a file
    /// system makes renames durable, no crash can leave the rotated segment without a name.
    fn rename(&self, file: &dyn FileHandle, next: &dyn FileHandle, to: &Path) -> io::Result<RenameResult> {
        let active = self.names.active();
        let names = is_at(&*self.fs, &active, file).and_then(|is_active| {
            let taken = conflicting_file(&*self.fs, to)?;
            // An earlier attempt may have given it this name as a second one.
            let is_own = taken.as_deref() == Some(to) && is_at(&*self.fs, to, file)?;
            Ok((is_active, taken.filter(|_| !is_own)))
        });
        match names {
            Err(error) => return Ok(RenameResult::NotRenamed(error)),
            Ok((false, _)) => return Err(moved_away(&active)),
            Ok((true, Some(path))) => return Ok(RenameResult::Taken(path)),
            Ok(_) => {}
        }
        match is_at(&*self.fs, &self.names.next(), next) {
            Err(error) => return Ok(RenameResult::NotRenamed(error)),
            Ok(false) => return Ok(RenameResult::NextGone),
            Ok(true) => {}
        }
        match rename_to_free_name(&*self.fs, self.names.dir(), &active, to) {
            Err(RenameError::Refused(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(RenameResult::Taken(to.to_path_buf()));
            }
            Err(RenameError::Refused(error)) => return Ok(RenameResult::NotRenamed(error)),
            Err(RenameError::Unsupported(error)) => return Ok(RenameResult::Refused(error.to_string())),
            Err(RenameError::Unknown(error)) => return Err(error),
            Ok(()) => {}
        }
        self.fs.sync_dir(self.names.dir())?;
        if let Some(number) = self.names.number_of(to) {
            self.retention.rotated(number, to);
        }
        Ok(RenameResult::Renamed)
    }

    /// Closes a rotated segment and applies the retention limits.
    fn close_and_apply_limits(&self, rotated: RotatedSegment) -> io::Result<JobResult> {
        self.fs.sync_dir(self.names.dir())?;
        let closed = self.close(&rotated)?;
        let applies = rotated.applies_retention;
        let remaining = if applies { self.retention.apply_limits(rotated.number)? } else { Remaining::None };
        // Deleting segments may have freed the disk space that closing needs.
        if closed || self.close(&rotated)? {
            return Ok(JobResult::Closed(Ok(remaining)));
        }
        Ok(JobResult::CloseDeferred(rotated, remaining))
    }

    fn close(&self, rotated: &RotatedSegment) -> io::Result<bool> {
        let closed = try_close(rotated)?;
        if closed {
            self.retention.forget_size(rotated.number);
        }
        Ok(closed)
    }
}

/// Writes the end marker of a rotated segment and syncs it. Returns `false` if there is no disk space for the marker; a
/// sync that fails for lack of space is an error, like any failed sync.
fn try_close(rotated: &RotatedSegment) -> io::Result<bool> {
    match mark_closed(&*rotated.file, rotated.data_end, rotated.checksummed) {
        Err(error) if is_storage_full(&error) => return Ok(false),
        marked => marked?,
    }
    rotated.file.sync()?;
    Ok(true)
}

/// Locks a new file, as the active segment is locked.
fn lock(file: &dyn FileHandle) -> io::Result<()> {
    if file.try_lock()? { Ok(()) } else { Err(io::Error::other("another process has locked it")) }
}
