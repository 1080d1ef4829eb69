//! Starting the writer thread. It opens and recovers the journal itself, so that no thread of a caller is blocked.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use super::{
    Writer,
    logging::{self, LogOnce},
    preallocate::{GroupSizeEma, Preallocating},
    retention::RetentionState,
    rotation::Rotation,
    segment::ActiveSegment,
};
use crate::{
    Backend, BackendKind, JournalOptions, MiniStoreError, OpenReport, Result,
    background::{JobRunner, RetentionManager, policy::RetentionLimits, worker::BackgroundWorker},
    commit::inner::StoreInner,
    commit::queue::WriterHandle,
    commit::queue::{CommitQueue, Mailbox, WriterMessage},
    format::scan::read_header,
    io::{CommitBackend, CommitOptions, FileKind, FileSystem, OpenMode, OsFileSystem, refusal_hint},
    journal::file_names::{FileNames, names_a_directory},
    journal::fork::ForkGuard,
    journal::lock::{JournalLock, PendingRelease},
    journal::ownership::{check_after_locking, check_before_opening},
    journal::{holds, status::StoreStatus},
    recovery::recover,
    sync::{oneshot, thread},
};

/// The parts of an open journal that a store uses.
#[derive(Debug)]
pub(crate) struct WriterParts {
    pub(crate) writer: WriterHandle,
    pub(crate) status: Arc<StoreStatus>,
    pub(crate) queue: Arc<CommitQueue>,
    pub(crate) report: OpenReport,
    pub(crate) backend: BackendKind,
    /// The file system that the journal is on.
    pub(crate) fs: Arc<dyn FileSystem>,
}

/// The future of a journal that is being opened on its writer thread.
#[derive(Debug)]
pub(crate) struct OpenFuture {
    reply: oneshot::Receiver<Result<WriterParts>>,
    fork_guard: ForkGuard,
    path: PathBuf,
    releasing: PendingRelease,
    answered: bool,
}

