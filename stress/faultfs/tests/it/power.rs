//! At any instant a power cut finds everything that `durable_seq` covers, and whatever was acknowledged.

use crate::{
    callers::{Load, Log, assert_durable, assert_recovers},
    rig::{Lane, Rig, bounded, fuse_works, say},
};

#[test]
fn durable_seq_covers_only_power_safe_records() {
    if !fuse_works() {
        return;
    }
    let mut cuts = 0;
    for lane in Lane::crossed() {
        let rig = Rig::new(lane);
        let store = rig.open(lane.options().max_segment_bytes(3000)).unwrap();
        let appending = {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut log = Log::default();
                log.run(&store, Load { callers: 4, records: 150, padding: 50 });
                log
            })
        };
        let nobody = Log::default();
        while !appending.is_finished() {
            assert_durable(&rig, &store, &nobody, &lane.to_string());
            cuts += 1;
        }
        let mut log = bounded(move || appending.join().unwrap());
        assert_eq!(log.acknowledged(), 600, "{lane}");
        assert_recovers(&rig, store, &mut log, &lane.to_string());
    }
    assert!(cuts > 0, "no power cut while there were appends");
    say(&format!("faultfs: {cuts} power cuts under load"));
}
