//! Starting the writer thread: it opens and recovers the journal itself, so that no caller's thread is blocked.

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
    ahead::{Extending, GroupSize},
    events::{self, Said},
    housekeeper::{Housekeeper, Worker},
    retain::Keeper,
    rotation::{Retaining, Rotation},
    segment::{Origin, Segment},
};
use crate::{
    Backend, BackendKind, JournalOptions, MiniStoreError, OpenReport, Result,
    device::{Disk, Kind, Lane, Open, RealDisk, UringLane, refusal_hint},
    lock::{JournalLock, Releasing},
    names::Names,
    ownership::{check_after_locking, check_before_opening},
    planted::{Bug, planted},
    process::Process,
    queue::{Inbox, Queue},
    recovery::recover,
    request::Requests,
    retention::{self, Limits},
    scan::read_header,
    shared::Shared,
    sync::{Mutex, oneshot, thread},
};

/// What a store needs to talk to its writer.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) requests: Requests,
    pub(crate) shared: Arc<Shared>,
    pub(crate) report: OpenReport,
    pub(crate) backend: BackendKind,
    /// Where the journal can be read.
    pub(crate) disk: Arc<dyn Disk>,
}

/// A journal that is being opened on its writer thread.
#[derive(Debug)]
pub(crate) struct Opening {
    answer: oneshot::Receiver<Result<Opened>>,
    process: Process,
    path: PathBuf,
    releasing: Releasing,
    answered: bool,
}

impl Future for Opening {
    type Output = Result<Opened>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.answer).poll(context) {
            Poll::Ready(opened) => {
                self.answered = true;
                Poll::Ready(opened.unwrap_or(Err(MiniStoreError::WriterPanicked)))
            }
            // Nobody would ever wake a fork.
            Poll::Pending if self.process.is_elsewhere() => {
                Poll::Ready(Err(MiniStoreError::Forked { path: self.path.clone(), pid: self.process.id }))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        // Nobody will hold the journal: whoever opens it next is to wait for its closing, not to fail.
        if !self.answered && !planted(Bug::OpensForNobody) {
            self.releasing.announce();
        }
    }
}

/// What carries the commits, once it is known to work.
pub(crate) type Chosen = (BackendKind, Arc<dyn Disk>, Box<dyn Lane>);

