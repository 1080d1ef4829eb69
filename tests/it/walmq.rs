//! The example broker: killed while many consumers acknowledge and it snapshots and releases, over and over in one
//! directory; and what it says of changes that nobody waits for.

#[allow(dead_code, unreachable_pub, reason = "it is an example, read by itself")]
#[path = "../../examples/walmq_metadata/main.rs"]
mod walmq_metadata;

use std::{
    collections::BTreeMap,
    future::Future,
    io::{BufRead, BufReader},
    path::Path,
    sync::Arc,
    task::{Context, Waker},
};

use ministore_uring::{JournalOptions, MiniStore, Record};
use walmq_metadata::{Broker, BrokerError, Change, Metadata, Refused, TopicConfig};

use crate::support::{block_on, child, child_args, shout, tell, told};

const ROUNDS: u64 = 40;
const CONSUMERS: usize = 16;
const TOPICS: [&str; 3] = ["orders", "mails", "audit"];

/// So many lines a round are waited for, at most.
const LINES_MAX: u64 = 400;

const CONFIG: TopicConfig = TopicConfig { partitions: 3, retention_hours: 72 };

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Small segments, so that many kills hit a rotation or a release.
async fn open(dir: &Path) -> Result<Broker, BrokerError> {
    Broker::open_with(JournalOptions::new().max_segment_bytes(8000), dir).await
}

/// What a consumer does, step by step: its group acknowledges the topics in turn, offset after offset.
fn step(consumer: usize, number: u64) -> Change {
    let topic = TOPICS[number as usize % TOPICS.len()].into();
    Change::Acknowledge { group: format!("group {consumer}"), topic, offset: number }
}

/// What comes and goes meanwhile, step by step: a topic of its own, a member of its own.
fn coming_and_going(number: u64) -> Change {
    let (topic, group, member) = (format!("passing {}", number / 4), "all".into(), "passing".into());
    match number % 4 {
        0 => Change::CreateTopic { topic, config: CONFIG },
        1 => Change::Join { group, member },
        2 => Change::Leave { group, member },
        _ => Change::DeleteTopic { topic },
    }
}

/// What there is before anything else is done.
fn beginning() -> Vec<Change> {
    let topics = TOPICS.map(|topic| Change::CreateTopic { topic: topic.into(), config: CONFIG });
    let groups = (0..CONSUMERS)
        .map(|consumer| Change::Join { group: format!("group {consumer}"), member: "m".into() })
        .chain([Change::Join { group: "all".into(), member: "m".into() }]);
    topics.into_iter().chain(groups).collect()
}

/// The number of steps done: of each consumer and, last, of what comes and goes.
type Done = BTreeMap<usize, u64>;

/// The metadata after so many steps.
fn expected(done: &Done) -> Metadata {
    let mut metadata = Metadata::default();
    for change in beginning() {
        metadata.apply(change).unwrap();
    }
    for (who, steps) in done {
        for number in 0..*steps {
            // Only the last steps of each leave a trace.
            if number + 4 >= *steps {
                let change = if *who < CONSUMERS { step(*who, number + 1) } else { coming_and_going(number) };
                let _ = metadata.apply(change);
            }
        }
    }
    metadata
}

