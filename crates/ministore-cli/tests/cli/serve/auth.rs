//! Who may send: tokens, users, and where a service may be reached at all.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use super::service::Service;
use crate::support::{Place, Run};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn tokens(place: &Place, mode: u32) -> String {
    let file = place.write("tokens", format!("another-token-another\n{TOKEN}\n"));
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    file.display().to_string()
}

#[test]
fn without_a_valid_token_nothing_is_taken() {
    let place = Place::new();
    let file = tokens(&place, 0o600);
    let mut service = Service::start_in(place, &["--token-file", &file, "--metrics", "127.0.0.1:0"]);
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
        for answers in [refused(service.tcp(), text), refused(service.unix(), text)] {
            let told = answers.last().map(|answer| (answer["action"].clone(), answer["error"].to_string()));
            let (then, error) = told.unwrap_or_else(|| panic!("{text}: nothing was told"));
            assert!(then == "disconnect" && error.contains("token"), "{text}: {answers:?}");
        }
    }
    assert_eq!(service.place.durable(), 0);
    assert_eq!(
        service.metric("ministore_serve_disconnects_total{reason=\"unauthenticated\"}") as usize,
        2 * first_lines.len()
    );

    for token in [TOKEN, "another-token-another"] {
        let mut client = service.tcp().says(&json!({ "ministore": { "ack": "record", "token": token } }));
        client.send("{\"in\":true}\n");
        assert_eq!(client.hear()["line"], 2);
    }
    let said = service.end("TERM").code(143);
    assert!(!said.err.contains(TOKEN) && !said.err.contains(&wrong), "a token is told: {}", said.err);
}

fn refused<S: super::service::Stream>(mut client: super::service::Client<S>, text: &str) -> Vec<Value> {
    client.send(text);
    client.finish()
}

#[test]
fn client_without_token_loses_its_slot() {
    let place = Place::new();
    let file = tokens(&place, 0o640);
    let service = Service::start_in(place, &["--token-file", &file, "--idle-timeout", "1s"]);
    let mut silent = service.tcp();
    assert_eq!(silent.hear()["error"], "authentication timeout");
}

#[test]
fn a_file_of_tokens_that_others_can_read_is_refused() {
    let place = Place::new();
    let file = tokens(&place, 0o644);
    let ran = place.serve().args(["--listen", "tcp:127.0.0.1:0", "--token-file", &file]).run().code(77);
    assert!(ran.error().contains("tokens") && ran.error().contains("other users"), "{ran:?}");
    place.write("tokens", "short\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    place.serve().args(["--listen", "tcp:127.0.0.1:0", "--token-file", &file]).run().code(65);
    assert!(!place.journal().exists(), "nothing is opened before");
}

#[test]
fn only_the_users_and_groups_that_are_allowed_may_send() {
    let own = fs::metadata("/proc/self").unwrap();
    let (uid, gid) = {
        use std::os::unix::fs::MetadataExt;
        (own.uid().to_string(), own.gid().to_string())
    };
    for (allow, who, admitted) in [
        ("--allow-uid", uid.as_str(), true),
        ("--allow-uid", "4294967294,12345", false),
        ("--allow-gid", gid.as_str(), true),
        ("--allow-gid", "4294967294", false),
    ] {
        let service = Service::start(&[allow, who]);
        let mut client = service.unix();
        client.send("{\"ministore\":{\"ack\":\"record\"}}\n1\n");
        let answers = client.finish();
        if admitted {
            assert_eq!(answers[1], json!({ "ok": 1, "line": 2 }), "{allow} {who}");
        } else {
            assert_eq!(answers.len(), 1, "{allow} {who}: {answers:?}");
            assert_eq!(answers[0]["error"], "permission denied for this user");
        }
        // TCP has no such check.
        assert_eq!(service.tcp().asks("batch").finish(), Vec::<Value>::new());
    }
}

#[test]
fn other_machines_are_let_in_only_when_that_is_said() {
    let place = Place::new();
    for args in
        [&["--listen", "tcp:0.0.0.0:0"][..], &["--listen", "tcp:127.0.0.1:0", "--metrics", "0.0.0.0:0"]]
    {
        let ran = place.serve().args(args).run();
        assert_eq!(ran.code, Some(64), "{ran:?}");
        assert!(ran.err.contains("--allow-remote"), "{ran:?}");
    }
    let mut service = Service::start(&["--listen", "tcp:0.0.0.0:0", "--allow-remote"]);
    service.wait_to_hear("need no token");
}

#[test]
fn sockets_have_the_permissions_asked_for() {
    for (args, expected) in [(&[][..], 0o600), (&["--socket-mode", "660"][..], 0o660)] {
        let service = Service::start(args);
        let mode = fs::metadata(service.place.path("socket")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected);
    }
}
