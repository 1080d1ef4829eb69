//! Reading a journal. Readers never write and never lock; they may run while the journal is being written, in this
//! process or another, and see every record that was acknowledged before they began.

mod cursor;
mod feed;
mod follow;
mod line;
mod lookup;
mod parallel;
mod pump;
mod records;
mod replay;
mod segment;
mod snapshot;
mod source;
mod stream;

pub use cursor::Record;
pub use follow::{FollowStream, Follower, RawFollower, StopHandle};
pub use line::{RawRecord, RawRecords};
pub(crate) use lookup::Lookups;
pub use lookup::{Reader, RecordRange};
pub use records::Records;
#[cfg(any(test, feature = "testkit"))]
pub(crate) use replay::replay_on;
#[cfg(any(test, feature = "_fuzz", shuttle))]
pub(crate) use replay::replay_parallel_on;
pub use stream::{JournalStream, RecordStream};

pub(crate) use snapshot::Snapshot;
