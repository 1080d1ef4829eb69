//! Acknowledgements and their order, and which lines are records.

use serde_json::{Value, json};

use super::service::ServeProcess;
use crate::support::{CommandExt, head, lines, quarantined};

#[test]
fn record_is_acknowledged_once_durable() {
    let service = ServeProcess::start(&[]);
    let text = lines(500);
    let mut client = service.connect_tcp().with_acks("record");
    for (number, line) in (1..).zip(text.lines().take(50)) {
        client.send(format!("{line}\n"));
        assert_eq!(client.receive(), json!({ "ok": number, "line": number + 1 }));
        assert_eq!(service.dir.durable(), number, "acknowledged before it was durable");
    }
    client.send(text.lines().skip(50).map(|line| format!("{line}\n")).collect::<String>());
    let responses = client.finish();
    let expected: Vec<Value> = (51..=500).map(|number| json!({ "ok": number, "line": number + 1 })).collect();
    assert_eq!(responses, expected);
    assert_eq!(service.dir.replay(), text);
}

#[test]
fn batch_ack_has_first_and_last_seq() {
    let service = ServeProcess::start(&[]);
    let mut client = service.connect_unix().with_acks("batch");
    let text = lines(5000);
    client.send(&text);
    let responses = client.finish();
    let mut next = 1;
    for response in &responses {
        let (first, last) = (response["ok"][0].as_u64().unwrap(), response["ok"][1].as_u64().unwrap());
        assert!(first == next && last >= first && response["line"] == last + 1, "{response} after {next}");
        next = last + 1;
    }
    assert_eq!(next, 5001);
    assert!(responses.len() < 5000, "{} batches of one record each", responses.len());
    assert_eq!(service.dir.replay(), text);
}

#[test]
fn client_without_handshake_gets_no_response() {
    let mut service = ServeProcess::start(&["--on-error", "skip"]);
    let mut client = service.connect_tcp();
    client.send("{\"n\":1}\n\nnot JSON\r\n \t\r\n[2]\r\n");
    assert_eq!(client.finish(), Vec::<Value>::new());
    assert_eq!(service.dir.replay(), "{\"n\":1}\n[2]\n");
    let summary = service.stop("TERM").ok().json();
    assert_eq!(
        (&summary["records"], &summary["skipped"], &summary["bad_lines"]),
        (&json!(2), &json!(1), &json!(1))
    );
}

#[test]
fn handshake_is_only_the_first_line() {
    let service = ServeProcess::start(&[]);
    let handshake = "{\"ministore\":{\"ack\":\"record\"}}\n";
    // It is data on line 2, with other keys, or after a handshake.
    let mut first = service.connect_unix();
    first.send(format!("0\n{handshake}"));
    assert_eq!(first.finish(), Vec::<Value>::new());
    let mut second = service.connect_unix();
    second.send("{\"ministore\":{\"ack\":\"record\"},\"n\":1}\n");
    assert_eq!(second.finish(), Vec::<Value>::new());
    let mut third = service.connect_unix().with_acks("record");
    third.send(handshake);
    assert_eq!(third.receive(), json!({ "ok": 4, "line": 2 }));
    let data = handshake.trim_end();
    let expected = format!("0\n{data}\n{{\"ministore\":{{\"ack\":\"record\"}},\"n\":1}}\n{data}\n");
    assert_eq!(service.dir.replay(), expected);
}

#[test]
fn invalid_handshake_disconnects() {
    let service = ServeProcess::start(&[]);
    let mut client = service.connect_unix();
    client.send("{\"ministore\":{\"ack\":\"everything\"}}\n1\n");
    let responses = client.receive_all();
    assert_eq!(
        (responses.len(), &responses[0]["action"], &responses[0]["line"]),
        (1, &json!("disconnect"), &json!(1))
    );
    assert_eq!(service.dir.durable(), 0);
}

#[test]
fn bad_line_disconnects_after_earlier_acks() {
    let service = ServeProcess::start(&[]);
    let (mut client, mut other) =
        (service.connect_tcp().with_acks("record"), service.connect_unix().with_acks("record"));
    client.send("1\n2\n{\"n\":}\n4\n");
    let responses = client.receive_all();
    assert_eq!(responses[..2], [json!({ "ok": 1, "line": 2 }), json!({ "ok": 2, "line": 3 })]);
    assert_eq!(
        (responses.len(), &responses[2]["line"], &responses[2]["action"]),
        (3, &json!(4), &json!("disconnect"))
    );
    assert_eq!(responses[2]["write_outcome"], "not_written");
    other.send("3\n");
    assert_eq!(other.receive(), json!({ "ok": 3, "line": 2 }));
    assert_eq!(service.dir.replay(), "1\n2\n3\n");
}

