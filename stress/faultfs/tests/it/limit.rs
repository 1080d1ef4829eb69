//! The process's own limit on the size of files (`RLIMIT_FSIZE`). A write beyond it is answered with `EFBIG`, once the
//! signal that comes with it (`SIGXFSZ`) is ignored; where it is not, it ends the process. Rust's runtime leaves
//! that signal alone, and so does the log: whoever runs under such a limit ignores it.

use std::{
    io::{self, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output},
};

use ministore_uring::Backend;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::{
    callers::{Load, Log, Record, records},
    rig::{Lane, finish},
};

const LOAD: Load = Load { callers: 2, records: 20, padding: 1000 };

const CHILD: &str = "MINISTORE_LIMIT_CHILD";

/// In units of 1 KiB, as the shell counts.
const LIMIT_KIB: u32 = 200;

/// This test once more, in a process with a limit.
fn run_limited(prelude: &str, path: &Path, lane: usize) -> Output {
    let script = format!("{prelude} ulimit -S -f {LIMIT_KIB}; exec \"$0\" \"$@\"");
    let test = "limit::in_a_child";
    Command::new("bash")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{lane}\n{}", path.display()))
        .output()
        .unwrap()
}

/// How many records the child was told are durable, the last time it said so.
fn acknowledged_by_child(output: &Output) -> usize {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut told = text.lines().filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    told.next_back().unwrap_or(0)
}

/// Only does something in a child: fills a journal up to the limit, and goes on once that is lifted.
#[test]
fn in_a_child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (lane, path) = told.split_once('\n').unwrap();
    let lane = Lane::all()[lane.parse::<usize>().unwrap()];
    let store = finish(lane.options().open(path)).unwrap();
    let mut log = Log::default();
    for _ in 0..20 {
        log.run(&store, LOAD);
        writeln!(io::stdout(), "\nacknowledged {}", log.acknowledged()).unwrap();
    }
    assert!(log.full() > 0 && log.unknown() == 0, "{} full, {} unknown", log.full(), log.unknown());
    log.assert_holds(&records(Path::new(path)), "at the limit");
    let hard = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: hard, maximum: hard }).unwrap();
    let acknowledged = log.acknowledged();
    log.run(&store, LOAD);
    assert_eq!(log.acknowledged(), acknowledged + 40, "beyond the limit once it is lifted");
    finish(store.close()).unwrap();
    log.assert_holds(&records(Path::new(path)), "closed");
}

#[test]
fn process_file_size_limit_is_storage_full() {
    for lane in 0..Lane::all().len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let output = run_limited("trap '' XFSZ;", &path, lane);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "lane {lane}: {text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(records(&path).len() > 40, "lane {lane}: {text}");
    }
}

#[test]
fn where_the_signal_is_not_ignored_it_ends_the_process_and_nothing_acknowledged_is_lost() {
    for lane in 0..Lane::all().len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let output = run_limited("", &path, lane);
        let Lane { backend, preallocate, .. } = Lane::all()[lane];
        // A file that grows by commits alone grows on the kernel's own threads: their signals go to nobody.
        let killed = output.status.signal() == Some(Signal::XFSZ.as_raw());
        let spared = backend == Backend::Uring && !preallocate && output.status.success();
        assert!(killed || spared, "lane {lane}: {output:?}");
        let store = finish(Lane::all()[lane].options().open(&path)).unwrap();
        let found = records(&path);
        let acknowledged = acknowledged_by_child(&output);
        assert!(
            found.len() >= acknowledged && acknowledged >= 40,
            "lane {lane}: {acknowledged}, {}",
            found.len()
        );
        finish(store.append(&Record::new(99, 0, 0))).unwrap();
        finish(store.close()).unwrap();
    }
}
