//! Acknowledgements per second in the metadata of a message queue: the program that `ministore` 0.1.7 allows, the
//! same program on this crate, and the program that this crate allows. `cargo bench --bench walmq`.
//!
//! The three programs alternate, so that all run under the same load of the machine. The results are medians over
//! the rounds.

#![expect(clippy::print_stdout, reason = "prints its results")]

#[allow(dead_code, unreachable_pub, reason = "a stand-alone example")]
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
const ROUND_TIME: Duration = Duration::from_millis(300);
const CONSUMERS: [usize; 3] = [1, 16, 256];
const TOPIC: &str = "orders";

type BenchResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Stores the metadata of a message queue. A change is durable and applied when `change` returns.
trait MetadataStore: Send + Sync + 'static {
    fn change(&self, change: Change) -> impl Future<Output = BenchResult<()>> + Send;

    fn metadata(&self) -> impl Future<Output = Metadata> + Send;
}

/// The same program for both crates: the store has one owner, so a lock protects the store and the metadata.
macro_rules! locked_store {
    ($name:ident, $store:ident) => {
        struct $name(Mutex<($store::MiniStore, Metadata)>);

        impl $name {
            async fn open(path: &Path) -> BenchResult<Self> {
                let options = $store::MiniStoreOptions::new().max_segments(usize::MAX);
                Ok(Self(Mutex::new((options.open(path).await?, Metadata::default()))))
            }
        }

        impl MetadataStore for $name {
            #[allow(unused_mut, reason = "the original's `append` takes `&mut self`")]
            async fn change(&self, change: Change) -> BenchResult<()> {
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

locked_store!(LockedMinistore, ministore);
locked_store!(LockedMinistoreUring, ministore_uring);

impl MetadataStore for Broker {
    async fn change(&self, change: Change) -> BenchResult<()> {
        Ok(Self::change(self, change).await?)
    }

    async fn metadata(&self) -> Metadata {
        Self::metadata(self)
    }
}

fn main() -> BenchResult<()> {
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
            original.push(
                runtime.block_on(async { run(LockedMinistore::open(&path("a")).await?, consumers).await })?,
            );
            swapped.push(
                runtime.block_on(async {
                    run(LockedMinistoreUring::open(&path("b")).await?, consumers).await
                })?,
            );
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

/// Acknowledges offsets from each consumer in a closed loop. Returns the acknowledgements per second.
async fn run<Q: MetadataStore>(queue: Q, consumers: usize) -> BenchResult<f64> {
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
            while started.elapsed() < ROUND_TIME {
                offset += 1;
                let (group, topic) = (group(consumer), TOPIC.into());
                queue.change(Change::Acknowledge { group, topic, offset }).await?;
            }
            BenchResult::Ok((consumer, offset))
        });
    }
    let mut acknowledged = Vec::new();
    while let Some(result) = tasks.join_next().await {
        acknowledged.push(result??);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let metadata = queue.metadata().await;
    let is_stored = |(consumer, offset): &(usize, u64)| metadata.offset(&group(*consumer), TOPIC) == *offset;
    if !acknowledged.iter().all(is_stored) {
        return Err("an acknowledgement is missing".into());
    }
    Ok(acknowledged.iter().map(|(_, offset)| *offset as f64).sum::<f64>() / elapsed)
}

fn group(consumer: usize) -> String {
    format!("group {consumer}")
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
