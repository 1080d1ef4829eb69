//! Authentication and access: tokens, users, remote addresses, socket permissions.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use super::service::ServeProcess;
use crate::support::{CommandExt, TestDir};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn tokens(dir: &TestDir, mode: u32) -> String {
    let file = dir.write("tokens", format!("another-token-another\n{TOKEN}\n"));
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    file.display().to_string()
}

#[test]
fn byte_order_mark_is_accepted() {
    let dir = TestDir::new();
    let file = tokens(&dir, 0o600);
    fs::write(&file, format!("\u{feff}{TOKEN}\n")).unwrap();
    let mut service = ServeProcess::start_in(dir, &["--token-file", &file]);
    let mut client = service.connect_tcp();
    client.send(format!("\u{feff}{}\n1\n", json!({ "ministore": { "ack": "record", "token": TOKEN } })));
    let responses = [client.receive(), client.receive()];
    assert!(responses[0]["ok"].is_object() && responses[1]["ok"] == 1, "{responses:?}");
    service.stop("TERM").ok();
}

#[test]
fn client_without_valid_token_is_rejected() {
    let dir = TestDir::new();
    let file = tokens(&dir, 0o600);
    let mut service = ServeProcess::start_in(dir, &["--token-file", &file, "--metrics", "127.0.0.1:0"]);
    let wrong = format!("{}x", &TOKEN[1..]);
    let first_lines = [
        "1\n".to_owned(),
        "{\"ministore\":{\"ack\":\"record\"}}\n1\n".to_owned(),
        format!("{{\"ministore\":{{\"token\":\"{wrong}\"}}}}\n1\n"),
        format!("\n{{\"ministore\":{{\"token\":\"{TOKEN}\"}}}}\n1\n"),
        format!("{}\n1\n", "x".repeat(100_000)),
        "half a line".to_owned(),
    ];
    for text in &first_lines {
        for responses in [send_all(service.connect_tcp(), text), send_all(service.connect_unix(), text)] {
            let last =
                responses.last().map(|response| (response["action"].clone(), response["error"].to_string()));
            let (action, error) = last.unwrap_or_else(|| panic!("{text}: no response"));
            assert!(action == "disconnect" && error.contains("token"), "{text}: {responses:?}");
        }
    }
    assert_eq!(service.dir.durable(), 0);
    assert_eq!(
        service.metric("ministore_serve_disconnects_total{reason=\"unauthenticated\"}") as usize,
        2 * first_lines.len()
    );

    for token in [TOKEN, "another-token-another"] {
        let mut client =
            service.connect_tcp().handshake(&json!({ "ministore": { "ack": "record", "token": token } }));
        client.send("{\"in\":true}\n");
        assert_eq!(client.receive()["line"], 2);
    }
    let output = service.stop("TERM").ok();
    assert!(
        !output.stderr.contains(TOKEN) && !output.stderr.contains(&wrong),
        "a token is logged: {}",
        output.stderr
    );
}

fn send_all<S: super::service::ClientSocket>(
    mut client: super::service::TestClient<S>,
    text: &str,
) -> Vec<Value> {
    client.send(text);
    client.finish()
}

#[test]
fn silent_client_without_token_times_out() {
    let dir = TestDir::new();
    let file = tokens(&dir, 0o640);
    let service = ServeProcess::start_in(dir, &["--token-file", &file, "--idle-timeout", "1s"]);
    let mut silent = service.connect_tcp();
    assert_eq!(silent.receive()["error"], "authentication timeout");
}

#[test]
fn token_file_readable_by_others_is_rejected() {
    let dir = TestDir::new();
    let file = tokens(&dir, 0o644);
    let output = dir.serve().args(["--listen", "tcp:127.0.0.1:0", "--token-file", &file]).run().code(77);
    assert!(output.error().contains("tokens") && output.error().contains("other users"), "{output:?}");
    dir.write("tokens", "short\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    dir.serve().args(["--listen", "tcp:127.0.0.1:0", "--token-file", &file]).run().code(65);
    assert!(!dir.journal().exists(), "the journal is not opened");
}

#[test]
fn only_allowed_users_and_groups_may_send() {
    let process = fs::metadata("/proc/self").unwrap();
    let (uid, gid) = {
        use std::os::unix::fs::MetadataExt;
        (process.uid().to_string(), process.gid().to_string())
    };
    for (flag, ids, allowed) in [
        ("--allow-uid", uid.as_str(), true),
        ("--allow-uid", "4294967294,12345", false),
        ("--allow-gid", gid.as_str(), true),
        ("--allow-gid", "4294967294", false),
    ] {
        let service = ServeProcess::start(&[flag, ids]);
        let mut client = service.connect_unix();
        client.send("{\"ministore\":{\"ack\":\"record\"}}\n1\n");
        let responses = client.finish();
        if allowed {
            assert_eq!(responses[1], json!({ "ok": 1, "line": 2 }), "{flag} {ids}");
        } else {
            assert_eq!(responses.len(), 1, "{flag} {ids}: {responses:?}");
            assert_eq!(responses[0]["error"], "permission denied for this user");
        }
        // TCP clients have no user and are not checked.
        assert_eq!(service.connect_tcp().with_acks("batch").finish(), Vec::<Value>::new());
    }
}

#[test]
fn remote_listening_requires_allow_remote() {
    let dir = TestDir::new();
    for args in
        [&["--listen", "tcp:0.0.0.0:0"][..], &["--listen", "tcp:127.0.0.1:0", "--metrics", "0.0.0.0:0"]]
    {
        let output = dir.serve().args(args).run();
        assert_eq!(output.code, Some(64), "{output:?}");
        assert!(output.stderr.contains("--allow-remote"), "{output:?}");
    }
    let mut service = ServeProcess::start(&["--listen", "tcp:0.0.0.0:0", "--allow-remote"]);
    service.wait_for_log("need no token");
}

#[test]
fn socket_mode_sets_permissions() {
    for (args, expected) in [(&[][..], 0o600), (&["--socket-mode", "660"][..], 0o660)] {
        let service = ServeProcess::start(args);
        let mode = fs::metadata(service.dir.path("socket")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected);
    }
}
