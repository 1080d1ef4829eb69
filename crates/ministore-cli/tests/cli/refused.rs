//! What the operating system does not allow: exit codes 69 and 77.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, thread};

use rustix::thread::{CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::support::{Place, Ran, Run};

/// The same number on every architecture.
const SYS_IO_URING_SETUP: i64 = 425;

const EPERM: u32 = 1;

/// Runs it on a thread that refuses io_uring to itself and to every process it starts, as Docker does.
pub(crate) fn without_io_uring(run: impl FnOnce() -> Ran + Send) -> Ran {
    let restricted = || {
        let filter = SeccompFilter::new(
            BTreeMap::from([(SYS_IO_URING_SETUP, vec![])]),
            SeccompAction::Allow,
            SeccompAction::Errno(EPERM),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        run()
    };
    thread::scope(|scope| scope.spawn(restricted).join().unwrap())
}

/// Runs it on a thread whose processes have to respect permissions, root's too.
pub(crate) fn without_privileges(run: impl FnOnce() -> Ran + Send) -> Ran {
    let restricted = || {
        for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
            // Who may not give it up has not got it.
            if let Err(error) = remove_capability_from_bounding_set(capability) {
                assert_eq!(error, rustix::io::Errno::PERM);
            } else {
                assert_eq!(capability_is_in_bounding_set(capability), Ok(false));
            }
        }
        run()
    };
    thread::scope(|scope| scope.spawn(restricted).join().unwrap())
}

#[test]
fn io_uring_asked_for_and_refused_is_69_with_the_likely_cause() {
    let place = Place::new();
    let ran = without_io_uring(|| place.ingest().args(["--backend", "io_uring"]).run_with(b"1\n")).code(69);
    assert!(ran.error().contains("seccomp"), "{ran:?}");
    assert_eq!(place.snapshot().len(), 0, "nothing was begun");
}

#[test]
fn where_io_uring_is_refused_the_program_runs_without_it_and_says_so() {
    let place = Place::new();
    let ran = without_io_uring(|| place.ingest().arg("--json").run_with(b"1\n2\n")).ok();
    assert_eq!(ran.json()["backend"], "blocking");
    assert!(ran.err.contains("io_uring unavailable"), "{ran:?}");
    assert_eq!(place.replay(), "1\n2\n");
}

#[test]
fn what_permissions_forbid_is_77_and_names_the_file() {
    let place = Place::new();
    place.ingest().run_with(b"1\n").ok();
    let permit = |mode| fs::set_permissions(place.journal(), fs::Permissions::from_mode(mode)).unwrap();
    let path = place.journal().display().to_string();
    permit(0o000);
    for subcommand in ["replay", "verify", "inspect", "ingest"] {
        let ran = without_privileges(|| place.command(subcommand).run()).code(77);
        assert!(ran.error().contains(&path), "{subcommand}: {ran:?}");
    }
    permit(0o600);
    assert_eq!(place.replay(), "1\n", "it was left as it was");
}

#[test]
fn an_input_that_permissions_forbid_is_77_and_nothing_is_begun() {
    let place = Place::new();
    let input = place.write("in", "1\n");
    fs::set_permissions(&input, fs::Permissions::from_mode(0o000)).unwrap();
    let ran = without_privileges(|| place.ingest().arg(&input).run()).code(77);
    assert!(ran.error().contains(&input.display().to_string()), "{ran:?}");
}
