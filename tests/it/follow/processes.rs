//! Followers in their own process, and a follower of writers that are killed.

use super::*;

/// Returns the peak resident memory of this process, in KiB.
fn memory_peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

const LARGE_BYTES: usize = 16 << 10;
const LARGE_RECORDS: u64 = 8 << 10;

fn follow_slowly(path: &str) {
    let mut follow = Reader::open(path).unwrap().follow_stream::<String>(1);
    let before = memory_peak_kib();
    for seq in 1..=LARGE_RECORDS {
        let record = block_on(follow.next()).unwrap().unwrap();
        assert_eq!((record.seq, record.value.len()), (seq, LARGE_BYTES));
        if seq % 16 == 0 {
            thread::yield_now();
        }
    }
    let grown = memory_peak_kib() - before;
    assert!(
        grown < 24 << 10,
        "{grown} KiB more for a journal of {} KiB",
        LARGE_RECORDS as usize * LARGE_BYTES / 1024
    );
    report(&grown.to_string());
}

#[test]
fn slow_consumer_uses_bounded_memory() {
    if let Some(args) = child_args() {
        return follow_slowly(&args[0]);
    }
    let journal = TempJournal::new();
    let store = JournalOptions::new().max_segment_bytes(48 << 20).open_blocking(journal.path()).unwrap();
    let text = "x".repeat(LARGE_BYTES);
    for _ in 0..LARGE_RECORDS / 64 {
        store.blocking().append_batch(vec![&text; 64]).unwrap();
    }
    let args = [journal.path().to_str().unwrap()];
    let output = child("follow::processes::slow_consumer_uses_bounded_memory", &args).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out}");
    assert!(out.lines().any(|line| reported(line).is_some()), "{out}");
}

/// Returns the number of threads that read for followers in this process.
fn reader_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("ministore-reade"))
        .count()
}

fn drop_followers(path: &str) {
    let store = JournalOptions::new().open_blocking(path).unwrap();
    store.blocking().append(&1_u64).unwrap();
    let mut follows = vec![store.follow::<u64>(1), Reader::open(path).unwrap().follow_stream(1)];
    for follow in &mut follows {
        assert_eq!(next(follow).unwrap().unwrap(), (1, 1));
        // It waits for the next record.
        assert!(block_on(poll_once(pin!(follow.next()))).is_none());
    }
    assert_eq!(reader_threads(), 2);
    drop(follows);
    let start = Instant::now();
    while reader_threads() > 0 {
        assert!(start.elapsed() < HANG, "{} threads are left", reader_threads());
        thread::yield_now();
    }
    store.blocking().close().unwrap();
}

#[test]
fn dropped_follower_ends_its_thread() {
    if let Some(args) = child_args() {
        return drop_followers(&args[0]);
    }
    let journal = TempJournal::new();
    let args = [journal.path().to_str().unwrap()];
    let output = child("follow::processes::dropped_follower_ends_its_thread", &args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn write_until_killed(backend: &str, path: &str) {
    let backend: Backend = backend.parse().unwrap();
    let options = JournalOptions::new().backend(backend).max_segment_bytes(2000);
    let store = &options.open_blocking(path).unwrap();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for n in 0_u64.. {
                    let value = u64::from(std::process::id()) << 32 | writer << 28 | n;
                    let seq = store.blocking().submit(&value).unwrap().wait().unwrap().seq;
                    report(&format!("{seq} {value} ."));
                }
            });
        }
    });
}

/// One follower reads the records of many writers, all but the last of which are killed.
#[test]
fn follower_outlives_killed_writers() {
    const ROUNDS: usize = 15;
    if let Some(args) = child_args() {
        return write_until_killed(&args[0], &args[1]);
    }
    on_each_backend(|backend| {
        let journal = TempJournal::new();
        let path = journal.path().to_path_buf();
        let mut lines = Reader::open(&path).unwrap().follow_raw(1).unwrap();
        let following = thread::spawn(move || {
            let mut followed = Vec::new();
            while let Some(line) = lines.next_record().unwrap() {
                let value = line.parse::<u64>().unwrap();
                if value == u64::MAX {
                    break;
                }
                followed.push((line.seq, value));
            }
            followed
        });
        let mut acknowledged = BTreeMap::new();
        for round in 0..ROUNDS {
            let args = [&backend.to_string(), path.to_str().unwrap()];
            let mut writer =
                child("follow::processes::follower_outlives_killed_writers", &args).spawn().unwrap();
            let wanted = acknowledged.len() + 10 + round * 13;
            for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
                let line = line.unwrap();
                // The last line may be incomplete: complete ones end with a full stop.
                let record = reported(&line).and_then(|text| text.strip_suffix(" .")?.split_once(' '));
                if let Some((seq, value)) = record {
                    acknowledged.insert(seq.parse::<u64>().unwrap(), value.parse::<u64>().unwrap());
                }
                if acknowledged.len() == wanted {
                    writer.kill().unwrap();
                }
            }
            writer.wait().unwrap();
            assert!(acknowledged.len() >= wanted, "round {round}: the writer ended by itself");
        }
        let store = JournalOptions::new().open_blocking(&path).unwrap();
        store.blocking().append(&u64::MAX).unwrap();
        store.blocking().close().unwrap();
        let followed = following.join().unwrap();
        let mut kept = numbered::<u64>(&path).unwrap();
        assert_eq!(kept.pop().map(|(_, value)| value), Some(u64::MAX));
        assert_eq!(followed, kept);
        let kept: BTreeMap<_, _> = kept.into_iter().collect();
        for (seq, value) in acknowledged {
            assert_eq!(kept.get(&seq), Some(&value), "record {seq} was acknowledged");
        }
    });
}
