//! A journal on a file system that fails on command, and the ways a store can reach it.

use std::{
    fmt,
    fs::{self, File},
    future::Future,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Once, mpsc},
    thread,
    time::Duration,
};

use ministore_faultfs::{Faultfs, MountOptions};
use ministore_uring::{Backend, JournalOptions, MiniStore, Result, SyncMode};
use rustix::mount::{MountPropagationFlags, mount_change};
use tempfile::TempDir;

/// Whatever takes longer than this hangs.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// How a store reaches the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    pub(crate) backend: Backend,
    pub(crate) direct: bool,
    pub(crate) sync: SyncMode,
    /// The flags are trusted, as on ext4: on a mount without asynchronous direct I/O, which honours them.
    pub(crate) trusted: bool,
    pub(crate) preallocate: bool,
    /// A group that holds this many bytes is full: with few, the next one is full, too, and is laid out while this one
    /// is being written.
    pub(crate) group_bytes: u64,
}

/// Every record has a group of its own.
const ALONE: u64 = 1;

/// What is there when the writer looks is a group.
const TOGETHER: u64 = 1 << 20;

impl Lane {
    /// Past the page cache.
    fn direct(backend: Backend, sync: SyncMode) -> Self {
        Self { backend, direct: true, sync, trusted: true, preallocate: true, group_bytes: ALONE }
    }

    /// The default options: through the page cache, because a FUSE file system is not trusted with anything else.
    fn default_options(backend: Backend) -> Self {
        let group_bytes = TOGETHER;
        Self { backend, direct: true, sync: SyncMode::Auto, trusted: false, preallocate: true, group_bytes }
    }

    /// Through the page cache, with every write extending the file.
    fn growing(backend: Backend, sync: SyncMode) -> Self {
        Self { backend, direct: false, sync, trusted: true, preallocate: false, group_bytes: ALONE }
    }

    /// Both backends: past the page cache, through it, and without writing ahead. Each backend has both sync modes.
    pub(crate) fn all() -> Vec<Self> {
        let lanes = |backend| {
            let (one, other) = match backend {
                Backend::Blocking => (SyncMode::Fdatasync, SyncMode::Dsync),
                _ => (SyncMode::Dsync, SyncMode::Fdatasync),
            };
            [Self::direct(backend, one), Self::default_options(backend), Self::growing(backend, other)]
        };
        backends().into_iter().flat_map(lanes).collect()
    }

    /// Every backend with every sync mode, past the page cache, through it, and without writing ahead.
    pub(crate) fn crossed() -> Vec<Self> {
        let modes = |backend| {
            let lane = move |sync| [Self::direct(backend, sync), Self::growing(backend, sync)];
            let modes = [SyncMode::Dsync, SyncMode::Fdatasync].into_iter().flat_map(lane);
            modes.chain([Self::default_options(backend)])
        };
        backends().into_iter().flat_map(modes).collect()
    }

    /// One past the page cache, the other with every file growing; each with a backend of its own where both run.
    pub(crate) fn two() -> [Self; 2] {
        let backends = backends();
        let (first, last) = (backends[0], backends[backends.len() - 1]);
        let growing = Self::growing(last, SyncMode::Fdatasync);
        [Self::direct(first, SyncMode::Dsync), Self { group_bytes: TOGETHER, ..growing }]
    }

    pub(crate) fn options(self) -> JournalOptions {
        let options = JournalOptions::new().backend(self.backend).sync_mode(self.sync);
        let options = options.trust_file_system(self.trusted);
        options.direct_io(self.direct).preallocate(self.preallocate).max_group_bytes(self.group_bytes)
    }

    /// A mount on which the lane keeps its promise.
    fn mount(self) -> MountOptions {
        MountOptions { async_direct_io: !self.trusted, ..MountOptions::default() }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direct = if self.direct { "direct" } else { "buffered" };
        let trusted = if self.trusted { "trusted" } else { "not trusted" };
        let ahead = if self.preallocate { "written ahead" } else { "not written ahead" };
        write!(
            f,
            "{:?}, {direct}, {}, {trusted}, {ahead}, groups of {}",
            self.backend, self.sync, self.group_bytes
        )
    }
}

/// The backends that run here.
pub(crate) fn backends() -> Vec<Backend> {
    static SAID: Once = Once::new();
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions::new().backend(Backend::Uring);
    match options.open_blocking(dir.path().join("j")) {
        Ok(_) => vec![Backend::Uring, Backend::Blocking],
        Err(error) => {
            SAID.call_once(|| not_tested("the io_uring backend", &error.to_string()));
            vec![Backend::Blocking]
        }
    }
}

/// A directory behind a file system that fails on command.
pub(crate) struct Rig {
    pub(crate) fs: Faultfs,
    dir: TempDir,
    pub(crate) lane: Lane,
}

impl Rig {
    pub(crate) fn new(lane: Lane) -> Self {
        Self::mounted(lane, lane.mount())
    }

    pub(crate) fn mounted(lane: Lane, options: MountOptions) -> Self {
        enter_private_namespace().unwrap();
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (backing, mount_point) = (dir.path().join("backing"), dir.path().join("mount"));
        fs::create_dir(&backing).unwrap();
        fs::create_dir(&mount_point).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_ministore-faultfs"));
        let fs = Faultfs::mount(program, &backing, &mount_point, options).unwrap();
        Self { fs, dir, lane }
    }

    /// The journal, through the file system.
    pub(crate) fn path(&self) -> PathBuf {
        self.fs.path().join("j")
    }

    /// The journal behind the file system.
    pub(crate) fn behind(&self) -> PathBuf {
        self.fs.backing().join("j")
    }

    pub(crate) fn open(&self, options: JournalOptions) -> Result<MiniStore> {
        finish(options.open(self.path()))
    }

    /// A directory of its own outside the file system.
    pub(crate) fn aside(&self) -> TempDir {
        tempfile::tempdir_in(self.dir.path()).unwrap()
    }
}

/// Whether file systems of our own can be mounted here.
pub(crate) fn fuse_works() -> bool {
    static SAID: Once = Once::new();
    let refusal = match (File::options().read(true).write(true).open("/dev/fuse"), may_mount()) {
        (Err(error), _) => format!("/dev/fuse: {error}"),
        (_, Err(error)) => format!("a private mount namespace: {error}"),
        (Ok(_), Ok(())) => return true,
    };
    SAID.call_once(|| not_tested("everything on the faulty file system", &refusal));
    false
}

/// Whether this process may have a mount namespace of its own.
pub(crate) fn may_mount() -> io::Result<()> {
    thread::spawn(enter_private_namespace).join().unwrap()
}

/// Mounts of this thread, and of those it starts, are nobody else's from here on: nobody can keep them alive, and they
/// go with the thread.
pub(crate) fn enter_private_namespace() -> io::Result<()> {
    thread_local!(static ENTERED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    if ENTERED.get() {
        return Ok(());
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    ENTERED.set(true);
    Ok(())
}

/// Past the test harness, which keeps what a passing test prints to itself.
pub(crate) fn not_tested(what: &str, why: &str) {
    say(&format!("SKIPPED: {what}: {why}"));
}

/// A figure, for whoever reads the output. Past the test harness, too.
pub(crate) fn say(text: &str) {
    io::stderr().lock().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Waits for an outcome, but not for ever.
pub(crate) fn finish<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(HANG, future).await.expect("a caller hangs") })
}

/// Waits for a blocking call, but not for ever.
pub(crate) fn bounded<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    thread::spawn(move || done.send(call()));
    outcome.recv_timeout(HANG).expect("a call hangs or panicked")
}
