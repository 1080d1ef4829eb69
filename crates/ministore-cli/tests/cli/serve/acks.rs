//! What a client is told, in which order, and what is data and what is not.

use serde_json::{Value, json};

use super::service::Service;
use crate::support::{Run, head, lines};

#[test]
fn every_record_is_acknowledged_with_its_number_once_it_is_durable() {
    let service = Service::start(&[]);
    let text = lines(500);
    let mut client = service.tcp().asks("record");
    for (number, line) in (1..).zip(text.lines().take(50)) {
        client.send(format!("{line}\n"));
        assert_eq!(client.hear(), json!({ "ok": number, "line": number + 1 }));
        assert_eq!(service.place.durable(), number, "told too early");
    }
    client.send(text.lines().skip(50).map(|line| format!("{line}\n")).collect::<String>());
    let answers = client.finish();
    let expected: Vec<Value> = (51..=500).map(|number| json!({ "ok": number, "line": number + 1 })).collect();
    assert_eq!(answers, expected);
    assert_eq!(service.place.replay(), text);
}

#[test]
fn batches_are_acknowledged_with_their_first_and_last_number() {
    let service = Service::start(&[]);
    let mut client = service.unix().asks("batch");
    let text = lines(5000);
    client.send(&text);
    let answers = client.finish();
    let mut next = 1;
    for answer in &answers {
        let (first, last) = (answer["ok"][0].as_u64().unwrap(), answer["ok"][1].as_u64().unwrap());
        assert!(first == next && last >= first && answer["line"] == last + 1, "{answer} after {next}");
        next = last + 1;
    }
    assert_eq!(next, 5001);
    assert!(answers.len() < 5000, "{} batches of one record each", answers.len());
    assert_eq!(service.place.replay(), text);
}

#[test]
fn client_without_requests_gets_no_response() {
    let mut service = Service::start(&["--on-error", "skip"]);
    let mut client = service.tcp();
    client.send("{\"n\":1}\n\nnot JSON\r\n \t\r\n[2]\r\n");
    assert_eq!(client.finish(), Vec::<Value>::new());
    assert_eq!(service.place.replay(), "{\"n\":1}\n[2]\n");
    let told = service.end("TERM").code(143).json();
    assert_eq!((&told["records"], &told["skipped"], &told["bad_lines"]), (&json!(2), &json!(1), &json!(1)));
}

#[test]
fn only_a_first_line_with_the_one_key_speaks_to_the_service() {
    let service = Service::start(&[]);
    let hello = "{\"ministore\":{\"ack\":\"record\"}}\n";
    // On line 2, or with other keys, it is data; behind a hello, too.
    let mut first = service.unix();
    first.send(format!("0\n{hello}"));
    assert_eq!(first.finish(), Vec::<Value>::new());
    let mut second = service.unix();
    second.send("{\"ministore\":{\"ack\":\"record\"},\"n\":1}\n");
    assert_eq!(second.finish(), Vec::<Value>::new());
    let mut third = service.unix().asks("record");
    third.send(hello);
    assert_eq!(third.hear(), json!({ "ok": 4, "line": 2 }));
    let data = hello.trim_end();
    let expected = format!("0\n{data}\n{{\"ministore\":{{\"ack\":\"record\"}},\"n\":1}}\n{data}\n");
    assert_eq!(service.place.replay(), expected);
}

#[test]
fn a_hello_that_is_not_understood_ends_the_connection_and_is_no_record() {
    let service = Service::start(&[]);
    let mut client = service.unix();
    client.send("{\"ministore\":{\"ack\":\"everything\"}}\n1\n");
    let answers = client.hear_all();
    assert_eq!(
        (answers.len(), &answers[0]["action"], &answers[0]["line"]),
        (1, &json!("disconnect"), &json!(1))
    );
    assert_eq!(service.place.durable(), 0);
}