/// Opens the journal on its writer thread, on what `choose` gives there. Where nobody waits for the answer any more, the
/// journal is closed at once.
pub(crate) fn spawn(
    options: JournalOptions,
    path: PathBuf,
    queue_bytes_max: u32,
    choose: impl FnOnce() -> Result<Chosen> + Send + 'static,
) -> Result<Opening> {
    let (sender, answer) = oneshot::channel();
    let (process, releasing) = (Process::current()?, Releasing::default());
    let opening = Opening {
        answer,
        process: process.clone(),
        path: path.clone(),
        releasing: releasing.clone(),
        answered: false,
    };
    thread::Builder::new().name("ministore-writer".into()).spawn(move || {
        let started =
            choose().and_then(|chosen| start(options, &path, queue_bytes_max, chosen, process, releasing));
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
    (backend, disk, lane): Chosen,
    process: Process,
    releasing: Releasing,
) -> Result<(Writer, Opened)> {
    let began = Instant::now();
    refuse_other_files(&*disk, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.create_dirs(parent).map_err(MiniStoreError::file(parent, "create the directory"))?;
    let names = Names::resolve(&*disk, path)?;
    let mut lane = lane;
    let held = disk.hold_dir(names.dir()).map_err(MiniStoreError::file(names.dir(), "open the directory"))?;
    lane.hold_dir(held);
    check_before_opening(&*disk, &names)?;
    let is_new = matches!(disk.id_at(&names.lock()), Ok(None));
    let mut lock = JournalLock::acquire(&*disk, &names, releasing.clone())?;
    if is_new && names.owner().is_some() {
        check_after_locking(&*disk, &names)?;
    }
    let active = names.active();
    match disk.open(&active, Open::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => lock.cover(&active, opened.map_err(MiniStoreError::file(&active, "open"))?)?,
    }
    // Before anything is changed: without them nobody knows what must stay.
    let holds = retention::load(&*disk, &names)?;
    let recovered = recover(&*disk, &names, &options)?;
    retention::discard_unfinished(&*disk, &names)?;
    lock.cover(&active, Arc::clone(&recovered.file))?;
    let report = recovered.report.clone();
    let queue =
        Queue::new(queue_bytes_max, options.max_group_bytes, options.commit_delay_bytes.unwrap_or(u64::MAX));
    let queue = Arc::new(queue);
    let shared = Shared::new(names.active(), process.clone(), Arc::clone(&queue), &options)?;
    let shared = Arc::new(shared);
    shared.publish(report.next_seq - 1);
    shared.retention.set_first_seq(recovered.first_seq);
    shared.retention.set_holds(holds);
    let origin = Origin {
        file: recovered.file,
        path: names.active(),
        data_end: recovered.data_end,
        records: recovered.records,
        sealed: recovered.sealed,
        chain: recovered.chain,
        last_seal: recovered.last_seal,
    };
    let mut segment = Segment::recovered(origin, options.preallocate);
    let commits = options.commits(segment.is_sealed());
    segment.attach(&mut *lane, commits).map_err(MiniStoreError::file(names.active(), "open for commits"))?;
    events::opened(&names.active(), backend, lane.method(), &report, began.elapsed());
    if options.legacy_defaults {
        announce_retention(&*disk, &names, &shared, options.max_segments)?;
    }
    let opened = Opened {
        requests: Requests::new(Arc::clone(&queue), process, releasing),
        shared: Arc::clone(&shared),
        report,
        backend,
        disk: Arc::clone(&disk),
    };
    let keeper = Keeper::new(&options, Arc::clone(&shared));
    let leftover = Mutex::default();
    let worker = Worker { disk: Arc::clone(&disk), names: names.clone(), keeper, leftover };
    let housekeeper = Housekeeper::new(disk.hands()?, worker, Arc::clone(&queue));
    let inbox = Inbox::new(queue, Arc::clone(&shared), options.commit_delay);
    let mut writer = Writer {
        inbox,
        rotation: Rotation::new(recovered.newest_archived),
        retaining: if Limits::of(&options).without_count().keep_everything() {
            Retaining::No
        } else {
            Retaining::AtOpening
        },
        extending: Extending::No,
        group_size: GroupSize::default(),
        next_seq: opened.report.next_seq,
        options,
        names,
        disk,
        lane,
        shared,
        housekeeper,
        segment,
        untold_since: None,
        said: Said::default(),
        woken: 0,
        rotate_waiters: Vec::new(),
        lock,
    };
    writer.note_method();
    Ok((writer, opened))
}

/// Logs that rotations delete, and whether the next one will, for a program that did not choose that.
fn announce_retention(
    disk: &dyn Disk,
    names: &Names,
    shared: &Shared,
    max_segments: Option<usize>,
) -> Result<()> {
    let listed = disk.list(names.dir()).map_err(MiniStoreError::file(names.dir(), "list the directory"))?;
    let rotated = names.archived_in(&listed);
    let (segments, max_segments) = (rotated.len() + 1, max_segments.unwrap_or(usize::MAX));
    // The oldest segment ends where the next one begins; a header that cannot be read states nothing.
    let second = rotated.get(1).map_or_else(|| names.active(), |(_, path)| path.clone());
    let header = disk.open(&second, Open::Read).and_then(read_header);
    let end =
        header.ok().and_then(std::result::Result::ok).and_then(|header| header.link().map(|link| link.first));
    let is_held = end.is_some_and(|end| end > shared.retention.held_from());
    events::legacy_retention(&names.active(), segments, max_segments, segments >= max_segments && !is_held);
    Ok(())
}

/// Finds out what runs here.
pub(crate) fn choose(journal: &Path, backend: Backend, mode: u32) -> Result<Chosen> {
    let on = |backend| -> Result<Chosen> {
        let disk = RealDisk::new(backend, mode);
        let lane = disk.lane()?;
        Ok((backend, Arc::new(disk), lane))
    };
    match backend {
        Backend::Blocking => on(BackendKind::Blocking),
        Backend::Uring | Backend::Auto => match UringLane::new() {
            Ok(lane) => {
                let disk = RealDisk::new(BackendKind::Uring, mode);
                Ok((BackendKind::Uring, Arc::new(disk), Box::new(lane)))
            }
            Err(source) => {
                let hint = refusal_hint(&source);
                if backend == Backend::Uring {
                    return Err(MiniStoreError::BackendUnavailable { hint, source });
                }
                events::fell_back(journal, &source, hint);
                on(BackendKind::Blocking)
            }
        },
    }
}

fn refuse_other_files(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.kind(path) {
        Ok(Kind::Directory | Kind::Other) => Err(MiniStoreError::PathIsNotFile { path: path.to_path_buf() }),
        Ok(Kind::File) | Err(_) => Ok(()),
    }
}
