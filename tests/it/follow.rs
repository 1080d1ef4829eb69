//! Following a journal while it is written, rotated, killed and recovered: each record once, in order, when it is durable.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    pin::pin,
    thread,
    time::{Duration, Instant},
};

use futures_lite::future::poll_once;
use ministore_uring::{Backend, FollowStream, JournalOptions, MiniStore, MiniStoreError, Reader};

use crate::support::{
    Journal, block_on, child, child_args, for_each_backend, numbered, on_each_backend, tell, told,
};

/// A test that waits longer than this hangs.
const HANG: Duration = Duration::from_secs(120);

const WRITERS: u64 = 3;

/// Small segments, so that it rotates many times.
fn small(options: JournalOptions) -> JournalOptions {
    options.max_segment_bytes(3000)
}

fn next(follow: &mut FollowStream<u64>) -> Option<ministore_uring::Result<(u64, u64)>> {
    block_on(follow.next()).map(|record| record.map(|record| (record.seq, record.value)))
}

/// Appends so many records from several threads, singly and in batches.
fn load(store: &MiniStore, each: u64) {
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for n in 0..each {
                    let value = writer << 32 | n;
                    if n % 10 == 0 {
                        store.blocking().append_batch([value; 3]).unwrap();
                    } else {
                        store.blocking().append(&value).unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn each_record_comes_once_in_order_and_only_when_it_is_durable() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = small(options).open_blocking(journal.path()).unwrap();
        let mut follow = store.follow::<u64>(1);
        let watcher = store.clone();
        let following = thread::spawn(move || {
            let mut seen = Vec::new();
            while let Some(record) = next(&mut follow) {
                let (seq, value) = record.unwrap();
                assert!(seq <= watcher.durable_seq(), "record {seq} was handed out before it was durable");
                seen.push((seq, value));
            }
            seen
        });
        load(&store, 400);
        assert!(store.stats().rotations >= 5, "{} rotations", store.stats().rotations);
        store.blocking().close().unwrap();
        assert_eq!(following.join().unwrap(), numbered::<u64>(journal.path()).unwrap());
    });
}

#[test]
fn a_follower_of_the_files_sees_the_same() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let mut lines = Reader::open(journal.path()).unwrap().follow_raw(1).unwrap();
        let stop_handle = lines.stop_handle();
        let total = WRITERS * (400 + 2 * 40);
        let following = thread::spawn(move || {
            let mut seen = Vec::new();
            while let Some(line) = lines.next_record().unwrap() {
                seen.push((line.seq, line.parse::<u64>().unwrap()));
                if line.seq == total {
                    // Only then; a second thread would have to guess.
                    stop_handle.stop();
                }
            }
            seen
        });
        let store = small(options).open_blocking(journal.path()).unwrap();
        load(&store, 400);
        let seen = following.join().unwrap();
        store.blocking().close().unwrap();
        assert_eq!(seen, numbered::<u64>(journal.path()).unwrap());
    });
}

#[test]
fn a_number_that_was_not_given_yet_is_waited_for() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let mut follow = store.follow::<u64>(3);
        let mut files = Reader::open(journal.path()).unwrap().follow_stream::<u64>(3);
        store.blocking().append_batch([1_u64, 2]).unwrap();
        assert!(block_on(poll_once(pin!(follow.next()))).is_none());
        assert!(block_on(poll_once(pin!(files.next()))).is_none());
        store.blocking().append(&3_u64).unwrap();
        assert_eq!(next(&mut follow).unwrap().unwrap(), (3, 3));
        assert_eq!(next(&mut files).unwrap().unwrap(), (3, 3));
        store.blocking().close().unwrap();
        assert!(next(&mut follow).is_none());
    });
}

#[test]
fn a_number_is_waited_for_until_it_is_durable_or_will_not_be() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let waiting: Vec<_> = (1..=4_u64)
            .map(|seq| {
                let (store, waited) = (store.clone(), store.wait_durable(seq));
                thread::spawn(move || block_on(waited).map(|()| store.durable_seq() >= seq))
            })
            .collect();
        for value in 1..=3_u64 {
            store.blocking().append(&value).unwrap();
        }
        store.blocking().wait_durable(3).unwrap();
        let never = store.wait_durable(5);
        store.blocking().close().unwrap();
        let told: Vec<_> = waiting.into_iter().map(|waiter| waiter.join().unwrap()).collect();
        assert!(told[..3].iter().all(|told| matches!(told, Ok(true))), "{told:?}");
        assert!(matches!(told[3], Err(MiniStoreError::Closed)), "{told:?}");
        assert!(matches!(block_on(never), Err(MiniStoreError::Closed)));
        store.blocking().wait_durable(3).unwrap();
    });
}

