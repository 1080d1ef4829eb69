//! Readiness, the watchdog, metrics, and the unit file.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use super::service::Service;
use crate::support::{PATIENCE, Place, kill, skipped};

/// A service manager's end.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn start(usec: u64) -> (Self, Service) {
        let place = Place::new();
        let path = place.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let service = Service::spawn(place, &["--metrics", "127.0.0.1:0"], |command| {
            command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", usec.to_string());
        });
        (Self { socket }, service)
    }

    fn hear(&self) -> String {
        let mut text = [0; 4096];
        let count = self.socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..count]).trim_end().to_owned()
    }
}

#[test]
fn the_manager_hears_that_it_is_ready_lives_and_stops() {
    let (manager, mut service) = Manager::start(400_000);
    assert_eq!(manager.hear(), "READY=1");
    let mut client = service.tcp().asks("record");
    let begun = Instant::now();
    for beat in 1..=5 {
        assert_eq!(manager.hear(), "WATCHDOG=1");
        client.send("1\n");
        assert_eq!(client.hear()["ok"], beat);
    }
    // Twice as often as it is asked for.
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?} for five", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?} for five", begun.elapsed());
    kill(service.id(), "TERM");
    let begun = Instant::now();
    while manager.hear() != "STOPPING=1" {
        assert!(begun.elapsed() < PATIENCE);
    }
    service.wait().code(143);
}

#[test]
fn it_is_ready_only_when_clients_can_connect() {
    let (manager, service) = Manager::start(0);
    assert_eq!(manager.hear(), "READY=1");
    let mut client = service.unix().asks("record");
    client.send("1\n");
    assert_eq!(client.hear()["ok"], 1);
}

#[test]
fn a_service_that_is_stopped_in_its_tracks_does_not_feed_the_watchdog() {
    let (manager, service) = Manager::start(200_000);
    assert_eq!(manager.hear(), "READY=1");
    assert_eq!(manager.hear(), "WATCHDOG=1");
    kill(service.id(), "STOP");
    manager.socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    // What was under way when it was stopped.
    let begun = Instant::now();
    let mut text = [0; 64];
    while manager.socket.recv(&mut text).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it goes on");
    }
    kill(service.id(), "CONT");
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(manager.hear(), "WATCHDOG=1");
}

#[test]
fn metrics_and_health_are_served_and_nothing_else() {
    let (_manager, mut service) = Manager::start(0);
    let mut client = service.tcp().asks("record");
    client.send("1\n2\n");
    assert_eq!((client.hear()["ok"].as_u64(), client.hear()["ok"].as_u64()), (Some(1), Some(2)));
    assert_eq!(service.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(service.get("/").0, 404);
    let (status, text) = service.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "# TYPE ministore_serve_connections gauge",
        "# TYPE ministore_serve_lines_total counter",
        "ministore_serve_connections 1",
        "ministore_serve_connections_total 1",
        "ministore_serve_lines_total 2",
        "ministore_serve_acknowledged_records_total 2",
        "ministore_serve_disconnects_total{reason=\"max_clients\"} 0",
        "ministore_serve_disconnects_total{reason=\"bad_line\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    let journal = service.place.journal();
    let of_journal = format!("ministore_records_total{{journal=\"{}\"}} 2", journal.display());
    assert!(text.contains(&of_journal), "no {of_journal} in {text}");
}

#[test]
fn silent_metrics_clients_block_no_other() {
    let (_manager, mut service) = Manager::start(0);
    service.get("/healthz");
    let silent: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(&service.metrics).unwrap()).collect();
    // They are disconnected after a while, and others are served then.
    assert_eq!(service.get("/healthz").0, 200);
    let mut client = service.tcp().asks("record");
    client.send("1\n");
    assert_eq!(client.hear()["ok"], 1);
    drop(silent);
}

#[test]
fn the_unit_file_is_understood_by_systemd() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/ministore-serve@.service");
    let text = fs::read_to_string(unit).unwrap();
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skipped("SKIPPED: verifying the unit file: systemd-analyze is not installed");
    }
    // It asks for a program that is there.
    let place = Place::new();
    let program = "/usr/bin/ministore";
    assert!(text.contains(program), "{text}");
    let unit = place.write("ministore-serve@verified.service", text.replace(program, "/bin/true"));
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // Units of the machine itself may have faults of their own.
    let of_ours: Vec<_> = said.lines().filter(|line| line.contains("ministore-serve")).collect();
    assert!(of_ours.is_empty(), "{said}");
    // The command line in it is one that the program takes.
    let begins = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<String> = begins
        .split_whitespace()
        .skip(1)
        .map(|word| word.replace("%S", "/proc/nowhere").replace("%t", "/proc/nowhere").replace("%i", "name"))
        .collect();
    // Refused for the place, where not even root makes files, and not for the words.
    let ran = crate::support::Run::run(&mut crate::support::ministore(&words));
    assert!(ran.code != Some(64) && ran.err.contains("/proc/nowhere"), "{ran:?}");
}
