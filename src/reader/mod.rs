//! Reading a journal. Readers never write and never lock; they may run while the journal is being written, in this
//! process or another, and see every record that was acknowledged before they began.

mod block_cursor;
mod follow;
mod journal_reader;
mod lookup;
mod parallel;
mod raw_records;
mod read_ahead;
mod read_plan;
mod records;
mod replay;
mod segment;
mod segment_set;
mod stream;

pub use block_cursor::Record;
pub use follow::{FollowStream, Follower, RawFollower, StopHandle};
pub(crate) use lookup::PointReader;
pub use lookup::{Reader, RecordRange};
pub use raw_records::{RawRecord, RawRecords};
pub use records::Records;
#[cfg(any(test, feature = "testkit"))]
pub(crate) use replay::replay_on;
#[cfg(any(test, feature = "_fuzz", shuttle))]
pub(crate) use replay::replay_parallel_on;
pub use stream::{JournalStream, RecordStream};

pub(crate) use segment_set::SegmentSet;