/// A consumer that stopped reading; retention goes on.
#[test]
fn follower_overtaken_by_retention_can_continue() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = small(options).max_segments(2).open_blocking(journal.path()).unwrap();
        store.blocking().append(&0_u64).unwrap();
        let mut overtaken = [
            store.follow::<u64>(1),
            Reader::open(journal.path()).unwrap().follow_stream(1),
            Reader::open(journal.path()).unwrap().follow_stream(0),
        ];
        for follow in &mut overtaken {
            assert_eq!(next(follow).unwrap().unwrap(), (1, 0));
        }
        while store.stats().rotations < 40 {
            store.blocking().append_batch([7_u64; 100]).unwrap();
        }
        store.blocking().close().unwrap();
        let first = numbered::<u64>(journal.path()).unwrap()[0].0;
        for follow in &mut overtaken {
            let mut expected = 2;
            let told = loop {
                match next(follow).unwrap() {
                    Ok((seq, _)) => assert_eq!(seq, expected),
                    Err(told) => break told,
                }
                expected += 1;
            };
            let MiniStoreError::Trimmed { first_seq, .. } = told else { panic!("{told:?}") };
            assert!(expected < first_seq && first_seq <= first, "{expected}, {first_seq}, {first}");
            assert!(next(follow).is_none());
        }
        let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
        for mut late in [store.follow::<u64>(1), Reader::open(journal.path()).unwrap().follow_stream(1)] {
            let told = next(&mut late).unwrap();
            assert!(
                matches!(told, Err(MiniStoreError::Trimmed { first_seq, .. }) if first_seq == first),
                "{told:?}"
            );
        }
        for mut oldest in [store.follow::<u64>(0), Reader::open(journal.path()).unwrap().follow_stream(first)]
        {
            assert_eq!(next(&mut oldest).unwrap().unwrap().0, first);
        }
    });
}

/// What of this process's memory is in use, in KiB, at most until now.
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
    tell(&grown.to_string());
}

#[test]
fn a_slow_consumer_takes_no_memory() {
    if let Some(args) = child_args() {
        return follow_slowly(&args[0]);
    }
    let journal = Journal::new();
    let store = JournalOptions::new().max_segment_bytes(48 << 20).open_blocking(journal.path()).unwrap();
    let text = "x".repeat(LARGE_BYTES);
    for _ in 0..LARGE_RECORDS / 64 {
        store.blocking().append_batch(vec![&text; 64]).unwrap();
    }
    let args = [journal.path().to_str().unwrap()];
    let output = child("follow::a_slow_consumer_takes_no_memory", &args).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out}");
    assert!(out.lines().any(|line| told(line).is_some()), "{out}");
}

/// How many threads read for followers in this process.
fn readers() -> usize {
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
        // It waits for more.
        assert!(block_on(poll_once(pin!(follow.next()))).is_none());
    }
    assert_eq!(readers(), 2);
    drop(follows);
    let begun = Instant::now();
    while readers() > 0 {
        assert!(begun.elapsed() < HANG, "{} threads are left behind", readers());
        thread::yield_now();
    }
    store.blocking().close().unwrap();
}

#[test]
fn dropped_follower_ends_its_thread() {
    if let Some(args) = child_args() {
        return drop_followers(&args[0]);
    }
    let journal = Journal::new();
    let args = [journal.path().to_str().unwrap()];
    let output = child("follow::dropped_follower_ends_its_thread", &args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn write_until_killed(backend: &str, path: &str) {
    let backend = if backend == "Uring" { Backend::Uring } else { Backend::Blocking };
    let options = JournalOptions::new().backend(backend).max_segment_bytes(2000);
    let store = &options.open_blocking(path).unwrap();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for n in 0_u64.. {
                    let value = u64::from(std::process::id()) << 32 | writer << 28 | n;
                    let seq = store.blocking().submit(&value).unwrap().wait().unwrap().seq;
                    tell(&format!("{seq} {value} ."));
                }
            });
        }
    });
}

/// One follower outlives many writers, all but the last of which are killed.
#[test]
fn a_follower_outlives_writers_that_are_killed() {
    const ROUNDS: usize = 15;
    if let Some(args) = child_args() {
        return write_until_killed(&args[0], &args[1]);
    }
    on_each_backend(|backend| {
        let journal = Journal::new();
        let path = journal.path().to_path_buf();
        let mut lines = Reader::open(&path).unwrap().follow_raw(1).unwrap();
        let following = thread::spawn(move || {
            let mut seen = Vec::new();
            while let Some(line) = lines.next_record().unwrap() {
                let value = line.parse::<u64>().unwrap();
                if value == u64::MAX {
                    break;
                }
                seen.push((line.seq, value));
            }
            seen
        });
        let mut acknowledged = BTreeMap::new();
        for round in 0..ROUNDS {
            let args = [&format!("{backend:?}"), path.to_str().unwrap()];
            let mut writer =
                child("follow::a_follower_outlives_writers_that_are_killed", &args).spawn().unwrap();
            let wanted = acknowledged.len() + 10 + round * 13;
            for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
                let line = line.unwrap();
                // The last line may be cut off: it ends in a full stop.
                let record = told(&line).and_then(|text| text.strip_suffix(" .")?.split_once(' '));
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
        let seen = following.join().unwrap();
        let mut kept = numbered::<u64>(&path).unwrap();
        assert_eq!(kept.pop().map(|(_, value)| value), Some(u64::MAX));
        assert_eq!(seen, kept);
        let kept: BTreeMap<_, _> = kept.into_iter().collect();
        for (seq, value) in acknowledged {
            assert_eq!(kept.get(&seq), Some(&value), "record {seq} was acknowledged");
        }
    });
}

#[test]
fn a_directory_that_is_not_there_yet_is_waited_for() {
    let journal = Journal::new();
    let path = journal.dir().join("later").join("j");
    let mut follow = Reader::open(&path).unwrap().follow_stream::<u64>(1);
    assert!(block_on(poll_once(pin!(follow.next()))).is_none());
    let store = MiniStore::open_blocking(&path).unwrap();
    store.blocking().append(&5_u64).unwrap();
    assert_eq!(next(&mut follow).unwrap().unwrap(), (1, 5));
    drop(follow);
    drop(store);
    let mut left = String::new();
    fs::File::open(&path).unwrap().read_to_string(&mut left).unwrap();
    assert!(left.contains("\n5"));
}
