//! Waits for changes of a journal that another process writes, or this process through another handle: inotify reports
//! changes of its files. Where inotify reports nothing or is not available, the files are polled.

use std::{
    ffi::{CStr, OsString},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};

use super::{durability::Durability, stop_signal::StopSignal};
use crate::{MiniStoreError, Result, io::FileSystem, journal::file_names::FileNames};

/// The files are polled at this interval although inotify watches them: some file systems send no events for the
/// changes of other hosts, and some kernels none for io_uring.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The polling interval where inotify is not available.
const POLL_INTERVAL_NO_INOTIFY: Duration = Duration::from_millis(100);

/// The size of the event buffer, in bytes: enough for hundreds of events.
const EVENT_BYTES: usize = 16 << 10;

/// Watches the directory of a journal.
#[derive(Debug)]
pub(super) struct DirWatch {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    /// The directory that contains the journal. It need not exist yet.
    dir: PathBuf,
    base: OsString,
    inotify: Option<OwnedFd>,
    watching: bool,
    /// The warning that inotify is not available was logged.
    warned: bool,
}

/// A change of the journal's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FsEvent {
    None,
    /// A file was written to.
    Data,
    /// Directory entries may have changed, or events were lost.
    DirEntries,
}

impl DirWatch {
    pub(super) fn new(fs: Arc<dyn FileSystem>, path: &Path) -> Result<Self> {
        let mut watch = Self {
            fs,
            path: path.to_path_buf(),
            dir: PathBuf::new(),
            base: OsString::new(),
            inotify: None,
            watching: false,
            warned: false,
        };
        watch.begin()?;
        Ok(watch)
    }

    /// Returns [`Durability::SyncOnRead`]: the writer may be another process, whose watermark is not known here.
    pub(super) fn durability(&self) -> Durability {
        Durability::SyncOnRead { fs: Arc::clone(&self.fs), dir: self.dir.clone() }
    }

    /// Starts to watch the directory. Without inotify, or where the directory does not exist yet, the files are polled
    /// and [`wait`](Self::wait) tries again.
    fn begin(&mut self) -> Result<()> {
        let names = FileNames::resolve(&*self.fs, &self.path)?;
        self.dir = names.dir().to_path_buf();
        self.base = names.active().file_name().unwrap_or_default().to_os_string();
        match self.add_watch() {
            Ok(()) => self.watching = true,
            // A writer may create the directory later.
            Err(Errno::NOENT) => {}
            Err(errno) if !self.warned => {
                self.warned = true;
                let error = std::io::Error::from(errno);
                tracing::warn!(journal = %self.path.display(), %error, "inotify unavailable; polling instead");
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn add_watch(&mut self) -> std::result::Result<(), Errno> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, &self.dir, flags)?;
        self.inotify = Some(inotify);
        Ok(())
    }

    /// Reads the pending events, without waiting; returns the most significant one.
    pub(super) fn drain(&mut self) -> FsEvent {
        let Some(inotify) = &self.inotify else { return FsEvent::None };
        let mut buffer = [MaybeUninit::<u8>::uninit(); EVENT_BYTES];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        let mut change = FsEvent::None;
        let mut lost = false;
        loop {
            match events.next() {
                Ok(event) => {
                    lost |= event.events().intersects(
                        ReadFlags::IGNORED
                            | ReadFlags::DELETE_SELF
                            | ReadFlags::MOVE_SELF
                            | ReadFlags::UNMOUNT,
                    );
                    change = change.max(self.classify(event.events(), event.file_name()));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    lost = true;
                    break;
                }
            }
        }
        if lost {
            (self.inotify, self.watching) = (None, false);
            return FsEvent::DirEntries;
        }
        change
    }

    fn classify(&self, flags: ReadFlags, name: Option<&CStr>) -> FsEvent {
        let Some(name) = name else { return FsEvent::DirEntries };
        if !name.to_bytes().starts_with(self.base.as_bytes()) {
            FsEvent::None
        } else if flags.contains(ReadFlags::MODIFY) {
            FsEvent::Data
        } else {
            FsEvent::DirEntries
        }
    }

    /// Waits until the journal's files change, `stop` is set, or the polling interval has passed.
    pub(super) fn wait(&mut self, stop: &StopSignal) -> Result<FsEvent> {
        if !self.watching {
            self.begin()?;
            if self.watching {
                // Changes before the watch was added have no events.
                return Ok(FsEvent::DirEntries);
            }
        }
        let interval = if self.watching { POLL_INTERVAL } else { POLL_INTERVAL_NO_INOTIFY };
        loop {
            if !self.await_event(stop, interval)? || stop.is_set() {
                return Ok(FsEvent::DirEntries);
            }
            let change = self.drain();
            if change > FsEvent::None {
                return Ok(change);
            }
        }
    }

    /// Waits for an event; returns `false` if there was none within `timeout`.
    fn await_event(&self, stop: &StopSignal, timeout: Duration) -> Result<bool> {
        let fds = [self.inotify.as_ref(), stop.event()];
        let mut fds: Vec<_> = fds.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(MiniStoreError::file(&self.path, "wait for")(errno.into())),
        }
    }
}
