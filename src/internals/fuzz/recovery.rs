//! Opening any files for writing: refused and unchanged, or recovered.

use std::path::Path;

use super::{
    generator::Generator,
    journal::{FilesByName, FuzzJournal},
};
use crate::{
    Backend, Header, JournalOptions, MiniStoreError, OpenReport, RecoveryPolicy, maintenance::verify,
};

/// Opens the journal that the bytes generate in `dir`, which must be empty.
pub fn recovery(data: &[u8], dir: &Path) {
    let mut generator = Generator::new(data);
    let choices = generator.byte();
    let policy = if choices & 1 == 0 { RecoveryPolicy::Strict } else { RecoveryPolicy::TruncateAtFirstError };
    let checksums = !choices.is_multiple_of(5);
    let header = if checksums && choices & 2 != 0 { Header::Json } else { Header::Comment };
    let options = JournalOptions::new()
        .backend(Backend::Blocking)
        .recovery(policy)
        .checksums(checksums)
        .header(header)
        .preallocate(choices.is_multiple_of(7));
    let journal = FuzzJournal::generated(&mut generator, dir);
    let before = journal.files();
    match options.clone().open_blocking(journal.path()) {
        Err(error) => check_refusal(&journal, &before, &error),
        Ok(store) => {
            let report = store.open_report().clone();
            check_truncated_bytes(&journal, &before, &report);
            let (read, fault) = journal.records();
            let appended = store.blocking().submit(&"appended").unwrap().wait().unwrap().seq;
            assert_eq!(appended, report.next_seq);
            store.blocking().close().unwrap();
            let (longer, fault_after) = journal.records();
            assert_eq!(fault.is_some(), fault_after.is_some(), "{fault:?} {fault_after:?}");
            if fault_after.is_none() {
                assert_eq!(longer[..read.len()], read);
                assert_eq!(longer[read.len()..], [(appended, "\"appended\"".to_owned())]);
            }
            check_reopen(&journal, options, appended);
            check_no_record_is_lost(&journal, &before, policy, &longer);
        }
    }
}

fn check_refusal(journal: &FuzzJournal, before: &FilesByName, error: &MiniStoreError) {
    use MiniStoreError::{Corrupt, MissingInitialState, NotOwned};
    assert_eq!(&journal.files(), before, "refused, but changed: {error}");
    assert!(matches!(error, Corrupt { .. } | MissingInitialState | NotOwned { .. }), "{error:?}");
}

/// Checks that the truncated bytes were saved unchanged to a file of their own.
fn check_truncated_bytes(journal: &FuzzJournal, before: &FilesByName, report: &OpenReport) {
    let Some(tail) = &report.truncated else { return };
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let originals = [name(&tail.segment), "j.next".into()].into_iter().filter_map(|name| before.get(&name));
    let originals: Vec<_> = originals.filter_map(|bytes| bytes.get(tail.offset as usize..)).collect();
    let saved = &journal.files()[&name(tail.saved_to.as_ref().unwrap())];
    assert_eq!(saved.len() as u64, tail.bytes);
    assert!(originals.iter().any(|bytes| bytes.starts_with(saved)), "not the truncated bytes: {tail:?}");
}

/// Checks that a second open changes nothing.
fn check_reopen(journal: &FuzzJournal, options: JournalOptions, last: u64) {
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

/// Checks that recovery kept every record that readers found before it.
fn check_no_record_is_lost(
    journal: &FuzzJournal,
    before: &FilesByName,
    policy: RecoveryPolicy,
    after: &[(u64, String)],
) {
    journal.restore(before);
    let (read, fault) = journal.records();
    if policy == RecoveryPolicy::Strict || fault.is_none() {
        assert!(after.starts_with(&read), "{read:?} {fault:?} {after:?}");
    }
}
