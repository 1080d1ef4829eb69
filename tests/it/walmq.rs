//! The example broker: it is killed repeatedly in one directory while consumers acknowledge and it takes snapshots and trims.
//! Also its handling of changes whose callers do not wait, and of conflicting ones.

#[allow(dead_code, unreachable_pub, reason = "an example, which is a program of its own")]
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

use fastrand::Rng;
use ministore_uring::{JournalOptions, MiniStore, Record};
use walmq_metadata::{Broker, BrokerError, Change, Metadata, Refused, TopicConfig};

use crate::support::{block_on, child, child_args, print_notice, report, reported};

const ROUNDS: u64 = 40;
const CONSUMERS: usize = 16;
const TOPICS: [&str; 3] = ["orders", "mails", "audit"];

/// The most lines of the child's output before it is killed.
const LINES_MAX: u64 = 400;

const CONFIG: TopicConfig = TopicConfig { partitions: 3, retention_hours: 72 };

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Opens with small segments, so that many kills hit a rotation or a trim.
async fn open(dir: &Path) -> Result<Broker, BrokerError> {
    Broker::open_with(JournalOptions::new().max_segment_bytes(8000), dir).await
}

/// Returns a step of a consumer: its group acknowledges the topics in turn, with increasing offsets.
fn consumer_step(consumer: usize, number: u64) -> Change {
    let topic = TOPICS[number as usize % TOPICS.len()].into();
    Change::Acknowledge { group: format!("group {consumer}"), topic, offset: number }
}

/// Returns a step of the churn task: it creates and deletes a topic and joins and leaves a group.
fn churn_step(number: u64) -> Change {
    let (topic, group, member) = (format!("passing {}", number / 4), "all".into(), "passing".into());
    match number % 4 {
        0 => Change::CreateTopic { topic, config: CONFIG },
        1 => Change::Join { group, member },
        2 => Change::Leave { group, member },
        _ => Change::DeleteTopic { topic },
    }
}

/// Returns the changes that every run starts with.
fn initial_changes() -> Vec<Change> {
    let topics = TOPICS.map(|topic| Change::CreateTopic { topic: topic.into(), config: CONFIG });
    let groups = (0..CONSUMERS)
        .map(|consumer| Change::Join { group: format!("group {consumer}"), member: "m".into() })
        .chain([Change::Join { group: "all".into(), member: "m".into() }]);
    topics.into_iter().chain(groups).collect()
}

/// The number of completed steps of each consumer and, last, of the churn task.
type CompletedSteps = BTreeMap<usize, u64>;

/// Returns the metadata after these steps.
fn expected(done: &CompletedSteps) -> Metadata {
    let mut metadata = Metadata::default();
    for change in initial_changes() {
        metadata.apply(change).unwrap();
    }
    for (who, steps) in done {
        for number in 0..*steps {
            // Only the last four steps of each affect the metadata.
            if number + 4 >= *steps {
                let change =
                    if *who < CONSUMERS { consumer_step(*who, number + 1) } else { churn_step(number) };
                let _ = metadata.apply(change);
            }
        }
    }
    metadata
}

