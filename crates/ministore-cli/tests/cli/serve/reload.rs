//! SIGHUP: the token file is read again, and the quarantine file is opened again.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::service::ServeProcess;
use crate::support::{TestDir, kill};

const OLD: &str = "old-0123456789abcdef";
const NEW: &str = "new-0123456789abcdef";

fn write_tokens(dir: &TestDir, tokens: &str, mode: u32) -> PathBuf {
    let file = dir.write("tokens", tokens);
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    file
}

fn is_accepted(service: &ServeProcess, token: &str) -> bool {
    let mut client = service.connect_tcp();
    client.send(format!("{}\n", json!({ "ministore": { "token": token } })));
    client.receive()["ok"].is_object()
}

fn reload(service: &mut ServeProcess, segment: u32) {
    kill(service.child(), "HUP");
    let rotated = service.dir.path(&format!("journal.jsonl.{segment:03}"));
    service.wait_for("no new segment", || rotated.exists());
}

#[test]
fn sighup_reads_the_token_file_again() {
    let dir = TestDir::new();
    let file = write_tokens(&dir, OLD, 0o600);
    let mut service = ServeProcess::start_in(dir, &["--token-file", file.to_str().unwrap()]);
    let mut early =
        service.connect_tcp().handshake(&json!({ "ministore": { "token": OLD, "ack": "record" } }));
    assert!(is_accepted(&service, OLD) && !is_accepted(&service, NEW));
    write_tokens(&service.dir, NEW, 0o600);
    assert!(!is_accepted(&service, NEW), "it is read again at a signal only");
    early.send("1\n");
    assert_eq!(early.receive()["ok"], 1);
    reload(&mut service, 1);
    service.wait_for("the new token is not accepted", || is_accepted(&service, NEW));
    assert!(!is_accepted(&service, OLD));
    early.send("2\n");
    assert_eq!(early.receive()["ok"], 2, "connected clients stay");
}

#[test]
fn unusable_token_file_keeps_the_old_tokens() {
    let dir = TestDir::new();
    let file = write_tokens(&dir, OLD, 0o600);
    let mut service = ServeProcess::start_in(dir, &["--token-file", file.to_str().unwrap()]);
    for (tokens, mode, reason) in
        [("", 0o600, "contains no token"), (NEW, 0o644, "accessible to other users")]
    {
        write_tokens(&service.dir, tokens, mode);
        kill(service.child(), "HUP");
        let warning = service.wait_for_log(reason);
        assert!(warning.contains("cannot read the tokens again; the old ones stay valid"), "{warning}");
        assert!(is_accepted(&service, OLD) && !is_accepted(&service, NEW) && !is_accepted(&service, ""));
    }
    fs::remove_file(&file).unwrap();
    kill(service.child(), "HUP");
    service.wait_for_log("cannot read:");
    assert!(is_accepted(&service, OLD));
}

fn quarantine(service: &ServeProcess, line: &str) {
    let mut client = service.connect_unix().with_acks("record");
    client.send(line);
    assert_eq!(client.receive()["action"], "quarantine");
}

fn contains(file: &Path, line: &str) -> bool {
    fs::read_to_string(file).unwrap_or_default().contains(line)
}

#[test]
fn sighup_opens_the_quarantine_file_again() {
    let dir = TestDir::new();
    let (file, rotated) = (dir.path("bad"), dir.path("bad.1"));
    let mut service = ServeProcess::start_in(dir, &["--on-error", &format!("quarantine={}", file.display())]);
    quarantine(&service, "first\n");
    // As logrotate does it: the service writes to the renamed file until the signal.
    fs::rename(&file, &rotated).unwrap();
    quarantine(&service, "second\n");
    let mut client = service.connect_unix().with_acks("record");
    client.send("1\n");
    client.receive();
    reload(&mut service, 1);
    service.wait_for("the file is not created again", || file.exists());
    quarantine(&service, "third\n");
    assert!(contains(&rotated, "first") && contains(&rotated, "second") && !contains(&rotated, "third"));
    assert!(contains(&file, "third") && !contains(&file, "second"));
}

#[test]
fn unusable_quarantine_keeps_the_open_file() {
    let dir = TestDir::new();
    fs::create_dir(dir.path("folder")).unwrap();
    let (file, moved) = (dir.path("folder/bad"), dir.path("moved"));
    let mut service = ServeProcess::start_in(dir, &["--on-error", &format!("quarantine={}", file.display())]);
    fs::rename(service.dir.path("folder"), &moved).unwrap();
    kill(service.child(), "HUP");
    service.wait_for_log("cannot open the quarantine file again");
    quarantine(&service, "kept\n");
    assert!(contains(&moved.join("bad"), "kept"));
    fs::rename(&moved, service.dir.path("folder")).unwrap();
}
