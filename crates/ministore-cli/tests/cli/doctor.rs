//! `doctor`: what it finds and measures, what it says where something is wrong, and that it leaves nothing behind.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    refused::{without_io_uring, without_privileges},
    support::{PATIENCE, Place, Ran, Run, kill, ministore, skipped},
};

/// Long enough for every way to write once.
const SHORT: [&str; 3] = ["doctor", "--duration", "0.1s"];

fn doctor(dir: impl AsRef<OsStr>) -> Command {
    let mut command = ministore(SHORT);
    command.arg(dir);
    command
}

/// Fine, or something to heed: never an error. Whatever disk the tests run on.
fn examined(ran: Ran) -> Ran {
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
    assert_eq!(ran.errors(), Vec::<&str>::new(), "{ran:?}");
    ran
}

fn level<'a>(report: &'a Value, check: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|one| one["check"] == check).unwrap_or(&Value::Null)["level"]
        .as_str()
        .unwrap_or("absent")
}

#[test]
fn doctor_reports_all_and_leaves_directory_unchanged() {
    let place = Place::new();
    let ran = examined(doctor(place.dir.path()).run());
    for name in [
        "kernel",
        "file system",
        "device",
        "free space",
        "io_uring",
        "synchronous writes",
        "sync mode",
        "direct writes",
        "directories",
        "locks",
        "sync",
        "append, fdatasync",
        "append, fsync",
        "allocated, fdatasync",
        "write in place, fdatasync",
        "O_DSYNC in place",
        "O_DIRECT|O_DSYNC in place",
        "a journal, blocking calls",
        "a journal, io_uring",
        "recommendations",
    ] {
        assert!(ran.out.contains(name), "{name}: {}", ran.out);
    }
    assert_eq!(place.snapshot().len(), 0);
}

#[test]
fn the_json_report_has_a_shape_that_scripts_may_rely_on() {
    let place = Place::new();
    let ran = examined(doctor(place.dir.path()).arg("--json").run());
    let report = ran.json();
    let worst = report["verdict"].as_str().unwrap();
    assert_eq!(ran.code, Some(i32::from(["warning", "problem"].contains(&worst))), "{report}");
    assert_eq!(report["directory"], place.dir.path().to_str().unwrap());
    for (object, key) in [("host", "kernel"), ("file_system", "kind"), ("space", "free_bytes")] {
        assert!(!report[object][key].is_null(), "{object}.{key}: {report}");
    }
    let sync_mode = report["sync_mode"].as_str().unwrap();
    assert!(["dsync", "fdatasync"].contains(&sync_mode), "{report}");
    let checks = report["checks"].as_array().unwrap();
    let named = checks.iter().find(|check| check["check"] == "sync mode").unwrap();
    assert!(named["message"].as_str().unwrap().starts_with(sync_mode), "{report}");
    assert!(checks.iter().any(|check| check["level"] == worst) && checks.len() >= 9, "{report}");
    for check in checks {
        assert!(check["check"].is_string() && check["message"].is_string(), "{check}");
        let needed = check["level"] != "ok";
        assert_eq!(check["detail"].is_string(), needed, "whatever is not ok says why: {check}");
    }
    let measured = report["measurements"].as_array().unwrap();
    assert_eq!(measured.len(), 20);
    for one in measured.iter().filter(|one| one["error"].is_null()) {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|point| one["latency_us"][point].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{one}");
        assert!(
            one["writes"].as_u64().unwrap() > 0 && one["writes_per_second"].as_f64().unwrap() > 0.0,
            "{one}"
        );
    }
    for option in report["recommendations"].as_array().unwrap() {
        assert!(option["option"].is_string() && option["reason"].is_string(), "{option}");
    }
}

#[test]
fn without_time_nothing_is_measured() {
    let place = Place::new();
    let args = ["doctor", "--json", "--duration", "0s"];
    let report = examined(ministore(args).current_dir(place.dir.path()).run()).json();
    assert_eq!((&report["measurements"], level(&report, "sync")), (&Value::Array(vec![]), "note"));
    assert_eq!(report["directory"], ".", "the directory it is in, unless told");
    assert_eq!(place.snapshot().len(), 0);
}

#[test]
fn io_uring_refused_is_a_note_that_names_the_filter() {
    let place = Place::new();
    let ran = examined(without_io_uring(|| doctor(place.dir.path()).arg("--json").run()));
    let report = ran.json();
    let checks = report["checks"].as_array().unwrap();
    let found = &checks.iter().find(|check| check["check"] == "io_uring").unwrap();
    assert_eq!(found["level"], "note");
    assert!(found["message"].as_str().unwrap().contains("seccomp filter"), "{found}");
    assert!(found["remedy"].as_str().unwrap().contains("io_uring_setup"), "{found}");
    let ring = report["measurements"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["method"] == "a journal, io_uring")
        .unwrap();
    assert!(ring["error"].as_str().unwrap().contains("io_uring is not available"), "{ring}");
}

