//! Reading a journal. Readers never write and never lock. They may run while this process or another one writes the
//! journal, and see every record that was acknowledged before they started.

mod block_cursor;
mod follow;
mod journal_reader;
mod lookup;
mod parallel;
mod raw_records;
mod read_ahead;
mod read_plan;
mod record;
mod records;
mod replay;
mod segment;
mod stream;

pub(crate) use follow::FollowTarget;
pub use follow::{FollowStream, Follower, RawFollower, StopHandle};
pub(crate) use lookup::{FoundRecord, ReadPool, seq_range};
pub use lookup::{Reader, RecordRange};
pub use raw_records::RawRecords;
pub(crate) use read_plan::ReadPlan;
pub use record::{RawRecord, Record};
pub use records::Records;
pub(crate) use replay::replay_on;
#[cfg(any(test, feature = "unstable-internals", shuttle))]
pub(crate) use replay::replay_parallel_on;
pub use stream::{JournalStream, RecordStream};
