//! Starting the writer thread: it opens and recovers the journal itself, so that no caller's thread is blocked.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::{
    Writer,
    logging::{self, LogOnce},
    preallocate::{GroupSizeEma, Preallocating},
    rotation::{RetentionPhase, Rotation},
    segment::{ActiveSegment, RecoveredSegment},
};
use crate::{
    Backend, BackendKind, JournalOptions, MiniStoreError, OpenReport, Result,
    background::{
        RetentionManager,
        policy::RetentionLimits,
        requests::{RequestQueue, RequestReceiver},
        worker::{BackgroundWorker, JobRunner},
    },
    commit::inner::StoreInner,
    commit::queue::WriterHandle,
    commit::queue::{CommitQueue, QueueReceiver},
    format::scan::read_header,
    io::{CommitBackend, FileKind, FileSystem, OpenMode, OsFileSystem, UringBackend, refusal_hint},
    journal::file_names::FileNames,
    journal::fork::ForkGuard,
    journal::lock::{JournalLock, PendingRelease},
    journal::ownership::{check_after_locking, check_before_opening},
    journal::{holds, status::StoreStatus},
    seeded_bugs::{Bug, seeded},
    recovery::recover,
    sync::{Mutex, oneshot, thread},
};

/// What a store needs to talk to its writer.
#[derive(Debug)]
pub(crate) struct WriterParts {
    pub(crate) writer: WriterHandle,
    pub(crate) status: Arc<StoreStatus>,
    pub(crate) queue: Arc<CommitQueue>,
    pub(crate) retention_requests: Arc<RequestQueue>,
    pub(crate) report: OpenReport,
    pub(crate) backend: BackendKind,
    /// Where the journal can be read.
    pub(crate) disk: Arc<dyn FileSystem>,
}

