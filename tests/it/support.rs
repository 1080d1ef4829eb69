//! Shared helpers: journals in temporary directories, every backend, seals, child processes.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

pub(crate) use futures_lite::future::block_on;
use ministore_uring::{Backend, JournalOptions, MiniStore, MiniStoreError, Reader, Result, SyncMode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::TempDir;

/// The backends that are compiled in.
const BACKENDS: &[Backend] = &[
    Backend::Uring,
    #[cfg(feature = "tokio-uring")]
    Backend::TokioUring,
    Backend::Blocking,
];

/// The file name of every [`TempJournal`].
pub(crate) const NAME: &str = "journal.jsonl";

/// Smaller than the default, which makes the padding of a new segment smaller too: a debug build reads padding slowly.
const SEGMENT_BYTES: u64 = 256 << 10;

/// The environment variable with the arguments of a child process.
const CHILD_ARGS: &str = "MINISTORE_TEST_CHILD";

/// The record type in the documentation of `ministore` 0.1.7.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Mutation {
    Set { value: u32 },
    Inc { by: u32 },
}

/// The reason why io_uring cannot be used here, if it cannot.
static URING_UNAVAILABLE: LazyLock<Option<String>> = LazyLock::new(|| {
    let journal = TempJournal::new();
    match JournalOptions::new().backend(Backend::Uring).open_blocking(journal.path()) {
        Err(error @ MiniStoreError::BackendUnavailable { .. }) => Some(error.to_string()),
        _ => None,
    }
});

/// Runs a test with the options of every available backend, each with another sync mode, so that both modes run. For tests
/// of more than the commits.
pub(crate) fn for_each_backend(test: impl Fn(JournalOptions)) {
    on_each_backend(|backend| match (backend, &*URING_UNAVAILABLE) {
        (Backend::Uring, _) => test(options(backend, SyncMode::Dsync)),
        (_, None) => test(options(backend, SyncMode::Fdatasync)),
        (_, Some(_)) => sync_modes(backend).iter().for_each(|&mode| test(options(backend, mode))),
    });
}

/// Runs a test with the options of every available backend in every sync mode. For guarantees of commits.
pub(crate) fn for_each_commit_path(test: impl Fn(JournalOptions)) {
    on_each_backend(|backend| sync_modes(backend).iter().for_each(|&mode| test(options(backend, mode))));
}

/// Returns the sync modes that a backend supports and [`SyncMode::Auto`] selects from.
pub(crate) fn sync_modes(backend: Backend) -> &'static [SyncMode] {
    match backend {
        Backend::TokioUring => &[SyncMode::Fdatasync],
        _ => &[SyncMode::Dsync, SyncMode::Fdatasync],
    }
}

fn options(backend: Backend, mode: SyncMode) -> JournalOptions {
    // The harness prints it if the test fails.
    eprintln!("in sync mode {mode}:");
    JournalOptions::new().backend(backend).sync_mode(mode).max_segment_bytes(SEGMENT_BYTES)
}

/// Runs a test on every available backend.
pub(crate) fn on_each_backend(test: impl Fn(Backend)) {
    for &backend in BACKENDS {
        match &*URING_UNAVAILABLE {
            Some(reason) if backend != Backend::Blocking => {
                print_notice(&format!("SKIPPED: io_uring: {reason}"));
            }
            _ => {
                eprintln!("on {backend}:");
                test(backend);
            }
        }
    }
}

/// Prints to stderr directly: the harness captures the output of a passing test.
pub(crate) fn print_notice(text: &str) {
    let _ = writeln!(io::stderr(), "\n{text}");
}

/// The contents of the files of a journal by name, without the lock file.
pub(crate) type FileContents = BTreeMap<String, Vec<u8>>;

/// The path of a journal in a temporary directory, which is removed on drop.
#[derive(Debug)]
pub(crate) struct TempJournal {
    dir: TempDir,
    path: PathBuf,
}

impl TempJournal {
    pub(crate) fn new() -> Self {
        // In the target directory, on a real disk: /tmp may be in memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().canonicalize().unwrap().join(NAME);
        Self { dir, path }
    }

    /// Creates a directory with these files.
    pub(crate) fn of(files: &FileContents) -> Self {
        let journal = Self::new();
        journal.restore(files);
        journal
    }

