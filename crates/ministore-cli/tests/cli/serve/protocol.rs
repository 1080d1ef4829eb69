//! Clients that speak HTTP or TLS: a browser that a web page sent here must not write.

use serde_json::json;

use super::service::ServeProcess;
use crate::browser::Browser;

const POLICIES: [&[&str]; 2] = [&["--on-error", "skip"], &[]];

const FORGED: &str = "{\"forged\":true}";

fn assert_rejected(service: &mut ServeProcess, lines: f64) {
    assert_eq!(service.dir.replay(), "");
    assert_eq!(service.metric("ministore_serve_refused_lines_total{reason=\"wrong_protocol\"}"), lines);
    assert_eq!(service.metric("ministore_serve_lines_total"), lines);
    assert_eq!(service.metric("ministore_serve_disconnects_total{reason=\"wrong_protocol\"}"), 1.0);
}

#[test]
fn http_request_cannot_write() {
    for policy in POLICIES {
        for request in
            ["POST / HTTP/1.1\r\nHost: here\r\n\r\n", "PUT /long", "\r\ninvented * HTTP/1.1\r\n\r\n"]
        {
            let mut service = ServeProcess::start(&[policy, &["--metrics", "127.0.0.1:0"]].concat());
            let mut client = service.connect_tcp();
            // In parts: the body must be ignored even if it arrives later.
            client.send(&request[..request.len() / 2]);
            client.send(&request[request.len() / 2..]);
            client.send(format!("\n{FORGED}\n{FORGED}\n"));
            let response = client.finish_raw();
            assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{response}");
            assert!(body.contains("lines of JSON, not HTTP"), "{response}");
            service.wait_for_log("wrong protocol");
            let lines = request.lines().filter(|line| !line.is_empty()).count() + 2;
            service.wait_for_count("ministore_serve_connections", 0.0);
            assert_rejected(&mut service, lines as f64);
        }
    }
}

#[test]
fn tls_client_is_disconnected_at_once() {
    for policy in POLICIES {
        let mut service = ServeProcess::start(&[policy, &["--metrics", "127.0.0.1:0"]].concat());
        let mut client = service.connect_tcp();
        // A ClientHello has no LF, so a line is never complete.
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc");
        let response = client.receive();
        assert_eq!((&response["line"], &response["action"]), (&json!(1), &json!("disconnect")), "{response}");
        assert!(response["error"].to_string().contains("not TLS"), "{response}");
        client.send(format!("\n{FORGED}\n"));
        client.finish();
        service.wait_for_count("ministore_serve_connections", 0.0);
        assert_rejected(&mut service, 2.0);
    }
}

#[test]
fn http_request_on_a_unix_socket_cannot_write() {
    let service = ServeProcess::start(&["--on-error", "skip"]);
    let mut client = service.connect_unix();
    client.send(format!("GET / HTTP/1.0\r\n\r\n{FORGED}\n"));
    assert!(client.finish_raw().starts_with("HTTP/1.1 400 "));
    assert_eq!(service.dir.replay(), "");
}

#[test]
fn only_the_first_line_is_checked() {
    let service = ServeProcess::start(&["--on-error", "skip"]);
    let mut client = service.connect_tcp().with_acks("record");
    client.send("GET / HTTP/1.1\r\n\"GET / HTTP/1.1\"\n");
    let responses = client.finish();
    assert_eq!((&responses[0]["action"], &responses[1]["ok"]), (&json!("skip"), &json!(1)), "{responses:?}");
}

#[test]
fn web_page_in_a_browser_cannot_write() {
    let Some(mut browser) = Browser::start() else { return };
    let mut service = ServeProcess::start(&["--on-error", "skip", "--metrics", "127.0.0.1:0"]);
    let page = service.dir.write("page.html", "<!DOCTYPE html><title>A page</title>");
    browser.open(&page);
    let body = "{ method: 'POST', mode: 'no-cors', body: '{\"forged\":true}\\n' }";
    let attempts = ["http", "https"].map(|scheme| {
        let address = &service.tcp_address;
        format!("fetch('{scheme}://{address}', {body}).then(done, done)")
    });
    let socket = format!("new WebSocket('ws://{}').onclose = done", service.tcp_address);
    for attempt in attempts.iter().chain([&socket]) {
        browser.evaluate(&format!("window.ended = false; done = () => {{ ended = true }}; {attempt}; 1"));
        service.wait_for("the browser is not answered", || browser.evaluate("ended") == true);
    }
    service.wait_for_metric("ministore_serve_disconnects_total{reason=\"wrong_protocol\"}", |n| n >= 3.0);
    assert_eq!(service.dir.replay(), "");
}
