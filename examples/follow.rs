//! Two processes: one appends, the other follows the journal and sees each record as soon as it is durable.
//!
//! `cargo run --example follow` plays both parts: it follows a journal in a temporary directory, starts itself once more
//! as the process that writes it, and kills that halfway; a second writer goes on where the first one was cut off. The
//! follower is not disturbed. By hand, in two terminals:
//!
//! ```text
//! cargo run --example follow -- write orders.jsonl
//! cargo run --example follow -- read orders.jsonl
//! ```

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

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
    /// The writer has no more.
    NoMore,
}

/// Orders placed by the second writer.
const LAST_NUMBER: u64 = 3000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", journal] => write(Path::new(journal)),
        ["read", journal] => block_on(read(Path::new(journal))),
        [] => block_on(play_both()),
        _ => Err("usage: follow [write JOURNAL | read JOURNAL]".into()),
    }
}

/// The process that writes. It goes on where the journal ends.
fn write(journal: &Path) -> Result<(), Box<dyn Error>> {
    let store = JournalOptions::new().max_segment_bytes(64 << 10).open_blocking(journal)?;
    let last = Reader::open(journal)?.records::<Order>().last().transpose()?;
    let placed = match last.map(|record| record.value) {
        Some(Order::Placed { number, .. }) => number,
        Some(Order::NoMore) => return Ok(()),
        None => 0,
    };
    for number in placed + 1..=LAST_NUMBER {
        store.blocking().append(&Order::Placed { number, pieces: (number % 7) as u32 + 1 })?;
    }
    store.blocking().append(&Order::NoMore)?;
    store.blocking().close()?;
    Ok(())
}

/// The process that follows, for ever.
async fn read(journal: &Path) -> Result<(), Box<dyn Error>> {
    let mut orders: FollowStream<Order> = Reader::open(journal)?.follow_stream(0);
    while let Some(record) = orders.next().await {
        let record = record?;
        println!("{}: {:?}", record.seq, record.value);
    }
    Ok(())
}

async fn play_both() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let journal = dir.path().join("orders.jsonl");
    // It need not be there yet.
    let mut orders: FollowStream<Order> = Reader::open(&journal)?.follow_stream(1);
    let mut writer = Writer::start(&journal)?;
    let (mut seen, mut pieces) = (0, 0);
    while let Some(record) = orders.next().await {
        let record = record?;
        seen += 1;
        assert_eq!(record.seq, seen, "each record once, in order");
        match record.value {
            // Once: the second writer begins behind everything that is durable.
            Order::Placed { number, pieces: some } => {
                assert_eq!(number, seen, "what was seen before the kill is what the journal kept");
                pieces += u64::from(some);
            }
            Order::NoMore => break,
        }
        if seen == LAST_NUMBER / 2 {
            writer.kill()?;
            writer = Writer::start(&journal)?;
        }
    }
    assert_eq!(seen, LAST_NUMBER + 1);
    assert!(writer.0.wait()?.success());
    println!("{LAST_NUMBER} orders of {pieces} pieces came in from another process, which was killed once");
    Ok(())
}

/// Another process. It goes when this goes.
struct Writer(Child);

impl Writer {
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

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
