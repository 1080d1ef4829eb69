//! The process's limit on the size of files (`RLIMIT_FSIZE`). A write beyond it fails with `EFBIG` if the process
//! ignores the signal `SIGXFSZ`, which otherwise kills it. Neither Rust's runtime nor the store changes the handling
//! of that signal: a program under such a limit must ignore it.

use std::{
    io::{self, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output},
};

use ministore_uring::Backend;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::{
    fixture::{StoreConfig, block_on},
    workload::{AckLog, Record, Workload, records},
};

const WORKLOAD: Workload = Workload { callers: 2, records: 20, padding: 1000 };

const CHILD: &str = "MINISTORE_LIMIT_CHILD";

/// In units of 1 KiB, as in the shell's `ulimit`.
const LIMIT_KIB: u32 = 200;

/// Runs this test binary again in a process with a limit.
fn run_limited(prelude: &str, path: &Path, config: usize) -> Output {
    let script = format!("{prelude} ulimit -S -f {LIMIT_KIB}; exec \"$0\" \"$@\"");
    let test = "rlimit::fill_to_limit_in_child";
    Command::new("bash")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{config}\n{}", path.display()))
        .output()
        .unwrap()
}

/// Returns the last number of acknowledged records that the child printed.
fn acknowledged_by_child(output: &Output) -> usize {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut counts = text.lines().filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    counts.next_back().unwrap_or(0)
}

/// Does nothing outside a child process. In one, fills a journal up to the limit, lifts the limit and continues.
#[test]
fn fill_to_limit_in_child() {
    let Ok(args) = std::env::var(CHILD) else { return };
    let (config, path) = args.split_once('\n').unwrap();
    let config = StoreConfig::all()[config.parse::<usize>().unwrap()];
    let store = block_on(config.options().open(path)).unwrap();
    let mut acks = AckLog::default();
    for _ in 0..20 {
        acks.run(&store, WORKLOAD);
        writeln!(io::stdout(), "\nacknowledged {}", acks.acknowledged()).unwrap();
    }
    assert!(
        acks.rejected() > 0 && acks.unknown() == 0,
        "{} full, {} unknown",
        acks.rejected(),
        acks.unknown()
    );
    acks.assert_matches(&records(Path::new(path)), "at the limit");
    let hard = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: hard, maximum: hard }).unwrap();
    let acknowledged = acks.acknowledged();
    acks.run(&store, WORKLOAD);
    assert_eq!(acks.acknowledged(), acknowledged + 40, "beyond the limit once it is lifted");
    block_on(store.close()).unwrap();
    acks.assert_matches(&records(Path::new(path)), "closed");
}

#[test]
fn process_file_size_limit_is_storage_full() {
    for config in 0..StoreConfig::all().len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let output = run_limited("trap '' XFSZ;", &path, config);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "config {config}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(records(&path).len() > 40, "config {config}: {text}");
    }
}

#[test]
fn sigxfsz_kills_process_and_keeps_acked_records() {
    for config in 0..StoreConfig::all().len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let output = run_limited("", &path, config);
        let StoreConfig { backend, preallocate, .. } = StoreConfig::all()[config];
        // A file that only commits extend is extended on the kernel's own threads, whose signals do not reach the
        // process.
        let killed = output.status.signal() == Some(Signal::XFSZ.as_raw());
        let survived = backend != Backend::Blocking && !preallocate && output.status.success();
        assert!(killed || survived, "config {config}: {output:?}");
        let store = block_on(StoreConfig::all()[config].options().open(&path)).unwrap();
        let found = records(&path);
        let acknowledged = acknowledged_by_child(&output);
        assert!(
            found.len() >= acknowledged && acknowledged >= 40,
            "config {config}: {acknowledged}, {}",
            found.len()
        );
        block_on(store.append(&Record::new(99, 0, 0))).unwrap();
        block_on(store.close()).unwrap();
    }
}