/// Continues after the completed steps until killed, and reports every step once it is durable.
#[tokio::main]
async fn serve(dir: &Path, done: CompletedSteps) {
    let broker = Arc::new(open(dir).await.unwrap());
    for change in initial_changes() {
        match broker.change(change).await {
            Ok(()) | Err(BrokerError::Refused(Refused::TopicExists)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    report("ready");
    let mut tasks = tokio::task::JoinSet::new();
    for who in 0..=CONSUMERS {
        let (broker, next) = (Arc::clone(&broker), done.get(&who).copied().unwrap_or(0));
        tasks.spawn(async move {
            for number in next.. {
                let change =
                    if who < CONSUMERS { consumer_step(who, number + 1) } else { churn_step(number) };
                broker.change(change).await.unwrap();
                report(&format!("{who} {}", number + 1));
            }
        });
    }
    tasks.spawn_blocking(move || {
        loop {
            let first_seq = broker.snapshot().unwrap();
            report(&format!("snapshot {first_seq}"));
        }
    });
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// What a run of the child reported until it was killed.
struct RunOutput {
    done: CompletedSteps,
    snapshots: u64,
    first_seq: u64,
}

fn kill_after(dir: &Path, done: &CompletedSteps, lines: u64) -> RunOutput {
    let name = "walmq::killed_broker_recovers_its_state";
    let done_text = serde_json::to_string(done).unwrap();
    let mut child = child(name, &[dir.to_str().unwrap(), &done_text]).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut run = RunOutput { done: done.clone(), snapshots: 0, first_seq: 1 };
    let mut line_count = 0;
    let mut killed = false;
    loop {
        if line_count == lines && !killed {
            child.kill().unwrap();
            killed = true;
        }
        let Some(line) = output.next() else { break };
        let line = line.unwrap();
        let Some(line) = reported(&line) else { continue };
        line_count += 1;
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

/// Returns the steps that the recovered metadata contains: the reported ones, and perhaps the one in flight of each task.
fn recovered(metadata: &Metadata, reported_steps: &CompletedSteps) -> CompletedSteps {
    let mut done = CompletedSteps::new();
    for consumer in 0..CONSUMERS {
        let offsets = metadata.groups.get(&format!("group {consumer}")).map(|group| &group.offsets);
        done.insert(consumer, offsets.and_then(|offsets| offsets.values().copied().max()).unwrap_or(0));
    }
    let at_least = reported_steps.get(&CONSUMERS).copied().unwrap_or(0);
    let matches_metadata = |steps: &u64| {
        let mut candidate = done.clone();
        candidate.insert(CONSUMERS, *steps);
        expected(&candidate) == *metadata
    };
    let churn = [at_least, at_least + 1].into_iter().find(matches_metadata);
    let churn = churn.unwrap_or_else(|| panic!("after {at_least} churn steps: {metadata:?}"));
    done.insert(CONSUMERS, churn);
    for (who, steps) in reported_steps {
        let found = done[who];
        assert!(found == *steps || found == steps + 1, "{who} reported {steps}, {found} were found");
    }
    done
}

#[test]
fn killed_broker_recovers_its_state() {
    if let Some(args) = child_args() {
        return serve(Path::new(&args[0]), serde_json::from_str(&args[1]).unwrap());
    }
    let dir = temporary();
    let mut random = Rng::with_seed(1);
    let (mut done, mut snapshots, mut first_seq, mut inside_snapshots) = (CompletedSteps::new(), 0, 1, 0);
    for round in 0..ROUNDS {
        // The first round completes the initial changes.
        let lines = if round == 0 { 100 } else { random.u64(..LINES_MAX) };
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
    print_notice(&format!(
        "walmq: {ROUNDS} kills, {inside_snapshots} inside a snapshot; {steps} changes, {snapshots} snapshots, the journal \
         starts with record {first_seq}"
    ));
    assert!(steps > ROUNDS && snapshots > 0 && first_seq > 1);
}

#[test]
fn abandoned_change_is_applied_as_in_replay() {
    let dir = temporary();
    let broker = block_on(open(dir.path())).unwrap();
    {
        let mut change = Box::pin(broker.create_topic("orders", CONFIG));
        // Queued at its first poll, and dropped.
        let _ = change.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    block_on(broker.join("g", "m")).unwrap();
    assert!(broker.metadata().topics.contains_key("orders"));
    let before = broker.copy();
    block_on(broker.close()).unwrap();
    assert_eq!(block_on(open(dir.path())).unwrap().copy(), before);
}

#[test]
fn conflicting_change_is_rejected_in_replay_too() {
    let dir = temporary();
    let broker = Arc::new(block_on(open(dir.path())).unwrap());
    // Checked before any of them is durable, or after: exactly one creates the topic.
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
    let is_rejected =
        |outcome: &Result<_, _>| matches!(outcome, Err(BrokerError::Refused(Refused::TopicExists)));
    assert_eq!(outcomes.iter().filter(|outcome| is_rejected(outcome)).count(), 7, "{outcomes:?}");
    let before = broker.copy();
    assert_eq!(before.metadata.topics["orders"].partitions as usize, created);
    block_on(broker.close()).unwrap();
    assert_eq!(block_on(open(dir.path())).unwrap().copy(), before);
}

#[test]
fn journal_older_than_the_snapshot_is_rejected() {
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
