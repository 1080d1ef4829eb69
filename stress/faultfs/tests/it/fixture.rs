//! A journal on a file system that fails on command, the configurations of the store, and helpers of all tests.

use std::{
    fmt,
    fs::File,
    future::Future,
    io::{self, Write},
    path::PathBuf,
    process::Command,
    sync::{Once, mpsc},
    thread,
    time::Duration,
};

use ministore_faultfs::{Faultfs, MountOptions, mounts};
use ministore_uring::{Backend, JournalOptions, MiniStore, Result, SyncMode};

/// A call that takes longer hangs.
pub(crate) const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// How a store writes to the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreConfig {
    pub(crate) backend: Backend,
    pub(crate) direct: bool,
    pub(crate) sync: SyncMode,
    /// Whether the mount's flags are trusted, as on ext4. Trusted configurations use a mount without asynchronous
    /// direct I/O, which honours the flags.
    pub(crate) trusted: bool,
    pub(crate) preallocate: bool,
    /// The size at which a group is full. With a small one, the next group is full too and is encoded while this one
    /// is written.
    pub(crate) group_bytes: u64,
}

/// Gives each record its own group.
const GROUP_PER_RECORD: u64 = 1;

/// Puts all queued records into one group.
const LARGE_GROUP_BYTES: u64 = 1 << 20;

impl StoreConfig {
    /// Direct I/O.
    fn direct(backend: Backend, sync: SyncMode) -> Self {
        Self { backend, direct: true, sync, trusted: true, preallocate: true, group_bytes: GROUP_PER_RECORD }
    }

    /// The default options: buffered, because a FUSE file system is not trusted.
    fn default_options(backend: Backend) -> Self {
        let group_bytes = LARGE_GROUP_BYTES;
        Self { backend, direct: true, sync: SyncMode::Auto, trusted: false, preallocate: true, group_bytes }
    }

    /// Buffered, without preallocation: every write extends the file.
    fn growing(backend: Backend, sync: SyncMode) -> Self {
        Self {
            backend,
            direct: false,
            sync,
            trusted: true,
            preallocate: false,
            group_bytes: GROUP_PER_RECORD,
        }
    }

    /// Every backend: direct, buffered, and without preallocation. Each backend is used with every sync mode it has.
    pub(crate) fn all() -> Vec<Self> {
        let configs = |backend| {
            let (one, other) = match backend {
                Backend::Blocking => (SyncMode::Fdatasync, SyncMode::Dsync),
                Backend::TokioUring => (SyncMode::Fdatasync, SyncMode::Fdatasync),
                _ => (SyncMode::Dsync, SyncMode::Fdatasync),
            };
            [Self::direct(backend, one), Self::default_options(backend), Self::growing(backend, other)]
        };
        backends().into_iter().flat_map(configs).collect()
    }

    /// Every backend with every sync mode it has: direct, buffered, and without preallocation.
    pub(crate) fn all_combinations() -> Vec<Self> {
        let modes = |backend| {
            let config = move |sync| [Self::direct(backend, sync), Self::growing(backend, sync)];
            let modes = [SyncMode::Dsync, SyncMode::Fdatasync].into_iter().flat_map(config);
            modes.chain([Self::default_options(backend)])
        };
        backends().into_iter().flat_map(modes).filter(Self::is_supported).collect()
    }

    /// One direct configuration for each backend of io_uring, and one without preallocation; both for blocking calls
    /// where nothing else runs.
    pub(crate) fn few() -> Vec<Self> {
        let growing = Self::growing(Backend::Blocking, SyncMode::Fdatasync);
        let growing = Self { group_bytes: LARGE_GROUP_BYTES, ..growing };
        match backends()[..] {
            [uring, tokio_uring, _] => {
                let direct = Self::direct(tokio_uring, SyncMode::Fdatasync);
                vec![Self::direct(uring, SyncMode::Dsync), direct, growing]
            }
            _ => vec![Self::direct(Backend::Blocking, SyncMode::Dsync), growing],
        }
    }

    /// Returns whether the backend has the sync mode.
    pub(crate) fn is_supported(&self) -> bool {
        (self.backend, self.sync) != (Backend::TokioUring, SyncMode::Dsync)
    }

