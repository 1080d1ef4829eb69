//! `backup` while another process appends, rotates and deletes; and `backup` that is killed at random moments.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, ChildStdin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use fastrand::Rng;
use ministore_uring::Reader;

use crate::{
    backup::{replay, restore, verify},
    support::{CommandExt, TIMEOUT, TestDir, ministore},
};

/// A process that appends the numbers from 1 on, each in a line, until it is stopped.
struct LiveWriter {
    child: Child,
    is_stopped: Arc<AtomicBool>,
    feeder: JoinHandle<ChildStdin>,
}

impl LiveWriter {
    fn start(dir: &TestDir, options: &[&str]) -> Self {
        let mut child = dir.ingest().args(options).spawn_with_stdin();
        let mut stdin = child.stdin.take().unwrap();
        let is_stopped = Arc::new(AtomicBool::new(false));
        let feeder = thread::spawn({
            let is_stopped = Arc::clone(&is_stopped);
            move || {
                let mut number = 0_u64;
                while !is_stopped.load(Ordering::Relaxed) {
                    number += 1;
                    writeln!(stdin, "{number}").unwrap();
                }
                stdin
            }
        });
        dir.wait_for_durable(10);
        Self { child, is_stopped, feeder }
    }

    fn stop(self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        drop(self.feeder.join().unwrap());
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// Checks that a journal is sound and that each record is its own number. Returns the first and the last.
fn check_numbers(journal: &Path) -> (u64, u64) {
    verify(journal).ok();
    let reader = Reader::open(journal).unwrap();
    let mut last = 0;
    for record in reader.records::<u64>() {
        let record = record.unwrap();
        assert_eq!(record.seq, record.value);
        last = record.seq;
    }
    (reader.first_seq().unwrap(), last)
}

#[test]
fn backups_of_a_live_journal_are_sound() {
    let dir = TestDir::new();
    let writer = LiveWriter::start(&dir, &["--max-segment-bytes", "32KiB"]);
    let mut durable = 0;
    for round in 0..9 {
        let before = Reader::open(dir.journal()).unwrap().last_seq().unwrap();
        let options: &[&str] = if round % 3 == 0 { &["--copy"] } else { &[] };
        let report = dir.backup().arg("--json").args(options).run().ok().json();
        let (first, last) = check_numbers(&dir.backed_up());
        assert_eq!((report["first_seq"].as_u64(), report["last_seq"].as_u64()), (Some(first), Some(last)));
        assert_eq!(first, 1);
        assert!(last >= before.max(durable), "{last} of {before}, {durable}");
        durable = last;
    }
    writer.stop();
    dir.backup().run().ok();
    assert_eq!(replay(&dir.backed_up()), dir.replay());
}

#[test]
fn backup_races_with_retention() {
    let dir = TestDir::new();
    let writer = LiveWriter::start(&dir, &["--max-segment-bytes", "4KiB", "--max-segments", "4"]);
    for round in 0..10 {
        // A later backup of the same directory may miss segments: it is refused then, and the first one is kept.
        let to = dir.path(&format!("backup-{round}"));
        dir.command("backup").arg(&to).run().ok();
        let copy = to.join("journal.jsonl");
        let (_, last) = check_numbers(&copy);
        let output = dir.command("backup").arg(&to).run();
        assert!(matches!(output.code, Some(0 | 73)), "{output:?}");
        assert!(check_numbers(&copy).1 >= last);
        fs::remove_dir_all(&to).unwrap();
    }
    writer.stop();
}

#[test]
fn killed_backup_is_a_sound_journal() {
    let dir = TestDir::new();
    let writer = LiveWriter::start(&dir, &["--max-segment-bytes", "32KiB"]);
    let mut random = Rng::with_seed(3);
    let (mut last, mut killed) = (0, 0);
    // A whole run takes as long as this at first.
    let began = Instant::now();
    dir.backup().arg("--copy").run().ok();
    let mut longest = began.elapsed();
    fs::remove_dir_all(dir.path("backup")).unwrap();
    let started = Instant::now();
    for round in 0..40 {
        assert!(started.elapsed() < TIMEOUT, "{round} rounds");
        let mut command = dir.backup();
        if random.bool() {
            command.arg("--copy");
        }
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let delay = Duration::from_micros(random.u64(..=longest.as_micros() as u64));
        while began.elapsed() < delay && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        match child.wait().unwrap().code() {
            None => killed += 1,
            code => {
                assert_eq!(code, Some(0));
                longest = began.elapsed();
            }
        }
        if dir.backed_up().exists() || dir.path("backup/journal.jsonl.001").exists() {
            let (first, now) = check_numbers(&dir.backed_up());
            assert_eq!(first, 1);
            assert!(now >= last, "{now} of {last}");
            last = now;
        }
    }
    assert!(killed >= 10, "{killed} of 40");
    writer.stop();
    dir.backup().run().ok();
    assert_eq!(replay(&dir.backed_up()), dir.replay());
    let names = fs::read_dir(dir.path("backup")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.map(|name| name.into_string().unwrap()).all(|name| !name.contains("staged")));
}

#[test]
fn killed_restore_continues() {
    let dir = TestDir::new();
    let writer = LiveWriter::start(&dir, &["--max-segment-bytes", "4KiB"]);
    dir.wait_for_durable(5000);
    writer.stop();
    let mut random = Rng::with_seed(4);
    let began = Instant::now();
    restore(&dir.journal(), &dir.path("first.jsonl")).run().ok();
    let longest = began.elapsed();
    let new = dir.path("new.jsonl");
    for _ in 0..20 {
        let began = Instant::now();
        let mut child = restore(&dir.journal(), &new).spawn().unwrap();
        let delay = Duration::from_micros(random.u64(..=longest.as_micros() as u64));
        while began.elapsed() < delay && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
        if new.exists() && verify(&new).code == Some(0) {
            break;
        }
        let mut ingest = ministore(["ingest".as_ref(), new.as_os_str()]);
        if new.exists() {
            ingest.run_with_stdin(b"1\n").code(65);
        }
    }
    if !new.exists() || verify(&new).code != Some(0) {
        restore(&dir.journal(), &new).run().ok();
    }
    assert_eq!(replay(&new), dir.replay());
    check_numbers(&new);
}