impl Future for OpenFuture {
    type Output = Result<WriterParts>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.reply).poll(context) {
            Poll::Ready(opened) => {
                self.answered = true;
                Poll::Ready(opened.unwrap_or(Err(MiniStoreError::WriterPanicked)))
            }
            // No thread of a forked child would ever wake it.
            Poll::Pending if self.fork_guard.in_forked_child() => {
                Poll::Ready(Err(MiniStoreError::Forked { path: self.path.clone(), pid: self.fork_guard.id }))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for OpenFuture {
    fn drop(&mut self) {
        // The writer thread closes the journal. The next open waits for that instead of failing.
        if !self.answered {
            self.releasing.mark_releasing();
        }
    }
}

/// A backend that is known to work, its file system, and its commit backend.
pub(crate) type SelectedBackend = (BackendKind, Arc<dyn FileSystem>, Box<dyn CommitBackend>);

/// Starts the writer thread, which opens the journal with the backend that `select_backend` returns there. If the
/// future was dropped before the journal is open, the writer thread closes it at once.
pub(crate) fn spawn(
    options: JournalOptions,
    path: PathBuf,
    max_queue_bytes: u32,
    select_backend: impl FnOnce() -> Result<SelectedBackend> + Send + 'static,
) -> Result<OpenFuture> {
    let (sender, reply) = oneshot::channel();
    let (fork_guard, releasing) = (ForkGuard::current()?, PendingRelease::default());
    let opening = OpenFuture {
        reply,
        fork_guard: fork_guard.clone(),
        path: path.clone(),
        releasing: releasing.clone(),
        answered: false,
    };
    thread::Builder::new().name("ministore-writer".into()).spawn(move || {
        let started = select_backend()
            .and_then(|selected| start(options, &path, max_queue_bytes, selected, fork_guard, releasing));
        match started {
            Ok((writer, opened)) => {
                drop(sender.send(Ok(opened)));
                writer.run();
            }
            Err(error) => drop(sender.send(Err(error))),
        }
    })?;
    Ok(opening)
}

/// Opens and recovers the journal on the calling thread.
pub(super) fn start(
    options: JournalOptions,
    path: &Path,
    max_queue_bytes: u32,
    (backend, fs, commit_backend): SelectedBackend,
    fork_guard: ForkGuard,
    releasing: PendingRelease,
) -> Result<(Writer, WriterParts)> {
    let began = Instant::now();
    check_file_kind(&*fs, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs.create_dirs(parent).map_err(MiniStoreError::file(parent, "create the directory"))?;
    let names = FileNames::resolve(&*fs, path)?;
    let mut commit_backend = commit_backend;
    let open_dir =
        fs.keep_dir_open(names.dir()).map_err(MiniStoreError::file(names.dir(), "open the directory"))?;
    commit_backend.keep_dir_open(open_dir);
    let mut lock = lock_journal(&*fs, &names, releasing.clone())?;
    // Before anything is changed: without the holds it is unknown which segments must be kept.
    let holds = holds::load(&*fs, &names)?;
    let recovered = recover(&*fs, &names, &options)?;
    holds::remove_temp_file(&*fs, &names)?;
    lock.lock_segment(&names.active(), Arc::clone(&recovered.file))?;
    let report = recovered.report.clone();
    let seqs_are_stable = options.checksums || RetentionLimits::of(&options).keep_everything();
    let status = StoreStatus::new(names.active(), fork_guard.clone(), &options, seqs_are_stable)?;
    let status = Arc::new(status);
    let (queue, mailbox) = Mailbox::with_queue(Arc::clone(&status), max_queue_bytes, &options);
    status.publish(report.next_seq - 1);
    status.retention.set_first_seq(recovered.first_seq);
    status.retention.set_holds(holds);
    let mut segment = ActiveSegment::recovered(&recovered, names.active(), options.preallocate);
    let commits = CommitOptions::for_segment(&options, segment.is_checksummed());
    segment
        .attach(&mut *commit_backend, commits)
        .map_err(MiniStoreError::file(names.active(), "open for commits"))?;
    logging::log_opened(&names.active(), backend, commit_backend.method(), &report, began.elapsed());
    if options.legacy_defaults {
        check_legacy_retention(&*fs, &names, &status, options.max_segments)?;
    }
    let opened = WriterParts {
        writer: WriterHandle::new(Arc::clone(&queue), fork_guard, releasing),
        status: Arc::clone(&status),
        queue: Arc::clone(&queue),
        report,
        backend,
        fs: Arc::clone(&fs),
    };
    let retention = RetentionManager::new(&options, Arc::clone(&fs), names.clone(), Arc::clone(&status));
    let runner = JobRunner::new(Arc::clone(&fs), names.clone(), retention);
    let results = Arc::clone(&queue);
    // The mailbox is open as long as a job runs, unless the writer thread panicked.
    let send_result = Arc::new(move |result| drop(results.send(WriterMessage::JobDone(result))));
    let background = BackgroundWorker::new(fs.executor()?, runner, send_result);
    let mut writer = Writer {
        mailbox,
        rotation: Rotation::new(recovered.newest_rotated),
        retention: if RetentionLimits::of(&options).without_count().keep_everything() {
            RetentionState::Idle
        } else {
            RetentionState::OnOpen
        },
        preallocating: Preallocating::Idle,
        group_size: GroupSizeEma::default(),
        next_seq: opened.report.next_seq,
        options,
        names,
        fs,
        commit_backend,
        inner: StoreInner { status, queue },
        retention_requests: Vec::new(),
        background,
        segment,
        next_group: None,
        notify_pending_since: None,
        log_once: LogOnce::default(),
        last_group_len: 0,
        rotate_callers: Vec::new(),
        lock,
    };
    writer.log_commit_method();
    writer.schedule_background_work();
    Ok((writer, opened))
}

/// Locks the journal and its active segment, if there is one.
fn lock_journal(fs: &dyn FileSystem, names: &FileNames, releasing: PendingRelease) -> Result<JournalLock> {
    check_before_opening(fs, names)?;
    let is_new = matches!(fs.id_at(&names.lock()), Ok(None));
    if is_new && matches!(fs.id_at(&names.active()), Ok(None)) {
        names.check_length()?;
    }
    let mut lock = JournalLock::acquire(fs, names, releasing)?;
    if is_new && names.owner().is_some() {
        check_after_locking(fs, names)?;
    }
    let active = names.active();
    match fs.open(&active, OpenMode::ReadWrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => lock.lock_segment(&active, opened.map_err(MiniStoreError::file(&active, "open"))?)?,
    }
    Ok(lock)
}

/// Logs that rotations delete segments, and whether the next one will, for a program that did not choose that.
fn check_legacy_retention(
    fs: &dyn FileSystem,
    names: &FileNames,
    status: &StoreStatus,
    max_segments: Option<usize>,
) -> Result<()> {
    let listed = fs.list(names.dir()).map_err(MiniStoreError::file(names.dir(), "list the directory"))?;
    let rotated = names.rotated_in(&listed);
    let (segments, max_segments) = (rotated.len() + 1, max_segments.unwrap_or(usize::MAX));
    // The header of the second segment has the number after the oldest segment's last record. A header that cannot be
    // read counts as no hold.
    let second = rotated.get(1).map_or_else(|| names.active(), |(_, path)| path.clone());
    let header = fs.open(&second, OpenMode::ReadOnly).and_then(read_header);
    let end = header
        .ok()
        .and_then(std::result::Result::ok)
        .and_then(|header| header.link().map(|link| link.first_seq));
    let is_held = end.is_some_and(|end| end > status.retention.lowest_hold());
    logging::log_legacy_retention(
        &names.active(),
        segments,
        max_segments,
        segments >= max_segments && !is_held,
    );
    Ok(())
}

/// Opens the requested backend. [`Backend::Auto`] falls back to blocking calls where io_uring is unavailable.
pub(crate) fn select_backend(journal: &Path, backend: Backend, mode: u32) -> Result<SelectedBackend> {
    let with = |kind| {
        let fs = OsFileSystem::new(kind, mode);
        fs.commit_backend().map(|commit_backend| -> SelectedBackend { (kind, Arc::new(fs), commit_backend) })
    };
    let selected = match backend {
        Backend::Blocking => return Ok(with(BackendKind::Blocking)?),
        Backend::TokioUring => with(BackendKind::TokioUring),
        Backend::Uring | Backend::Auto => with(BackendKind::Uring),
    };
    selected.or_else(|source| {
        let hint = refusal_hint(&source);
        if backend != Backend::Auto {
            return Err(MiniStoreError::BackendUnavailable { hint, source });
        }
        logging::log_fallback(journal, &source, hint);
        Ok(with(BackendKind::Blocking)?)
    })
}

fn check_file_kind(fs: &dyn FileSystem, path: &Path) -> Result<()> {
    match fs.kind(path) {
        _ if names_a_directory(path) => Err(MiniStoreError::PathIsNotFile { path: path.to_path_buf() }),
        Ok(FileKind::Directory | FileKind::Other) => {
            Err(MiniStoreError::PathIsNotFile { path: path.to_path_buf() })
        }
        Ok(FileKind::File) | Err(_) => Ok(()),
    }
}