#[test]
fn a_place_that_is_none_is_66_and_a_forbidden_one_77() {
    let place = Place::new();
    let file = place.write("file", "");
    for (path, code) in [(place.path("missing"), 66), (file.clone(), 66), (place.path("file/below"), 74)] {
        let ran = doctor(&path).run().code(code);
        assert!(ran.error().contains(path.to_str().unwrap()), "{ran:?}");
    }
    let dir = place.path("forbidden");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).unwrap();
    let ran = without_privileges(|| doctor(&dir).run()).code(77);
    assert!(ran.error().contains("forbidden"), "{ran:?}");
    ministore(["doctor", "--duration", "-1s"]).run().code(64);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn ctrl_c_stops_and_cleans_up() {
    for signal in [("INT", 130), ("TERM", 143)] {
        let place = Place::new();
        let child = ministore(["doctor", "--duration", "600s"]).arg(place.dir.path()).begin();
        let begun = Instant::now();
        while !measures(place.dir.path()) {
            assert!(begun.elapsed() < PATIENCE, "it does not begin to measure");
            thread::sleep(Duration::from_millis(2));
        }
        kill(&child, signal.0);
        let ran = Ran::from(child.wait_with_output().unwrap()).code(signal.1);
        assert_eq!((ran.errors().len(), ran.out.as_str()), (0, ""), "{ran:?}");
        assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 0);
    }
}

/// Whether the directory of a measurement has the journal in it that is measured last.
fn measures(dir: &Path) -> bool {
    let own = fs::read_dir(dir).unwrap().flatten().next();
    own.is_some_and(|own| {
        fs::read_dir(own.path()).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("a journal"))
        })
    })
}

#[test]
fn names_that_would_steer_a_terminal_are_shown_without_their_controls() {
    let place = Place::new();
    for name in [&b"two\nlines"[..], b"\x1b[31mred", b"not \xff UTF-8", b"-x", b"a b'c\"d"] {
        let dir = place.dir.path().join(OsStr::from_bytes(name));
        fs::create_dir(&dir).unwrap();
        let ran = examined(doctor(&dir).run());
        assert!(!ran.out.contains('\x1b'), "{ran:?}");
        let ran = examined(
            ministore(SHORT).args(["--json", "--"]).arg(name_of(&dir)).current_dir(place.dir.path()).run(),
        );
        assert_eq!(ran.out.lines().count(), 1, "{ran:?}");
        assert!(ran.json()["directory"].is_string());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "{}", dir.display());
    }
}

fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap()
}

#[test]
fn a_link_to_a_directory_is_followed() {
    let (place, other) = (Place::new(), Place::new());
    symlink(other.dir.path(), place.path("link")).unwrap();
    examined(doctor(place.path("link")).run());
    assert_eq!(other.snapshot().len(), 0);
}

/// Runs it on a file system of its own, in a mount namespace that goes away with it. `None`: that needs root.
fn mounted(options: &str) -> Option<(Value, Ran)> {
    on_its_own(&format!("mount -t tmpfs -o {options} tmpfs \"$1\""))
}

/// The same, mounted at `$1` by a line of shell.
fn on_its_own(mount: &str) -> Option<(Value, Ran)> {
    let place = Place::new();
    let script = format!("{mount} || exit 99; shift; exec \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(place.dir.path())
        .arg(env!("CARGO_BIN_EXE_ministore"));
    command.args(SHORT).arg("--json").arg(place.dir.path());
    let ran = command.stdin(Stdio::null()).output().ok().map(Ran::from);
    let refused = |ran: &Ran| ran.code == Some(99) || ran.err.starts_with("unshare: ");
    let Some(ran) = ran.filter(|ran| !refused(ran)) else {
        skipped(&format!("SKIPPED: doctor with `{mount}`: needs root and unshare"));
        return None;
    };
    let ran = examined(ran);
    Some((ran.json(), ran))
}

#[test]
fn a_file_system_in_memory_is_a_warning_and_so_are_its_syncs() {
    let Some((report, ran)) = mounted("size=100m") else { return };
    assert_eq!(
        (level(&report, "file system"), level(&report, "sync"), ran.code),
        ("warning", "warning", Some(1))
    );
    assert_eq!(report["file_system"]["kind"], "tmpfs");
}

#[test]
fn an_overlay_without_syncs_is_a_problem() {
    let layers = "lowerdir=$1/below,upperdir=$1/above,workdir=$1/work,volatile";
    let mount = format!(
        "mount -t tmpfs layers \"$1\" && mkdir \"$1/below\" \"$1/above\" \"$1/work\" && mount -t overlay -o \"{layers}\" o \"$1\""
    );
    let Some((report, ran)) = on_its_own(&mount) else { return };
    let levels = (level(&report, "file system"), level(&report, "mount option"));
    assert_eq!((levels, ran.code), (("note", "problem"), Some(1)), "{report}");
}

#[test]
fn low_disk_space_fails_without_measuring() {
    let Some((report, ran)) = mounted("size=16m") else { return };
    assert_eq!((level(&report, "free space"), ran.code), ("problem", Some(1)));
    assert_eq!(report["measurements"], Value::Array(vec![]));
    assert_eq!(level(&report, "locks"), "ok", "what needs little room is tried");
}

#[test]
fn a_read_only_file_system_is_a_problem() {
    let Some((report, ran)) = mounted("ro") else { return };
    assert_eq!((level(&report, "mount option"), level(&report, "directory")), ("problem", "problem"));
    assert_eq!((ran.code, &report["verdict"]), (Some(1), &"problem".into()));
}

#[test]
fn a_full_disk_is_a_problem() {
    // Two inodes: the root, and one that the directory of the measurement takes, so that no file can be made in it.
    let Some((report, ran)) = mounted("size=100m,nr_inodes=2") else { return };
    assert_eq!((level(&report, "writes"), ran.code), ("problem", Some(1)), "{report}");
}
