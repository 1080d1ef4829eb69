//! What the modules share: journals in temporary directories, both backends, bytes, child processes.

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

pub(crate) const BACKENDS: [Backend; 2] = [Backend::Uring, Backend::Blocking];

/// Both ways to make a commit durable. [`SyncMode::Auto`] is one of them on every file system.
pub(crate) const SYNC_MODES: [SyncMode; 2] = [SyncMode::Dsync, SyncMode::Fdatasync];

/// The name of every journal here.
pub(crate) const NAME: &str = "journal.jsonl";

/// Smaller than by default, and so is the padding of a new segment: a debug build is slow to read much of it.
const SEGMENT_BYTES: u64 = 256 << 10;

/// Tells a child process what it is to do.
const CHILD_ARGS: &str = "MINISTORE_TEST_CHILD";

/// The record type of the original's documentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Mutation {
    Set { value: u32 },
    Inc { by: u32 },
}

/// Why io_uring cannot be used here, if so.
static URING_REFUSED: LazyLock<Option<String>> = LazyLock::new(|| {
    let journal = Journal::new();
    match JournalOptions::new().backend(Backend::Uring).open_blocking(journal.path()) {
        Err(error @ MiniStoreError::BackendUnavailable { .. }) => Some(error.to_string()),
        _ => None,
    }
});

/// Runs a test with the options of every backend that can run here. Each has a sync mode of its own, so that both modes
/// run; for tests that look at more than the commits.
pub(crate) fn for_each_backend(test: impl Fn(JournalOptions)) {
    on_each_backend(|backend| match (backend, &*URING_REFUSED) {
        (Backend::Uring, _) => test(options(backend, SyncMode::Dsync)),
        (_, None) => test(options(backend, SyncMode::Fdatasync)),
        (_, Some(_)) => SYNC_MODES.into_iter().for_each(|mode| test(options(backend, mode))),
    });
}

/// Runs a test with the options of every backend that can run here, in every sync mode; for what commits guarantee.
pub(crate) fn for_each_commit_path(test: impl Fn(JournalOptions)) {
    on_each_backend(|backend| SYNC_MODES.into_iter().for_each(|mode| test(options(backend, mode))));
}

fn options(backend: Backend, mode: SyncMode) -> JournalOptions {
    // Shown where the test fails.
    eprintln!("in sync mode {mode}:");
    JournalOptions::new().backend(backend).sync_mode(mode).max_segment_bytes(SEGMENT_BYTES)
}

/// Runs a test on every backend that can run here.
pub(crate) fn on_each_backend(test: impl Fn(Backend)) {
    for backend in BACKENDS {
        match &*URING_REFUSED {
            Some(reason) if backend == Backend::Uring => {
                shout(&format!("SKIPPED: io_uring: {reason}"));
            }
            _ => {
                // Shown where the test fails.
                eprintln!("on {backend:?}:");
                test(backend);
            }
        }
    }
}

/// Past the test harness, which swallows what a passing test prints.
pub(crate) fn shout(text: &str) {
    let _ = writeln!(io::stderr(), "\n{text}");
}

/// Files by name, the lock file left out.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A directory with a journal in it, or with none yet; removed on drop.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: TempDir,
    path: PathBuf,
}

impl Journal {
    pub(crate) fn new() -> Self {
        // Beside the build, on a real disk: /tmp may be memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().canonicalize().unwrap().join(NAME);
        Self { dir, path }
    }

    /// A journal of these files.
    pub(crate) fn of(files: &Files) -> Self {
        let journal = Self::new();
        journal.restore(files);
        journal
    }

    /// A journal of one file.
    pub(crate) fn of_bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::of(&Files::from([(NAME.into(), bytes.as_ref().to_vec())]))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `NAME` with a suffix.
    pub(crate) fn file(&self, suffix: &str) -> PathBuf {
        self.dir().canonicalize().unwrap().join(format!("{NAME}{suffix}"))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    /// Names in the directory, the lock file left out.
    pub(crate) fn names(&self) -> Vec<String> {
        self.inodes().into_iter().map(|(name, _)| name).collect()
    }

    /// A copy of all files, as a crash at this moment would leave them.
    pub(crate) fn files(&self) -> Files {
        loop {
            let before = self.inodes();
            let read = |(name, _): &(String, u64)| Ok((name.clone(), fs::read(self.dir().join(name))?));
            let files: io::Result<Files> = before.iter().map(read).collect();
            // A rotation in between would give a mixture that never was.
            if let (Ok(files), true) = (files, self.inodes() == before) {
                return files;
            }
        }
    }

    /// Makes these the journal's files, and all there are.
    pub(crate) fn restore(&self, files: &Files) {
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

/// All records, with their numbers.
pub(crate) fn numbered<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Vec<(u64, T)>> {
    Reader::open(path)?.records().map(|record| record.map(|record| (record.seq, record.value))).collect()
}

/// What `ministore` 0.1.7 reads.
pub(crate) fn original_replay<T: DeserializeOwned>(path: impl AsRef<Path>) -> ministore::Result<Vec<T>> {
    tokio_run(ministore::MiniStore::replay(path))
}

/// Writes a journal with `ministore` 0.1.7.
pub(crate) fn original_write<T: Serialize>(path: &Path, options: ministore::MiniStoreOptions, records: &[T]) {
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

/// A seal, written down a second time from the description of the format.
pub(crate) fn seal(value: u32) -> String {
    let bit = |n: u32| if value >> n & 1 == 1 { '\t' } else { ' ' };
    std::iter::once('\t').chain((0..32).rev().map(bit)).collect()
}

/// Where the seals of a segment end.
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

/// This test binary once more, as a process of its own: only the test `name` runs, and finds `args` in
/// [`child_args`].
pub(crate) fn child(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(CHILD_ARGS, args.join("\n"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// What a child is to do; `None` in the parent.
pub(crate) fn child_args() -> Option<Vec<String>> {
    Some(std::env::var(CHILD_ARGS).ok()?.split('\n').map(String::from).collect())
}

/// One line to the parent, told from the harness's own by what it begins with.
pub(crate) fn tell(text: &str) {
    let mut out = io::stdout().lock();
    write!(out, "\n> {text}\n").and_then(|()| out.flush()).unwrap();
}

/// What a child told, from a line of its output.
pub(crate) fn told(line: &str) -> Option<&str> {
    line.strip_prefix("> ")
}
