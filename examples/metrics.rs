//! A journal whose metrics are served as Prometheus text. `cargo run --example metrics --features metrics`
//!
//! It appends, scrapes itself over HTTP as Prometheus would, and checks the metrics.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example prints its results")]

use std::{
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use ministore_uring::JournalOptions;

fn main() -> Result<(), Box<dyn Error>> {
    // Install the recorder first, because a journal registers its metrics when it is opened.
    let recorder = PrometheusBuilder::new().install_recorder()?;
    let address = serve(recorder)?;

    let dir = tempfile::tempdir()?;
    let store =
        JournalOptions::new().metrics_label("orders").open_blocking(dir.path().join("orders.jsonl"))?;
    for order in 0..100 {
        store.blocking().append(&order)?;
    }
    store.blocking().append_batch(100..150)?;
    store.blocking().rotate()?;
    store.blocking().append(&150)?;

    // All acknowledged records are counted. The writer thread may still be counting the last notifications.
    let text = scrape(address)?;
    for line in text.lines().filter(|line| line.contains("records_total") || line.contains("commit_seconds"))
    {
        println!("{line}");
    }
    let expected = [
        ("ministore_records_total", 151.0),
        ("ministore_groups_total", 102.0),
        ("ministore_bytes_total", 343.0),
        ("ministore_durable_seq", 151.0),
        ("ministore_rotations_total", 1.0),
        ("ministore_sync_seconds_count", 102.0),
        ("ministore_queue_wait_seconds_count", 102.0),
        ("ministore_group_records_sum", 151.0),
        ("ministore_rotation_seconds_count", 1.0),
        ("ministore_poisoned", 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(sample(&text, name), Some(value), "{name} in:\n{text}");
    }
    assert!(text.contains("# TYPE ministore_records_total counter"));
    assert!(sample(&text, "ministore_sync_seconds_sum") > Some(0.0));

    store.blocking().close()?;
    assert_eq!(
        sample(&scrape(address)?, "ministore_queue_bytes"),
        Some(0.0),
        "the queue of a closed journal is empty"
    );
    Ok(())
}

/// Returns the value of a metric of the journal `orders`.
fn sample(text: &str, name: &str) -> Option<f64> {
    let series = format!("{name}{{journal=\"orders\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series))?.parse().ok()
}

/// Starts a thread that responds to every request with all metrics. The exporter also has a server on tokio, in its
/// feature `http-listener`.
fn serve(recorder: PrometheusHandle) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            if let Err(error) = respond(connection, &recorder) {
                eprintln!("a scrape failed: {error}");
            }
        }
    });
    Ok(address)
}

fn respond(mut connection: TcpStream, recorder: &PrometheusHandle) -> io::Result<()> {
    for line in BufReader::new(&connection).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let text = recorder.render();
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn scrape(address: SocketAddr) -> io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    match response.split_once("\r\n\r\n") {
        Some((head, text)) if head.starts_with("HTTP/1.1 200") => Ok(text.to_owned()),
        _ => Err(io::Error::other(format!("unexpected response to a scrape: {response}"))),
    }
}
