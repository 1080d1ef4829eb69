//! Acknowledgements a second by the metadata of a message queue: the program that `ministore` 0.1.7 allows, on that and, with
//! the dependency swapped, on this crate; and the program that this crate allows. `cargo bench --bench walmq`.
//!
//! The contestants alternate, so that all see the same mood of the machine; figures are medians over the rounds.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

#[allow(dead_code, unreachable_pub, reason = "an example, read by itself")]
#[path = "../examples/walmq_metadata/main.rs"]
mod walmq_metadata;

use std::{
    error::Error,
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use walmq_metadata::{Broker, Change, Metadata, TopicConfig};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(300);
const CONSUMERS: [usize; 3] = [1, 16, 256];
const TOPIC: &str = "orders";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The metadata of a queue, whatever keeps it. A change is durable, and applied, when this returns.
trait Queue: Send + Sync + 'static {
    fn change(&self, change: Change) -> impl Future<Output = Outcome<()>> + Send;

    fn metadata(&self) -> impl Future<Output = Metadata> + Send;
}

/// The same program twice: the store is one owner's, so store and metadata stand behind a lock.
macro_rules! behind_a_lock {
    ($name:ident, $store:ident) => {
        struct $name(Mutex<($store::MiniStore, Metadata)>);

        impl $name {
            async fn open(path: &Path) -> Outcome<Self> {
                let options = $store::MiniStoreOptions::new().max_segments(usize::MAX);
                Ok(Self(Mutex::new((options.open(path).await?, Metadata::default()))))
            }
        }

        impl Queue for $name {
            #[allow(unused_mut, reason = "the original's `append` takes `&mut self`")]
            async fn change(&self, change: Change) -> Outcome<()> {
                let mut state = self.0.lock().await;
                state.1.check(&change)?;
                state.0.append(&change).await?;
                Ok(state.1.apply(change)?)
            }

            async fn metadata(&self) -> Metadata {
                self.0.lock().await.1.clone()
            }
        }
    };
}

behind_a_lock!(Original, ministore);
behind_a_lock!(Swapped, ministore_uring);

impl Queue for Broker {
    async fn change(&self, change: Change) -> Outcome<()> {
        Ok(Self::change(self, change).await?)
    }

    async fn metadata(&self) -> Metadata {
        Self::metadata(self)
    }
}

fn main() -> Outcome<()> {
    let rounds = std::env::var("WALMQ_ROUNDS").map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let runtime = tokio::runtime::Runtime::new()?;
    println!(
        "| consumers | `ministore` 0.1.7 | dependency swapped | ratio | `examples/walmq_metadata` | ratio |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for consumers in CONSUMERS {
        let (mut original, mut swapped, mut shared) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
            let path = |name: &str| dir.path().join(name);
            original
                .push(runtime.block_on(async { run(Original::open(&path("a")).await?, consumers).await })?);
            swapped.push(runtime.block_on(async { run(Swapped::open(&path("b")).await?, consumers).await })?);
            shared.push(runtime.block_on(async { run(Broker::open(dir.path()).await?, consumers).await })?);
        }
        let (original, swapped, shared) = (median(original), median(swapped), median(shared));
        println!(
            "| {consumers} | {original:.0} | {swapped:.0} | {:.1} | {shared:.0} | {:.1} |",
            swapped / original,
            shared / original
        );
    }
    Ok(())
}

/// Each consumer acknowledges one offset after the other, in a closed loop; how many a second.
async fn run<Q: Queue>(queue: Q, consumers: usize) -> Outcome<f64> {
    let queue = Arc::new(queue);
    let config = TopicConfig { partitions: 3, retention_hours: 72 };
    queue.change(Change::CreateTopic { topic: TOPIC.into(), config }).await?;
    for consumer in 0..consumers {
        queue.change(Change::Join { group: group(consumer), member: "m".into() }).await?;
    }
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for consumer in 0..consumers {
        let queue = Arc::clone(&queue);
        tasks.spawn(async move {
            let mut offset = 0;
            while started.elapsed() < ROUND {
                offset += 1;
                let (group, topic) = (group(consumer), TOPIC.into());
                queue.change(Change::Acknowledge { group, topic, offset }).await?;
            }
            Outcome::Ok((consumer, offset))
        });
    }
    let mut acknowledged = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        acknowledged.push(ended??);
    }
    let took = started.elapsed().as_secs_f64();
    let metadata = queue.metadata().await;
    let is_there = |(consumer, offset): &(usize, u64)| metadata.offset(&group(*consumer), TOPIC) == *offset;
    if !acknowledged.iter().all(is_there) {
        return Err("an acknowledgement is missing".into());
    }
    Ok(acknowledged.iter().map(|(_, offset)| *offset as f64).sum::<f64>() / took)
}

fn group(consumer: usize) -> String {
    format!("group {consumer}")
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