#[test]
fn bad_lines_are_quarantined_and_reported_in_order() {
    let service = ServeProcess::start(&[]);
    let file = service.dir.path("bad.ndjson");
    let mut service = ServeProcess::start(&["--on-error", &format!("quarantine={}", file.display())]);
    let mut client = service.connect_unix().with_acks("record");
    client.send(b"1\nno\xff\n2\n{\n");
    let responses: Vec<Value> = (0..4).map(|_| client.receive()).collect();
    let actions: Vec<_> = responses.iter().map(|response| (&response["line"], &response["action"])).collect();
    let (null, quarantine) = (Value::Null, json!("quarantine"));
    let expected = [(2, &null), (3, &quarantine), (4, &null), (5, &quarantine)]
        .map(|(line, action)| (json!(line), action));
    assert!(
        actions.iter().zip(&expected).all(|(got, (line, action))| got.0 == line && got.1 == *action),
        "{responses:?}"
    );
    service.stop("TERM").ok();
    let entries = quarantined(&file);
    assert_eq!((&entries[0]["base64"], &entries[1]["text"]), (&json!("bm//"), &json!("{")));
    assert_eq!((&entries[0]["line"], &entries[0]["reason"]), (&json!(3), &json!("not UTF-8")));
    assert!(entries[0]["input"].as_str().unwrap().starts_with("unix:"), "{entries:?}");
    assert_eq!(service.dir.replay(), "1\n2\n");
}

#[test]
fn incomplete_line_is_not_a_record() {
    let service = ServeProcess::start(&[]);
    let mut client = service.connect_unix().with_acks("record");
    // The line was 123 and is truncated.
    client.send("7\n12");
    let responses = client.finish();
    assert_eq!(
        (responses.len(), &responses[0]["ok"], &responses[1]["action"]),
        (2, &json!(1), &json!("disconnect"))
    );
    assert_eq!(service.dir.replay(), "7\n");
}

#[test]
fn concurrent_clients_keep_their_own_order() {
    let service = ServeProcess::start(&[]);
    let text = lines(3000);
    std::thread::scope(|scope| {
        for part in 0..2 {
            let (service, text) = (&service, &text);
            scope.spawn(move || {
                let part_lines: String =
                    text.lines().skip(part * 1500).take(1500).map(|line| format!("{line}\n")).collect();
                let acknowledged = if part == 0 {
                    let mut client = service.connect_tcp().with_acks("record");
                    client.send(part_lines);
                    client.finish()
                } else {
                    let mut client = service.connect_unix().with_acks("record");
                    client.send(part_lines);
                    client.finish()
                };
                assert_eq!(acknowledged.len(), 1500);
                // The record has the acknowledged sequence number.
                let seq = acknowledged[700]["ok"].to_string();
                let got = service.dir.command("get").arg(&seq).run().ok().stdout;
                assert_eq!(got.trim_end(), text.lines().nth(part * 1500 + 700).unwrap());
            });
        }
    });
    let replayed = service.dir.replay();
    let first = head(&text, 1500);
    let found: String =
        replayed.lines().filter(|line| first.contains(*line)).map(|line| format!("{line}\n")).collect();
    assert_eq!(found, first);
    assert_eq!(replayed.lines().count(), 3000);
}

#[test]
fn unreadable_json_is_a_bad_line() {
    let bad = [
        (r#"{"a":"x\ud83d y"}"#.to_owned(), "a lone surrogate in a string"),
        ("[1,1e400]".to_owned(), "number out of range"),
        (format!("{}1{}", "[".repeat(128), "]".repeat(128)), "nested deeper than 127 levels"),
    ];
    let mut service = ServeProcess::start(&["--on-error", "skip"]);
    let mut client = service.connect_unix().with_acks("record");
    for (line, (bad, reason)) in (2_u64..).step_by(2).zip(&bad) {
        client.send(format!("{bad}\n1\n"));
        let response = client.receive();
        assert_eq!((&response["line"], &response["error"]), (&json!(line), &json!(reason)), "{response}");
        assert_eq!(client.receive()["ok"], line / 2);
    }
    service.wait_for_log(":2:8: a lone surrogate in a string");
    assert_eq!(service.dir.replay(), "1\n1\n1\n");
}

#[test]
fn unwritable_quarantine_disconnects() {
    let mut service = ServeProcess::start(&["--on-error", "quarantine=/dev/full"]);
    for _ in 0..3 {
        let mut client = service.connect_unix().with_acks("record");
        client.send("nonsense\n1\n");
        let responses = client.receive_all();
        assert_eq!((responses.len(), &responses[0]["action"]), (1, &json!("disconnect")), "{responses:?}");
    }
    let output = service.stop("TERM").code(74);
    assert_eq!(output.stderr.matches("\"kind\":").count(), 1, "the others are limited warnings: {output:?}");
    assert_eq!(output.json()["outcome"], "failed");
    assert_eq!(service.dir.replay(), "");
}