    /// Creates a directory with an active segment of these bytes.
    pub(crate) fn of_bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::of(&FileContents::from([(NAME.into(), bytes.as_ref().to_vec())]))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the path of `NAME` with a suffix.
    pub(crate) fn file(&self, suffix: &str) -> PathBuf {
        self.dir().canonicalize().unwrap().join(format!("{NAME}{suffix}"))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    /// Returns the names in the directory, without the lock file.
    pub(crate) fn names(&self) -> Vec<String> {
        self.inodes().into_iter().map(|(name, _)| name).collect()
    }

    /// Returns a copy of all files, as a crash at this moment would leave them.
    pub(crate) fn files(&self) -> FileContents {
        loop {
            let before = self.inodes();
            let read = |(name, _): &(String, u64)| Ok((name.clone(), fs::read(self.dir().join(name))?));
            let files: io::Result<FileContents> = before.iter().map(read).collect();
            // A rotation between two reads would give a state that never existed.
            if let (Ok(files), true) = (files, self.inodes() == before) {
                return files;
            }
        }
    }

    /// Replaces all files of the directory with these.
    pub(crate) fn restore(&self, files: &FileContents) {
        for name in self.names() {
            fs::remove_file(self.dir().join(name)).unwrap();
        }
        for (name, bytes) in files {
            fs::write(self.dir().join(name), bytes).unwrap();
        }
    }

    fn inodes(&self) -> Vec<(String, u64)> {
        let entries = fs::read_dir(self.dir()).unwrap().map(|entry| entry.unwrap());
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                Some((entry.file_name().into_string().unwrap(), entry.metadata().ok()?.ino()))
            })
            .filter(|(name, _)| !name.ends_with(".lock"))
            .collect();
        found.sort();
        found
    }
}

pub(crate) fn replay<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Vec<T>> {
    block_on(MiniStore::replay(path))
}

/// Returns all records with their sequence numbers.
pub(crate) fn numbered<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Vec<(u64, T)>> {
    Reader::open(path)?.records().map(|record| record.map(|record| (record.seq, record.value))).collect()
}

/// Reads a journal with `ministore` 0.1.7.
pub(crate) fn legacy_replay<T: DeserializeOwned>(path: impl AsRef<Path>) -> ministore::Result<Vec<T>> {
    tokio_run(ministore::MiniStore::replay(path))
}

/// Writes a journal with `ministore` 0.1.7.
pub(crate) fn legacy_write<T: Serialize>(path: &Path, options: ministore::MiniStoreOptions, records: &[T]) {
    tokio_run(async {
        let mut store = options.open(path).await.unwrap();
        for record in records {
            store.append(record).await.unwrap();
        }
    });
}

pub(crate) fn tokio_run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Encodes a seal; implemented a second time from the description of the format.
pub(crate) fn seal(value: u32) -> String {
    let bit = |n: u32| if value >> n & 1 == 1 { '\t' } else { ' ' };
    std::iter::once('\t').chain((0..32).rev().map(bit)).collect()
}

/// Returns the end offsets of the seals of a segment.
pub(crate) fn seal_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut offset = 0;
    for line in bytes.split(|&b| b == b'\n') {
        let value = line.trim_ascii_end().len();
        if line[value..].len() >= 33 && line[value] == b'\t' {
            ends.push(offset + value + 33);
        }
        offset += line.len() + 1;
    }
    ends
}

/// Returns a command that runs only the test `name` of this binary, with `args` in [`child_args`].
pub(crate) fn child(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(CHILD_ARGS, args.join("\n"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Returns the arguments of a child process; `None` in the parent.
pub(crate) fn child_args() -> Option<Vec<String>> {
    Some(std::env::var(CHILD_ARGS).ok()?.split('\n').map(String::from).collect())
}

/// Prints a line to the parent, with a prefix that distinguishes it from the output of the harness.
pub(crate) fn report(text: &str) {
    let mut out = io::stdout().lock();
    write!(out, "\n> {text}\n").and_then(|()| out.flush()).unwrap();
}

/// Returns the text that a child passed to [`report`], from a line of its output.
pub(crate) fn reported(line: &str) -> Option<&str> {
    line.strip_prefix("> ")
}