/// A journal that is being opened on its writer thread.
#[derive(Debug)]
pub(crate) struct OpenFuture {
    reply: oneshot::Receiver<Result<WriterParts>>,
    process: ForkGuard,
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
            // Nobody would ever wake a fork.
            Poll::Pending if self.process.in_forked_child() => {
                Poll::Ready(Err(MiniStoreError::Forked { path: self.path.clone(), pid: self.process.id }))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for OpenFuture {
    fn drop(&mut self) {
        // Nobody will hold the journal: whoever opens it next is to wait for its closing, not to fail.
        if !self.answered && !seeded(Bug::AbandonedOpenUnnoticed) {
            self.releasing.mark_releasing();
        }
    }
}

/// What carries the commits, once it is known to work.
pub(crate) type SelectedBackend = (BackendKind, Arc<dyn FileSystem>, Box<dyn CommitBackend>);

/// Opens the journal on its writer thread, on what `select_backend` gives there. Where nobody waits for the answer any more, the
/// journal is closed at once.
pub(crate) fn spawn(
    options: JournalOptions,
    path: PathBuf,
    queue_bytes_max: u32,
    select_backend: impl FnOnce() -> Result<SelectedBackend> + Send + 'static,
) -> Result<OpenFuture> {
    let (sender, reply) = oneshot::channel();
    let (process, releasing) = (ForkGuard::current()?, PendingRelease::default());
    let opening = OpenFuture {
        reply,
        process: process.clone(),
        path: path.clone(),
        releasing: releasing.clone(),
        answered: false,
    };
    thread::Builder::new().name("ministore-writer".into()).spawn(move || {
        let started = select_backend()
            .and_then(|selected| start(options, &path, queue_bytes_max, selected, process, releasing));
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

pub(super) fn start(
    options: JournalOptions,
    path: &Path,
    queue_bytes_max: u32,
    (backend, disk, commit_backend): SelectedBackend,
    process: ForkGuard,
    releasing: PendingRelease,
) -> Result<(Writer, WriterParts)> {
    let began = Instant::now();
    refuse_other_files(&*disk, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.create_dirs(parent).map_err(MiniStoreError::file(parent, "create the directory"))?;
    let names = FileNames::resolve(&*disk, path)?;
    let mut commit_backend = commit_backend;
    let held = disk.hold_dir(names.dir()).map_err(MiniStoreError::file(names.dir(), "open the directory"))?;
    commit_backend.hold_dir(held);
    check_before_opening(&*disk, &names)?;
    let is_new = matches!(disk.id_at(&names.lock()), Ok(None));
    let mut lock = JournalLock::acquire(&*disk, &names, releasing.clone())?;
    if is_new && names.owner().is_some() {
        check_after_locking(&*disk, &names)?;
    }
    let active = names.active();
    match disk.open(&active, OpenMode::ReadWrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => lock.lock_segment(&active, opened.map_err(MiniStoreError::file(&active, "open"))?)?,
    }
    // Before anything is changed: without them nobody knows what must stay.
    let holds = holds::load(&*disk, &names)?;
    let recovered = recover(&*disk, &names, &options)?;
    holds::remove_temp_file(&*disk, &names)?;
    lock.lock_segment(&active, Arc::clone(&recovered.file))?;
    let report = recovered.report.clone();
    let seqs_are_stable = options.checksums || RetentionLimits::of(&options).keep_everything();
    let status = StoreStatus::new(names.active(), process.clone(), &options, seqs_are_stable)?;
    let status = Arc::new(status);
    let queue = Arc::new(CommitQueue::new(
        Arc::clone(&status),
        queue_bytes_max,
        options.max_group_bytes,
        options.commit_delay_bytes.unwrap_or(u64::MAX),
    ));
    status.publish(report.next_seq - 1);
    status.retention.set_first_seq(recovered.first_seq);
    status.retention.set_holds(holds);
    let retention_requests = Arc::new(RequestQueue::default());
    let origin = RecoveredSegment {
        file: recovered.file,
        path: names.active(),
        data_end: recovered.data_end,
        records: recovered.records,
        sealed: recovered.sealed,
        chain: recovered.chain,
        last_seal: recovered.last_seal,
    };
    let mut segment = ActiveSegment::recovered(origin, options.preallocate);
    let commits = options.commits(segment.is_sealed());
    segment
        .attach(&mut *commit_backend, commits)
        .map_err(MiniStoreError::file(names.active(), "open for commits"))?;
    logging::opened(&names.active(), backend, commit_backend.method(), &report, began.elapsed());
    if options.legacy_defaults {
        log_legacy_retention(&*disk, &names, &status, options.max_segments)?;
    }
    let opened = WriterParts {
        writer: WriterHandle::new(Arc::clone(&queue), process, releasing),
        status: Arc::clone(&status),
        queue: Arc::clone(&queue),
        retention_requests: Arc::clone(&retention_requests),
        report,
        backend,
        disk: Arc::clone(&disk),
    };
    let retention = RetentionManager::new(&options, Arc::clone(&status), Arc::clone(&retention_requests));
    let leftover = Mutex::default();
    let worker = JobRunner { disk: Arc::clone(&disk), names: names.clone(), retention, leftover };
    let background = BackgroundWorker::new(disk.executor()?, worker, Waker::from(Arc::clone(&queue)));
    let receiver = QueueReceiver::new(Arc::clone(&queue), options.commit_delay);
    let mut writer = Writer {
        receiver,
        rotation: Rotation::new(recovered.newest_rotated),
        retention_phase: if RetentionLimits::of(&options).without_count().keep_everything() {
            RetentionPhase::Idle
        } else {
            RetentionPhase::OnOpen
        },
        preallocating: Preallocating::Idle,
        group_size: GroupSizeEma::default(),
        next_seq: opened.report.next_seq,
        options,
        names,
        disk,
        commit_backend,
        inner: StoreInner { status: Arc::clone(&status), queue },
        retention_requests: RequestReceiver::new(retention_requests, status),
        background,
        segment,
        notify_pending_since: None,
        log_once: LogOnce::default(),
        last_group_len: 0,
        rotate_callers: Vec::new(),
        lock,
    };
    writer.log_commit_method();
    Ok((writer, opened))
}

/// Logs that rotations delete, and whether the next one will, for a program that did not choose that.
fn log_legacy_retention(
    disk: &dyn FileSystem,
    names: &FileNames,
    status: &StoreStatus,
    max_segments: Option<usize>,
) -> Result<()> {
    let listed = disk.list(names.dir()).map_err(MiniStoreError::file(names.dir(), "list the directory"))?;
    let rotated = names.rotated_in(&listed);
    let (segments, max_segments) = (rotated.len() + 1, max_segments.unwrap_or(usize::MAX));
    // The oldest segment ends where the next one begins; a header that cannot be read states nothing.
    let second = rotated.get(1).map_or_else(|| names.active(), |(_, path)| path.clone());
    let header = disk.open(&second, OpenMode::ReadOnly).and_then(read_header);
    let end =
        header.ok().and_then(std::result::Result::ok).and_then(|header| header.link().map(|link| link.first));
    let is_held = end.is_some_and(|end| end > status.retention.lowest_hold());
    logging::legacy_retention(&names.active(), segments, max_segments, segments >= max_segments && !is_held);
    Ok(())
}

/// Finds out what runs here.
pub(crate) fn select_backend(journal: &Path, backend: Backend, mode: u32) -> Result<SelectedBackend> {
    let on = |backend| -> Result<SelectedBackend> {
        let disk = OsFileSystem::new(backend, mode);
        let commit_backend = disk.commit_backend()?;
        Ok((backend, Arc::new(disk), commit_backend))
    };
    match backend {
        Backend::Blocking => on(BackendKind::Blocking),
        Backend::Uring | Backend::Auto => match UringBackend::new() {
            Ok(commit_backend) => {
                let disk = OsFileSystem::new(BackendKind::Uring, mode);
                Ok((BackendKind::Uring, Arc::new(disk), Box::new(commit_backend)))
            }
            Err(source) => {
                let hint = refusal_hint(&source);
                if backend == Backend::Uring {
                    return Err(MiniStoreError::BackendUnavailable { hint, source });
                }
                logging::log_fallback(journal, &source, hint);
                on(BackendKind::Blocking)
            }
        },
    }
}

fn refuse_other_files(disk: &dyn FileSystem, path: &Path) -> Result<()> {
    match disk.kind(path) {
        Ok(FileKind::Directory | FileKind::Other) => {
            Err(MiniStoreError::PathIsNotFile { path: path.to_path_buf() })
        }
        Ok(FileKind::File) | Err(_) => Ok(()),
    }
}
