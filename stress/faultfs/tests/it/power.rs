//! A power cut at any time leaves all records that `durable_seq` covers and all acknowledged records.

use crate::{
    fixture::{Fixture, StoreConfig, fuse_works, report, run_with_timeout},
    workload::{AckLog, Workload, assert_durable, assert_recovers},
};

#[test]
fn durable_seq_covers_only_power_safe_records() {
    if !fuse_works() {
        return;
    }
    let mut cuts = 0;
    for config in StoreConfig::all_combinations() {
        let fixture = Fixture::new(config);
        let store = fixture.open(config.options().max_segment_bytes(3000)).unwrap();
        let appender = {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut acks = AckLog::default();
                acks.run(&store, Workload { callers: 4, records: 150, padding: 50 });
                acks
            })
        };
        let no_acks = AckLog::default();
        while !appender.is_finished() {
            assert_durable(&fixture, &store, &no_acks, &config.to_string());
            cuts += 1;
        }
        let mut acks = run_with_timeout(move || appender.join().unwrap());
        assert_eq!(acks.acknowledged(), 600, "{config}");
        assert_recovers(&fixture, store, &mut acks, &config.to_string());
    }
    assert!(cuts > 0, "no power cut while there were appends");
    report(&format!("faultfs: {cuts} power cuts under load"));
}