#[test]
fn bad_line_disconnects_after_earlier_acks() {
    let service = Service::start(&[]);
    let (mut client, mut other) = (service.tcp().asks("record"), service.unix().asks("record"));
    client.send("1\n2\n{\"n\":}\n4\n");
    let answers = client.hear_all();
    assert_eq!(answers[..2], [json!({ "ok": 1, "line": 2 }), json!({ "ok": 2, "line": 3 })]);
    assert_eq!(
        (answers.len(), &answers[2]["line"], &answers[2]["action"]),
        (3, &json!(4), &json!("disconnect"))
    );
    assert_eq!(answers[2]["write_outcome"], "not_written");
    other.send("3\n");
    assert_eq!(other.hear(), json!({ "ok": 3, "line": 2 }));
    assert_eq!(service.place.replay(), "1\n2\n3\n");
}

#[test]
fn bad_lines_are_quarantined_and_reported_in_order() {
    let service = Service::start(&[]);
    let file = service.place.path("bad.ndjson");
    let mut service = Service::start(&["--on-error", &format!("quarantine={}", file.display())]);
    let mut client = service.unix().asks("record");
    client.send(b"1\nno\xff\n2\n{\n");
    let answers: Vec<Value> = (0..4).map(|_| client.hear()).collect();
    let places: Vec<_> = answers.iter().map(|answer| (&answer["line"], &answer["action"])).collect();
    let (null, aside) = (Value::Null, json!("quarantine"));
    let expected = [(2, &null), (3, &aside), (4, &null), (5, &aside)].map(|(line, then)| (json!(line), then));
    assert!(
        places.iter().zip(&expected).all(|(got, (line, then))| got.0 == line && got.1 == *then),
        "{answers:?}"
    );
    service.end("TERM").code(143);
    assert_eq!(std::fs::read(file).unwrap(), b"no\xff\n{\n");
    assert_eq!(service.place.replay(), "1\n2\n");
}

#[test]
fn half_a_line_is_no_record() {
    let service = Service::start(&[]);
    let mut client = service.unix().asks("record");
    // Cut off in the middle of 123.
    client.send("7\n12");
    let answers = client.finish();
    assert_eq!(
        (answers.len(), &answers[0]["ok"], &answers[1]["action"]),
        (2, &json!(1), &json!("disconnect"))
    );
    assert_eq!(service.place.replay(), "7\n");
}

#[test]
fn clients_of_both_kinds_share_one_journal_each_in_its_own_order() {
    let service = Service::start(&[]);
    let text = lines(3000);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (service, text) = (&service, &text);
            scope.spawn(move || {
                let part: String =
                    text.lines().skip(half * 1500).take(1500).map(|line| format!("{line}\n")).collect();
                let acknowledged = if half == 0 {
                    let mut client = service.tcp().asks("record");
                    client.send(part);
                    client.finish()
                } else {
                    let mut client = service.unix().asks("record");
                    client.send(part);
                    client.finish()
                };
                assert_eq!(acknowledged.len(), 1500);
                // The number that was told is the one under which the record is found.
                let seq = acknowledged[700]["ok"].to_string();
                let got = service.place.command("get").arg(&seq).run().ok().out;
                assert_eq!(got.trim_end(), text.lines().nth(half * 1500 + 700).unwrap());
            });
        }
    });
    let replayed = service.place.replay();
    let first = head(&text, 1500);
    let of_first: String =
        replayed.lines().filter(|line| first.contains(*line)).map(|line| format!("{line}\n")).collect();
    assert_eq!(of_first, first);
    assert_eq!(replayed.lines().count(), 3000);
}

#[test]
fn unreadable_json_is_a_bad_line_of_its_client() {
    let bad = [
        (r#"{"a":"x\ud83d y"}"#.to_owned(), "a lone surrogate in a string"),
        ("[1,1e400]".to_owned(), "number out of range"),
        (format!("{}1{}", "[".repeat(128), "]".repeat(128)), "nested deeper than 127 levels"),
    ];
    let mut service = Service::start(&["--on-error", "skip"]);
    let mut client = service.unix().asks("record");
    for (line, (bad, reason)) in (2_u64..).step_by(2).zip(&bad) {
        client.send(format!("{bad}\n1\n"));
        let answer = client.hear();
        assert_eq!((&answer["line"], &answer["error"]), (&json!(line), &json!(reason)), "{answer}");
        assert_eq!(client.hear()["ok"], line / 2);
    }
    service.wait_to_hear(":2:8: a lone surrogate in a string");
    assert_eq!(service.place.replay(), "1\n1\n1\n");
}
