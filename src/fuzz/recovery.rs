//! A directory, opened for writing: refused and unchanged, or whole and ready.

use std::path::Path;

use super::{
    journal::{Files, Journal},
    script::Script,
};
use crate::{Backend, JournalOptions, MiniStoreError, OpenReport, RecoveryPolicy, maintenance::verify};

/// Opens what a script makes in `dir`, which must be empty and is left as it is then.
pub fn recovery(data: &[u8], dir: &Path) {
    let mut script = Script::new(data);
    let how = script.byte();
    let policy = if how & 1 == 0 { RecoveryPolicy::Strict } else { RecoveryPolicy::TruncateAtFirstError };
    let options = JournalOptions::new()
        .backend(Backend::Blocking)
        .recovery(policy)
        .checksums(!how.is_multiple_of(5))
        .preallocate(how.is_multiple_of(7));
    let journal = Journal::made(&mut script, dir);
    let before = journal.files();
    match options.clone().open_blocking(journal.path()) {
        Err(error) => refused(&journal, &before, &error),
        Ok(store) => {
            let report = store.open_report().clone();
            cut_is_kept(&journal, &before, &report);
            let (read, fault) = journal.records();
            let appended = store.blocking().submit(&"appended").unwrap().wait().unwrap().seq;
            assert_eq!(appended, report.next_seq);
            store.blocking().close().unwrap();
            let (longer, still) = journal.records();
            assert_eq!(fault.is_some(), still.is_some(), "{fault:?} {still:?}");
            if still.is_none() {
                assert_eq!(longer[..read.len()], read);
                assert_eq!(longer[read.len()..], [(appended, "\"appended\"".to_owned())]);
            }
            reopened(&journal, options, appended);
            nothing_is_lost(&journal, &before, policy, &longer);
        }
    }
}

fn refused(journal: &Journal, before: &Files, error: &MiniStoreError) {
    use MiniStoreError::{Corrupt, MissingInitialState};
    assert_eq!(&journal.files(), before, "refused, and changed: {error}");
    assert!(matches!(error, Corrupt { .. } | MissingInitialState), "{error:?}");
}

/// What was cut stands in a file of its own, byte for byte.
fn cut_is_kept(journal: &Journal, before: &Files, report: &OpenReport) {
    let Some(cut) = &report.truncated else { return };
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let stood = [name(&cut.segment), "j.next".into()].into_iter().filter_map(|name| before.get(&name));
    let stood: Vec<_> = stood.filter_map(|bytes| bytes.get(cut.offset as usize..)).collect();
    let kept = &journal.files()[&name(cut.saved_to.as_ref().unwrap())];
    assert_eq!(kept.len() as u64, cut.bytes);
    assert!(stood.iter().any(|bytes| bytes.starts_with(kept)), "not what stood there: {cut:?}");
}

/// Recovered once and for all.
fn reopened(journal: &Journal, options: JournalOptions, last: u64) {
    let before = journal.files();
    let store = options.recovery(RecoveryPolicy::Strict).open_blocking(journal.path()).unwrap();
    let expected = OpenReport { next_seq: last + 1, ..OpenReport::default() };
    assert_eq!(store.open_report(), &expected);
    store.blocking().close().unwrap();
    assert_eq!(journal.files(), before, "a second open changes nothing");
    let found = verify(journal.path()).unwrap();
    assert_eq!(found.torn_tail, None);
    let path = journal.path().canonicalize().unwrap();
    let active = found.faults.iter().find(|fault| fault.segment == path && fault.offset > 0);
    assert_eq!(active, None);
}

/// Readers of the directory as it was found no record that is not there any more.
fn nothing_is_lost(journal: &Journal, before: &Files, policy: RecoveryPolicy, after: &[(u64, String)]) {
    journal.restore(before);
    let (read, fault) = journal.records();
    if policy == RecoveryPolicy::Strict || fault.is_none() {
        assert!(after.starts_with(&read), "{read:?} {fault:?} {after:?}");
    }
}