    pub(crate) fn options(self) -> JournalOptions {
        let options = JournalOptions::new().backend(self.backend).sync_mode(self.sync);
        let options = options.trust_file_system(self.trusted);
        options.direct_io(self.direct).preallocate(self.preallocate).max_group_bytes(self.group_bytes)
    }

    /// The options of a mount on which this configuration is durable.
    fn mount(self) -> MountOptions {
        MountOptions { async_direct_io: !self.trusted, ..MountOptions::default() }
    }
}

impl fmt::Display for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direct = if self.direct { "direct" } else { "buffered" };
        let trusted = if self.trusted { "trusted" } else { "not trusted" };
        let preallocate = if self.preallocate { "preallocated" } else { "not preallocated" };
        write!(
            f,
            "{:?}, {direct}, {}, {trusted}, {preallocate}, groups of {}",
            self.backend, self.sync, self.group_bytes
        )
    }
}

/// Returns the backends that this machine can run.
pub(crate) fn backends() -> Vec<Backend> {
    static REPORTED: Once = Once::new();
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions::new().backend(Backend::Uring);
    match options.open_blocking(dir.path().join("j")) {
        Ok(_) => vec![Backend::Uring, Backend::TokioUring, Backend::Blocking],
        Err(error) => {
            REPORTED.call_once(|| report_skipped("the io_uring backend", &error.to_string()));
            vec![Backend::Blocking]
        }
    }
}

/// A directory served by a file system that fails on command.
pub(crate) struct Fixture {
    pub(crate) fs: Faultfs,
    pub(crate) config: StoreConfig,
}

impl Fixture {
    pub(crate) fn new(config: StoreConfig) -> Self {
        Self::mounted(config, config.mount())
    }

    pub(crate) fn mounted(config: StoreConfig, options: MountOptions) -> Self {
        enter_private_namespace().unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_ministore-faultfs"));
        Self { fs: Faultfs::mount(program, options).unwrap(), config }
    }

    /// Returns the journal's path on the mount.
    pub(crate) fn path(&self) -> PathBuf {
        self.fs.path().join("j")
    }

    /// Returns the journal's path in the backing directory.
    pub(crate) fn backing_path(&self) -> PathBuf {
        self.fs.backing().join("j")
    }

    pub(crate) fn open(&self, options: JournalOptions) -> Result<MiniStore> {
        block_on(options.open(self.path()))
    }
}

/// Returns whether this process can mount a FUSE file system.
pub(crate) fn fuse_works() -> bool {
    static REPORTED: Once = Once::new();
    let reason = match (File::options().read(true).write(true).open("/dev/fuse"), may_mount()) {
        (Err(error), _) => format!("/dev/fuse: {error}"),
        (_, Err(error)) => format!("a private mount namespace: {error}"),
        (Ok(_), Ok(())) => return true,
    };
    REPORTED.call_once(|| report_skipped("all tests on the FUSE file system", &reason));
    false
}

/// Returns an error if this process may not create a mount namespace.
pub(crate) fn may_mount() -> io::Result<()> {
    thread::spawn(enter_private_namespace).join().unwrap()
}

/// Moves this thread into a private mount namespace, once.
pub(crate) fn enter_private_namespace() -> io::Result<()> {
    thread_local!(static ENTERED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    if ENTERED.get() {
        return Ok(());
    }
    mounts::enter_private_namespace()?;
    ENTERED.set(true);
    Ok(())
}

/// Prints past the test harness, which captures the output of a passing test.
pub(crate) fn report_skipped(what: &str, why: &str) {
    report(&format!("SKIPPED: {what}: {why}"));
}

/// Prints a result past the test harness.
pub(crate) fn report(text: &str) {
    io::stderr().lock().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Runs a future; panics if it takes too long.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(HANG_TIMEOUT, future).await.expect("a caller hangs") })
}

/// Runs a blocking call; panics if it takes too long.
pub(crate) fn run_with_timeout<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(call()));
    receiver.recv_timeout(HANG_TIMEOUT).expect("a call hangs or panicked")
}
