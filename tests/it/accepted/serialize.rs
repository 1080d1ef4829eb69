//! `Serialize` implementations that write no value, fail, ignore errors or nest deeply.

use super::*;

/// The name of the struct that `RawValue` serializes as.
const RAW: &str = "$serde_json::private::RawValue";

/// A raw value of any text, which need not be JSON.
struct Raw(Vec<&'static str>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut raw = serializer.serialize_struct(RAW, self.0.len())?;
        for text in &self.0 {
            raw.serialize_field(RAW, text)?;
        }
        raw.end()
    }
}

#[test]
fn serialize_without_a_value_is_rejected() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for texts in [vec![], vec![""], vec!["   "], vec!["\n"], vec!["", " "]] {
            let nothing = Raw(texts);
            let rejected = store.blocking().append(&nothing);
            let Err(MiniStoreError::InvalidJson { reason, .. }) = &rejected else { panic!("{rejected:?}") };
            assert_eq!(reason, "empty: there is no JSON value");
            position_of(store.blocking().append_batch([&Raw(vec!["1"]), &nothing]));
            position_of(Append::record(&nothing));
            position_of(store.blocking().append(&("in a list", &nothing)));
            position_of(store.blocking().append(&std::collections::BTreeMap::from([("key", &nothing)])));
            position_of(store.blocking().append(&[Raw(vec!["1"]), Raw(vec![])]));
        }
        for texts in [vec!["1", " 2"], vec!["{"], vec!["nope"], vec!["1\n2"]] {
            position_of(store.blocking().append(&Raw(texts)));
        }
        // Fragments that together are one value.
        store.blocking().append(&Raw(vec!["[1", "\n", "]  "])).unwrap();
        assert_eq!(replay::<Value>(journal.path()).unwrap(), [serde_json::json!([1])]);
        assert!(journal.bytes().windows(4).any(|line| line == b"[1 ]"));
    });
}

/// Fails to serialize, after some output or before any.
struct FailsToSerialize(bool);

impl Serialize for FailsToSerialize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 {
            let mut list = serializer.serialize_seq(None)?;
            list.serialize_element(&1)?;
        }
        Err(serde::ser::Error::custom("no"))
    }
}

/// Ignores errors of its fields, or omits a call.
struct CarelessRecord<'a>(&'a Cell<u32>);

impl Serialize for CarelessRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let case = self.0.get();
        if case < 2 {
            let mut list = serializer.serialize_seq(None)?;
            list.serialize_element(&FailsToSerialize(case == 0)).ok();
            list.serialize_element(&2)?;
            return list.end();
        }
        let mut map = serializer.serialize_map(None)?;
        match case {
            2 | 3 => drop(map.serialize_entry("a", &FailsToSerialize(case == 2))),
            4 => drop(map.serialize_key(&FailsToSerialize(false))),
            5 => drop(map.serialize_key(&[1])),
            6 => map.serialize_key("a")?,
            7 => map.serialize_value(&1)?,
            _ => {
                map.serialize_key("a")?;
                map.serialize_key("b")?;
                map.serialize_value(&1)?;
            }
        }
        if [0, 2, 4, 5, 6, 8].contains(&case) {
            map.serialize_entry("c", &3)?;
        }
        map.end()
    }
}

#[test]
fn careless_serialize_never_writes_invalid_json() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let case = Cell::new(0);
        for number in 0..9 {
            case.set(number);
            let text = serde_json::to_string(&CarelessRecord(&case)).unwrap();
            assert!(serde_json::from_str::<Value>(&text).is_err(), "case {number} is harmless: {text}");
            position_of(store.blocking().append(&CarelessRecord(&case)));
            position_of(store.blocking().append(&[CarelessRecord(&case), CarelessRecord(&case)]));
            position_of(store.blocking().append_batch([CarelessRecord(&case)]));
        }
        assert_eq!(store.durable_seq(), 0);
    });
}

/// Nested lists, maps or variants.
enum Nested {
    List(u32),
    Map(u32),
    Variant(u32),
}

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::List(0) | Self::Map(0) | Self::Variant(0) => serializer.serialize_u8(1),
            Self::List(levels) => serializer.collect_seq([Self::List(levels - 1)]),
            Self::Map(levels) => serializer.collect_map([(levels, Self::Map(levels - 1))]),
            Self::Variant(levels) => {
                serializer.serialize_newtype_variant("Deep", 0, "V", &Self::Variant(levels - 1))
            }
        }
    }
}

#[test]
fn typed_nesting_is_limited_to_127_levels() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for deep in [Nested::List, Nested::Map, Nested::Variant] {
            store.blocking().append(&deep(127)).unwrap();
            position_of(store.blocking().append(&deep(128)));
            position_of(store.blocking().append_batch([deep(1), deep(500)]));
            store.blocking().append(&[deep(126), deep(126)]).unwrap();
            position_of(store.blocking().append(&[deep(1), deep(127)]));
        }
        store.blocking().append(&vec![vec![[0_u8; 0]; 300]; 2]).unwrap();
        assert_eq!(legacy_replay::<Value>(journal.path()).unwrap().len(), 7);
        assert_eq!(replay::<Value>(journal.path()).unwrap().len(), 7);
    });
}

#[test]
fn typed_extremes_are_accepted_and_read_by_all() {
    let journal = TempJournal::new();
    let store = ministore_uring::JournalOptions::new().open_blocking(journal.path()).unwrap();
    let floats = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, -0.0, f64::NAN, f64::INFINITY, 5e-324];
    store.blocking().append(&floats).unwrap();
    store.blocking().append(&(f32::MAX, u128::MAX, i128::MIN, u64::MAX, i64::MIN)).unwrap();
    store
        .blocking()
        .append(&std::collections::BTreeMap::from([("$", 1), ("$ref", 2), ("a\"\n\u{0}", 3)]))
        .unwrap();
    store.blocking().append(&std::collections::BTreeMap::from([(u128::MAX, ())])).unwrap();
    let reserved = std::collections::BTreeMap::from([(RAW, 1)]);
    position_of(store.blocking().append(&reserved));
    let mut config = Config::with_cases(1000);
    config.failure_persistence = None;
    let numbers = |store: &MiniStore| {
        TestRunner::new(config).run(&any::<(f64, f32, i128)>(), |number| {
            drop(store.blocking().submit(&number).unwrap());
            Ok(())
        })
    };
    numbers(&store).unwrap();
    store.blocking().close().unwrap();
    let bytes = journal.bytes();
    let lines = String::from_utf8(bytes).unwrap();
    let lines: Vec<_> = lines.lines().skip(1).map(|line| line.trim_end().to_owned()).collect();
    assert_eq!(lines.len(), 1004);
    check_all_readers(&journal, &lines);
}
