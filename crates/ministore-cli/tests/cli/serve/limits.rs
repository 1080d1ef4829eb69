//! How many, how long, how silent.

use serde_json::{Value, json};

use super::service::Service;

#[test]
fn one_client_too_many_is_refused_with_a_reason_and_let_in_later() {
    let mut service = Service::start(&["--max-clients", "2", "--metrics", "127.0.0.1:0"]);
    let first = service.tcp().asks("record");
    let mut second = service.unix().asks("record");
    for answers in [service.tcp().hear_all(), service.unix().hear_all()] {
        assert!(
            answers.len() == 1 && answers[0]["error"].to_string().contains("too many clients"),
            "{answers:?}"
        );
    }
    assert_eq!(service.metric("ministore_serve_disconnects_total{reason=\"max_clients\"}"), 2.0);
    assert_eq!(service.metric("ministore_serve_connections"), 2.0);
    drop(first);
    service.wait_to_hear("too many clients");
    let mut tries = 0;
    service.wait_for("no place becomes free", || {
        tries += 1;
        let mut client = service.tcp();
        client.send("{\"ministore\":{\"ack\":\"record\"}}\n");
        client.hear()["ok"].is_object()
    });
    second.send("1\n");
    assert_eq!(second.hear()["ok"], 1);
}

#[test]
fn a_line_beyond_the_limit_is_a_bad_line() {
    let limit = 50_000;
    let line = |bytes: usize| format!("\"{}\"\n", "x".repeat(bytes - 2));
    let service = Service::start(&["--max-record-bytes", &limit.to_string(), "--on-error", "skip"]);
    let mut client = service.tcp().asks("record");
    client.send([line(limit), line(limit + 1), line(limit), line(3_000_000), line(20)].concat());
    let answers: Vec<Value> = (0..5).map(|_| client.hear()).collect();
    let told: Vec<_> =
        answers.iter().map(|answer| (&answer["ok"], &answer["action"], &answer["line"])).collect();
    let (null, skipped) = (Value::Null, json!("skip"));
    let numbers = [1, 2, 3, 4, 5, 6].map(|number| json!(number));
    let expected = [
        (&numbers[0], &null, &numbers[1]),
        (&null, &skipped, &numbers[2]),
        (&numbers[1], &null, &numbers[3]),
        (&null, &skipped, &numbers[4]),
        (&numbers[2], &null, &numbers[5]),
    ];
    assert_eq!(told, expected);
    assert!(answers[1]["error"].to_string().contains("50000 bytes"), "{}", answers[1]);

    let strict = Service::start(&["--max-record-bytes", &limit.to_string()]);
    let mut client = strict.unix().asks("record");
    client.send([line(20), line(1_000_000), line(20)].concat());
    let answers = client.hear_all();
    assert_eq!((answers.len(), &answers[1]["action"]), (2, &json!("disconnect")));
}

#[test]
fn a_silent_client_is_disconnected_and_a_dripping_one_too() {
    let mut service = Service::start(&["--idle-timeout", "1s", "--metrics", "127.0.0.1:0"]);
    let mut silent = service.tcp().asks("record");
    let mut dripping = service.unix().asks("record");
    let mut busy = service.unix().asks("record");
    let mut drops = 0;
    let begun = std::time::Instant::now();
    // For three times as long as the limit, one sends a byte now and then, and one a line.
    while begun.elapsed().as_secs() < 3 {
        dripping.send("[");
        busy.send("1\n");
        drops += 1;
        assert_eq!(busy.hear()["ok"], drops);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(
        silent.hear(),
        json!({ "error": "idle timeout: no complete line", "line": 2, "action": "disconnect" })
    );
    assert_eq!(dripping.hear()["error"], "idle timeout: no complete line");
    assert_eq!(service.metric("ministore_serve_disconnects_total{reason=\"idle_timeout\"}"), 2.0);
    assert_eq!(service.metric("ministore_serve_connections"), 1.0);
}

#[test]
fn without_an_idle_limit_a_client_may_be_silent() {
    let service = Service::start(&["--idle-timeout", "0s"]);
    let mut silent = service.tcp().asks("record");
    let other = Service::start(&["--idle-timeout", "1s"]);
    assert_eq!(other.tcp().asks("record").hear()["action"], "disconnect", "as long as another one may be");
    silent.send("1\n");
    assert_eq!(silent.hear()["ok"], 1);
}
