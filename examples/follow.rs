//! Two processes: one appends, the other follows the journal and receives each record as soon as it is durable.
//!
//! `cargo run --example follow` runs both: it follows a journal in a temporary directory, starts itself again as the
//! writer process, and kills the writer halfway. A second writer continues after the last durable record, and the
//! follower receives every record once. To run them in two terminals:
//!
//! ```text
//! cargo run --example follow -- write orders.jsonl
//! cargo run --example follow -- read orders.jsonl
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::{
    env,
    error::Error,
    path::Path,
    process::{Child, Command},
};

use futures_lite::future::block_on;
use ministore_uring::{FollowStream, JournalOptions, Reader};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Order {
    Placed {
        number: u64,
        pieces: u32,
    },
    /// The last record of the writer.
    EndOfOrders,
}

/// The number of the last order.
const LAST_NUMBER: u64 = 3000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", journal] => write(Path::new(journal)),
        ["read", journal] => block_on(read(Path::new(journal))),
        [] => block_on(run_both()),
        _ => Err("usage: follow [write JOURNAL | read JOURNAL]".into()),
    }
}

/// Runs the writer process, which continues after the last record of the journal.
fn write(journal: &Path) -> Result<(), Box<dyn Error>> {
    let store = JournalOptions::new().max_segment_bytes(64 << 10).open_blocking(journal)?;
    let last = Reader::open(journal)?.records::<Order>().last().transpose()?;
    let placed = match last.map(|record| record.value) {
        Some(Order::Placed { number, .. }) => number,
        Some(Order::EndOfOrders) => return Ok(()),
        None => 0,
    };
    for number in placed + 1..=LAST_NUMBER {
        store.blocking().append(&Order::Placed { number, pieces: (number % 7) as u32 + 1 })?;
    }
    store.blocking().append(&Order::EndOfOrders)?;
    store.blocking().close()?;
    Ok(())
}

/// Runs the follower process, which does not end by itself.
async fn read(journal: &Path) -> Result<(), Box<dyn Error>> {
    let mut orders: FollowStream<Order> = Reader::open(journal)?.follow_stream(0);
    while let Some(record) = orders.next().await {
        let record = record?;
        println!("{}: {:?}", record.seq, record.value);
    }
    Ok(())
}

async fn run_both() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let journal = dir.path().join("orders.jsonl");
    // The journal need not exist yet.
    let mut orders: FollowStream<Order> = Reader::open(&journal)?.follow_stream(1);
    let mut writer = WriterProcess::start(&journal)?;
    let (mut received, mut total_pieces) = (0, 0);
    while let Some(record) = orders.next().await {
        let record = record?;
        received += 1;
        assert_eq!(record.seq, received, "each record once, in order");
        match record.value {
            // No order repeats, because the second writer continues after the last durable one.
            Order::Placed { number, pieces } => {
                assert_eq!(number, received, "the journal keeps all records received before the kill");
                total_pieces += u64::from(pieces);
            }
            Order::EndOfOrders => break,
        }
        if received == LAST_NUMBER / 2 {
            writer.kill()?;
            writer = WriterProcess::start(&journal)?;
        }
    }
    assert_eq!(received, LAST_NUMBER + 1);
    assert!(writer.0.wait()?.success());
    println!(
        "{LAST_NUMBER} orders of {total_pieces} pieces received from another process, which was killed once"
    );
    Ok(())
}

/// The writer process. It is killed on drop.
struct WriterProcess(Child);

impl WriterProcess {
    fn start(journal: &Path) -> Result<Self, Box<dyn Error>> {
        let child = Command::new(env::current_exe()?).arg("write").arg(journal).spawn()?;
        Ok(Self(child))
    }

    fn kill(&mut self) -> Result<(), Box<dyn Error>> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