/// Goes on where `done` says until it is killed, and tells every step once it is durable.
#[tokio::main]
async fn serve(dir: &Path, done: Done) {
    let broker = Arc::new(open(dir).await.unwrap());
    for change in beginning() {
        match broker.change(change).await {
            Ok(()) | Err(BrokerError::Refused(Refused::TopicExists)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    tell("ready");
    let mut tasks = tokio::task::JoinSet::new();
    for who in 0..=CONSUMERS {
        let (broker, from) = (Arc::clone(&broker), done.get(&who).copied().unwrap_or(0));
        tasks.spawn(async move {
            for number in from.. {
                let change = if who < CONSUMERS { step(who, number + 1) } else { coming_and_going(number) };
                broker.change(change).await.unwrap();
                tell(&format!("{who} {}", number + 1));
            }
        });
    }
    tasks.spawn_blocking(move || {
        loop {
            let first_seq = broker.snapshot().unwrap();
            tell(&format!("snapshot {first_seq}"));
        }
    });
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Of one run of the child: what it told until it was killed.
struct Told {
    done: Done,
    snapshots: u64,
    first_seq: u64,
}

fn kill_after(dir: &Path, done: &Done, lines: u64) -> Told {
    let name = "walmq::after_a_kill_the_broker_is_where_it_was";
    let done_text = serde_json::to_string(done).unwrap();
    let mut child = child(name, &[dir.to_str().unwrap(), &done_text]).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut run = Told { done: done.clone(), snapshots: 0, first_seq: 1 };
    let mut heard = 0;
    let mut killed = false;
    loop {
        if heard == lines && !killed {
            child.kill().unwrap();
            killed = true;
        }
        let Some(line) = output.next() else { break };
        let line = line.unwrap();
        let Some(line) = told(&line) else { continue };
        heard += 1;
        match line.split_once(' ') {
            Some(("snapshot", first_seq)) => {
                run.snapshots += 1;
                run.first_seq = first_seq.parse().unwrap();
            }
            Some((who, number)) => {
                run.done.insert(who.parse().unwrap(), number.parse().unwrap());
            }
            None => {}
        }
    }
    let status = child.wait().unwrap();
    assert!(killed && status.code().is_none(), "it ended by itself: {status}");
    run
}

/// Which steps the recovered metadata holds: those that were told, and of each task perhaps the one that was on its way.
fn recovered(metadata: &Metadata, told: &Done) -> Done {
    let mut done = Done::new();
    for consumer in 0..CONSUMERS {
        let offsets = metadata.groups.get(&format!("group {consumer}")).map(|group| &group.offsets);
        done.insert(consumer, offsets.and_then(|offsets| offsets.values().copied().max()).unwrap_or(0));
    }
    let at_least = told.get(&CONSUMERS).copied().unwrap_or(0);
    let is_it = |steps: &u64| {
        let mut with_them = done.clone();
        with_them.insert(CONSUMERS, *steps);
        expected(&with_them) == *metadata
    };
    let passing = [at_least, at_least + 1].into_iter().find(is_it);
    let passing = passing.unwrap_or_else(|| panic!("after {at_least} steps of what passes: {metadata:?}"));
    done.insert(CONSUMERS, passing);
    for (who, steps) in told {
        let found = done[who];
        assert!(found == *steps || found == steps + 1, "{who} was told {steps}, found is {found}");
    }
    done
}

/// An xorshift: any seed but 0.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[test]
fn after_a_kill_the_broker_is_where_it_was() {
    if let Some(args) = child_args() {
        return serve(Path::new(&args[0]), serde_json::from_str(&args[1]).unwrap());
    }
    let dir = temporary();
    let mut random = 0x5eed;
    let (mut done, mut snapshots, mut first_seq, mut inside_snapshots) = (Done::new(), 0, 1, 0);
    for round in 0..ROUNDS {
        // The first round comes as far as what there is in the beginning.
        let lines = if round == 0 { 100 } else { next(&mut random) % LINES_MAX };
        let run = kill_after(dir.path(), &done, lines);
        inside_snapshots += u64::from(dir.path().join("metadata.snapshot.tmp").exists());
        snapshots += run.snapshots;
        first_seq = first_seq.max(run.first_seq);
        let broker = block_on(open(dir.path())).unwrap();
        done = recovered(&broker.metadata(), &run.done);
        block_on(broker.close()).unwrap();
        assert_eq!(broker.metadata(), expected(&done), "round {round}");
    }
    let steps: u64 = done.values().sum();
    shout(&format!(
        "walmq: {ROUNDS} kills, {inside_snapshots} inside a snapshot; {steps} changes, {snapshots} snapshots, the journal \
         begins with record {first_seq}"
    ));
    assert!(steps > ROUNDS && snapshots > 0 && first_seq > 1);
}

#[test]
fn a_change_whose_caller_stopped_waiting_is_seen_as_it_is_replayed() {
    let dir = temporary();
    let broker = block_on(open(dir.path())).unwrap();
    {
        let mut change = Box::pin(broker.create_topic("orders", CONFIG));
        // Handed over at its first poll, and given up.
        let _ = change.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    block_on(broker.join("g", "m")).unwrap();
    assert!(broker.metadata().topics.contains_key("orders"));
    let before = broker.copy();
    block_on(broker.close()).unwrap();
    assert_eq!(block_on(open(dir.path())).unwrap().copy(), before);
}

#[test]
fn a_change_that_was_overtaken_is_refused_and_stays_refused() {
    let dir = temporary();
    let broker = Arc::new(block_on(open(dir.path())).unwrap());
    // All are checked before any is durable, or some are: one creates the topic, whichever.
    let creators: Vec<_> = (0..8)
        .map(|partitions| {
            let broker = Arc::clone(&broker);
            std::thread::spawn(move || {
                block_on(broker.create_topic("orders", TopicConfig { partitions, retention_hours: 1 }))
            })
        })
        .collect();
    let outcomes: Vec<_> = creators.into_iter().map(|creator| creator.join().unwrap()).collect();
    let created = outcomes.iter().position(Result::is_ok).unwrap();
    let refused = |outcome: &Result<_, _>| matches!(outcome, Err(BrokerError::Refused(Refused::TopicExists)));
    assert_eq!(outcomes.iter().filter(|outcome| refused(outcome)).count(), 7, "{outcomes:?}");
    let before = broker.copy();
    assert_eq!(before.metadata.topics["orders"].partitions as usize, created);
    block_on(broker.close()).unwrap();
    assert_eq!(block_on(open(dir.path())).unwrap().copy(), before);
}

#[test]
fn a_journal_that_does_not_reach_the_snapshot_is_refused() {
    let dir = temporary();
    let broker = block_on(open(dir.path())).unwrap();
    block_on(broker.join("g", "m")).unwrap();
    broker.snapshot().unwrap();
    block_on(broker.close()).unwrap();
    let changes = std::iter::empty::<ministore_uring::Result<Record<Change>>>();
    let elsewhere = temporary();
    let journal = MiniStore::open_blocking(elsewhere.path().join("metadata.jsonl")).unwrap();
    let resumed = Broker::resume(journal, broker.copy(), changes, dir.path());
    assert!(matches!(resumed, Err(BrokerError::Missing { expected: 2, found: 1 })), "{resumed:?}");
}
