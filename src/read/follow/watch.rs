//! Waiting for a journal that another process writes, or this one by another handle: the kernel tells when something
//! happens to one of its files (inotify). Where it does not, or will not, they are looked at from time to time.

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

use super::{durability::Durability, wakeup::StopSignal};
use crate::{MiniStoreError, Result, io::FileSystem, journal::file_names::FileNames};

/// The files are looked at so often all the same: some file systems tell nothing of what others do to them, and some
/// kernels nothing of what io_uring does.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The same where the kernel does not watch.
const POLL_INTERVAL_NO_INOTIFY: Duration = Duration::from_millis(100);

/// Room for some hundreds of events.
const EVENT_BYTES: usize = 16 << 10;

/// A directory that is watched.
#[derive(Debug)]
pub(super) struct DirWatch {
    disk: Arc<dyn FileSystem>,
    path: PathBuf,
    /// Where the journal is, once there is a directory.
    dir: PathBuf,
    base: OsString,
    inotify: Option<OwnedFd>,
    watching: bool,
    /// It was said that the kernel does not watch.
    warned: bool,
}

/// What happened to the journal's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FsEvent {
    None,
    /// One of them was written to.
    Data,
    /// Some may have got other names, or it is not known what happened.
    DirEntries,
}

impl DirWatch {
    pub(super) fn new(disk: Arc<dyn FileSystem>, path: &Path) -> Result<Self> {
        let mut watch = Self {
            disk,
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

    /// Whoever reads here makes durable itself what it hands out.
    pub(super) fn durable(&self) -> Durability {
        Durability::SyncOnRead { disk: Arc::clone(&self.disk), dir: self.dir.clone() }
    }

    /// Begins to watch, if it can be done by now.
    fn begin(&mut self) -> Result<()> {
        let names = FileNames::resolve(&*self.disk, &self.path)?;
        self.dir = names.dir().to_path_buf();
        self.base = names.active().file_name().unwrap_or_default().to_os_string();
        match self.add_watch() {
            Ok(()) => self.watching = true,
            // The directory will be there some time.
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
        let what = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, &self.dir, what)?;
        self.inotify = Some(inotify);
        Ok(())
    }

    /// Takes in what happened so far.
    pub(super) fn drain(&mut self) -> FsEvent {
        let Some(inotify) = &self.inotify else { return FsEvent::None };
        let mut room = [MaybeUninit::<u8>::uninit(); EVENT_BYTES];
        let mut events = inotify::Reader::new(inotify, &mut room);
        let mut seen = FsEvent::None;
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
                    seen = seen.max(self.meaning(event.events(), event.file_name()));
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
        seen
    }

    fn meaning(&self, what: ReadFlags, name: Option<&CStr>) -> FsEvent {
        let Some(name) = name else { return FsEvent::DirEntries };
        if !name.to_bytes().starts_with(self.base.as_bytes()) {
            FsEvent::None
        } else if what.contains(ReadFlags::MODIFY) {
            FsEvent::Data
        } else {
            FsEvent::DirEntries
        }
    }

    /// Waits until something happens to the journal's files, or to `stop`.
    pub(super) fn wait(&mut self, stop: &StopSignal) -> Result<FsEvent> {
        if !self.watching {
            self.begin()?;
            if self.watching {
                // What happened before is not told.
                return Ok(FsEvent::DirEntries);
            }
        }
        let every = if self.watching { POLL_INTERVAL } else { POLL_INTERVAL_NO_INOTIFY };
        loop {
            if !self.await_event(stop, every)? || stop.is_set() {
                return Ok(FsEvent::DirEntries);
            }
            let seen = self.drain();
            if seen > FsEvent::None {
                return Ok(seen);
            }
        }
    }

    /// `false` where nothing came for so long.
    fn await_event(&self, stop: &StopSignal, for_so_long: Duration) -> Result<bool> {
        let fds = [self.inotify.as_ref(), stop.event()];
        let mut fds: Vec<_> = fds.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let limit = Timespec {
            tv_sec: i64::try_from(for_so_long.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: for_so_long.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&limit)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(MiniStoreError::file(&self.path, "wait for")(errno.into())),
        }
    }
}
