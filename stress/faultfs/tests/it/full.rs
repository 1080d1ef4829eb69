//! A disk or a quota without room: what does not fit is refused, nothing else is, and all is well once there is room.

use rustix::io::Errno;

use crate::{
    callers::{Load, Log, assert_recovers, records},
    rig::{Lane, Rig, fuse_works},
};

const LOAD: Load = Load { callers: 3, records: 30, padding: 1000 };

#[test]
fn what_does_not_fit_is_refused_and_was_not_written() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::all() {
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            let context = format!("{lane}, {errno:?}");
            let rig = Rig::new(lane);
            // Segments of every size against the room: rotation is refused, too.
            let store = rig.open(lane.options().max_segment_bytes(40_000)).unwrap();
            let mut log = Log::default();
            for room in [0, 3000, 70_000, 1] {
                let full = log.full();
                rig.fs.set_space_limit(room, errno).unwrap();
                for _ in 0..4 {
                    log.run(&store, LOAD);
                }
                assert!(log.full() > full, "{context}: {room} bytes are enough");
                assert_eq!(log.unknown(), 0, "{context}: the store stopped");
                assert_eq!(store.durable_seq() as usize, log.acknowledged(), "{context}");
                log.assert_holds(&records(&rig.path()), &context);
                rig.fs.clear().unwrap();
                let acknowledged = log.acknowledged();
                log.run(&store, LOAD);
                assert_eq!(log.acknowledged(), acknowledged + 90, "{context}: there is room again");
            }
            assert_recovers(&rig, store, &mut log, &context);
        }
    }
}
