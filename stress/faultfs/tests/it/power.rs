//! A power cut at any time leaves all records that `durable_seq` covers and all acknowledged records.

use std::{fs::File, os::unix::fs::FileExt};

use ministore_faultfs::{MountOptions, NameDurability, Op, Rule, mounts::temp_dir, recording::KeptWrites};
use rustix::io::Errno;

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

#[test]
fn forgotten_bytes_are_written_with_their_sector() {
    if !fuse_works() {
        return;
    }
    let fixture = Fixture::mounted(StoreConfig::few()[0], MountOptions::default());
    let file = File::create(fixture.fs.path().join("f")).unwrap();
    let write = |text: &str, offset| {
        file.write_all_at(text.as_bytes(), offset).unwrap();
        file.sync_data()
    };
    write("kept", 0).unwrap();
    fixture.fs.set(Rule::on(Op::Sync).fails_and_forgets(Errno::IO)).unwrap();
    file.write_all_at(b"far", 600).unwrap();
    assert!(write("forgotten", 4).is_err());
    write("!", 13).unwrap();
    let copy = temp_dir().unwrap();
    fixture.fs.power_cut(copy.path(), KeptWrites::Everything).unwrap();
    let content = std::fs::read(copy.path().join("f")).unwrap();
    assert!(content.starts_with(b"keptforgotten!") && !content.ends_with(b"far"), "{content:?}");
}

#[test]
fn name_survives_once_its_directory_is_synced() {
    if !fuse_works() {
        return;
    }
    let mount = |names| {
        let options = MountOptions { names, ..MountOptions::default() };
        Fixture::mounted(StoreConfig::few()[0], options).fs
    };
    for (names, expected) in [
        (NameDurability::AtOnce, [true, true, true]),
        (NameDurability::WithFile, [false, true, true]),
        (NameDurability::WithDirectory, [false, false, true]),
    ] {
        let fs = mount(names);
        let survives = || {
            let copy = temp_dir().unwrap();
            fs.power_cut(copy.path(), KeptWrites::Nothing).unwrap();
            copy.path().join("f").exists()
        };
        let file = File::create(fs.path().join("f")).unwrap();
        let created = survives();
        file.sync_all().unwrap();
        let synced = survives();
        File::open(fs.path()).unwrap().sync_all().unwrap();
        assert_eq!([created, synced, survives()], expected, "{names:?}");
    }
}
