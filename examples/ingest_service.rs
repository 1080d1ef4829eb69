//! A service that accepts events over HTTP: `POST /events` with JSON lines returns 200 once all of them are durable.
//!
//! `cargo run --example ingest_service` starts the service, sends requests, checks the responses, and stops it.
//! `cargo run --release --example ingest_service -- --listen 127.0.0.1:8080 events.jsonl` serves until Ctrl-C or
//! SIGTERM:
//! `curl --data-binary @events.ndjson http://127.0.0.1:8080/events`, `curl http://127.0.0.1:8080/events/1`.
//!
//! | response | condition | events written |
//! | --- | --- | --- |
//! | 200 `{"first_seq":1,"records":3}` | all are durable | all, consecutively; a crash keeps all or none |
//! | 400 `{"error":…,"line":2}` | a line is not JSON | none |
//! | 413 | the body or an event is too large | none |
//! | 503 with `Retry-After` | the queue or the disk is full, or the journal is closed or poisoned | none, or unknown with `"unknown":true` |

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use axum::{
    Router,
    body::Bytes,
    extract::{self, DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ministore_uring::{Append, JournalOptions, JsonBatch, MiniStore, MiniStoreError};
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

type ServiceError = Box<dyn std::error::Error + Send + Sync>;

/// Maximum size of a request body. A body becomes one batch, so `max_batch_bytes` limits it, too.
const MAX_BODY_BYTES: usize = 4 << 20;

/// The time after which a client should retry.
const RETRY_AFTER_SECONDS: &str = "1";

#[tokio::main]
async fn main() -> Result<(), ServiceError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run_self_check().await,
        ["--listen", address, journal] => {
            let store = JournalOptions::new().open(journal).await?;
            let listener = TcpListener::bind(address).await?;
            println!("listening on {}", listener.local_addr()?);
            let (mut interrupted, mut terminated) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            let shutdown = async move {
                tokio::select! {
                    _ = interrupted.recv() => {}
                    _ = terminated.recv() => {}
                }
            };
            serve(listener, store, shutdown).await
        }
        _ => Err("usage: ingest_service [--listen ADDRESS JOURNAL]".into()),
    }
}

/// Serves until `shutdown` completes, then finishes the requests in progress and closes the journal.
async fn serve(
    listener: TcpListener,
    store: MiniStore,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServiceError> {
    axum::serve(listener, service(store.clone())).with_graceful_shutdown(shutdown).await?;
    Ok(store.close().await?)
}

fn service(store: MiniStore) -> Router {
    Router::new()
        .route("/events", post(post_events))
        .route("/events/{seq}", get(get_event))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(store)
}

async fn post_events(State(store): State<MiniStore>, body: Bytes) -> Response {
    match append(&store, &body).await {
        Ok((first_seq, records)) => {
            json_response(StatusCode::OK, &json!({ "first_seq": first_seq, "records": records }))
        }
        Err(response) => *response,
    }
}

/// Appends all lines as one batch: the journal contains all of them consecutively, or none.
async fn append(store: &MiniStore, body: &[u8]) -> Result<(u64, u64), Box<Response>> {
    let to_response = |error: MiniStoreError| Box::new(error_response(&error));
    let append = Append::json_batch(parse_events(body)?);
    let records = append.records();
    // `try_send` does not wait for queue capacity. The client gets 503 and retries, so waiting bodies use no memory
    // here.
    let pending = store.try_send(append).map_err(to_response)?;
    let receipt = pending.await.map_err(to_response)?;
    Ok((receipt.seqs().start, records))
}

/// Parses the lines of a body, one JSON value per line. Empty lines are skipped.
fn parse_events(body: &[u8]) -> Result<JsonBatch, Box<Response>> {
    let bad_request = |body: &Value| Box::new(json_response(StatusCode::BAD_REQUEST, body));
    let mut events = JsonBatch::new();
    for (number, line) in (1..).zip(body.split(|&byte| byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        events.push(line).map_err(|error| match error {
            MiniStoreError::InvalidJson { column, reason, .. } => bad_request(
                &json!({ "error": format!("not JSON: {reason}"), "line": number, "column": column }),
            ),
            other => Box::new(error_response(&other)),
        })?;
    }
    if events.is_empty() {
        return Err(bad_request(&json!({ "error": "no events", "line": 1 })));
    }
    Ok(events)
}

async fn get_event(State(store): State<MiniStore>, extract::Path(seq): extract::Path<u64>) -> Response {
    match store.get::<Box<RawValue>>(seq).await {
        Ok(Some(record)) => (StatusCode::OK, record.value.get().to_owned()).into_response(),
        Ok(None) => json_response(StatusCode::NOT_FOUND, &json!({ "error": "not written yet" })),
        Err(error) => error_response(&error),
    }
}

/// Maps an error to a response.
fn error_response(error: &MiniStoreError) -> Response {
    use MiniStoreError as E;
    let body = json!({ "error": error.to_string() });
    let retry_later = |body: Value| {
        let mut response = json_response(StatusCode::SERVICE_UNAVAILABLE, &body);
        let seconds = header::HeaderValue::from_static(RETRY_AFTER_SECONDS);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
        response
    };
    match error {
        E::TooLarge { .. } => json_response(StatusCode::PAYLOAD_TOO_LARGE, &body),
        E::QueueFull | E::StorageFull { .. } | E::Unavailable { .. } | E::Closed => retry_later(body),
        // The events may or may not be in the journal after a restart, so a client that retries should put an ID into
        // them.
        E::Poisoned { .. } | E::WriterPanicked => {
            retry_later(json!({ "error": error.to_string(), "unknown": true }))
        }
        E::Trimmed { .. } => json_response(StatusCode::GONE, &body),
        _ => json_response(StatusCode::INTERNAL_SERVER_ERROR, &body),
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Starts the service, sends requests to it, and checks the journal.
async fn run_self_check() -> Result<(), ServiceError> {
    let dir = tempfile::tempdir_in(".")?;
    let journal = dir.path().join("events.jsonl");
    let store = JournalOptions::new().max_record_bytes(1 << 20).open(&journal).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (shut_down, shutdown) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, store.clone(), async move { drop(shutdown.await) }));
    let post = async |body: &str| request(TcpStream::connect(address).await?, "POST", "/events", body).await;
    let get = async |path: &str| request(TcpStream::connect(address).await?, "GET", path, "").await;

    let accepted = post("{\"n\":1}\n[2,  3]\n\n\"four\"\n").await?;
    assert_eq!((accepted.status, accepted.json()), (200, json!({ "first_seq": 1, "records": 3 })));
    assert_eq!(store.durable_seq(), 3, "200 means durable");
    let bad = post("{\"n\":5}\n{\"n\":}\n{\"n\":7}\n").await?;
    assert_eq!((bad.status, &bad.json()["line"]), (400, &json!(2)), "{}", bad.body);
    assert_eq!(post("").await?.status, 400);
    let too_large = format!("{}1", "7\n".repeat(MAX_BODY_BYTES / 2));
    assert_eq!(post(&too_large).await?.status, 413, "the body");
    assert_eq!(post(&format!("1\n\"{}\"\n", "x".repeat(2 << 20))).await?.status, 413, "an event");
    assert_eq!(store.durable_seq(), 3, "a rejected request writes nothing");
    assert_eq!((get("/events/2").await?.body.as_str(), get("/events/4").await?.status), ("[2,  3]", 404));
    for error in [MiniStoreError::QueueFull, MiniStoreError::Closed] {
        let response = error_response(&error);
        let retry = response.headers().contains_key(header::RETRY_AFTER);
        assert!(response.status() == StatusCode::SERVICE_UNAVAILABLE && retry, "{error}");
    }

    let connection = send_head(address, 9).await?;
    assert!(shut_down.send(()).is_ok(), "the service ended by itself");
    let finished = send_body(connection, "{\"n\":8}\r\n").await?;
    assert_eq!((finished.status, finished.json()), (200, json!({ "first_seq": 4, "records": 1 })));
    server.await??;
    assert!(matches!(store.append(&9).await, Err(MiniStoreError::Closed)));

    let found: Vec<Value> = MiniStore::replay(&journal).await?;
    assert_eq!(found, [json!({ "n": 1 }), json!([2, 3]), json!("four"), json!({ "n": 8 })]);
    println!("{} events in two requests, durable; five requests rejected", found.len());
    Ok(())
}

/// A response of the service.
struct HttpResponse {
    status: u16,
    body: String,
}

impl HttpResponse {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Sends one request on a new connection.
async fn request(
    mut stream: TcpStream,
    method: &str,
    path: &str,
    body: &str,
) -> Result<HttpResponse, ServiceError> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    send_body(stream, body).await
}

/// Sends the body and reads the response. A service that rejects a body need not read all of it.
async fn send_body(mut stream: TcpStream, body: &str) -> Result<HttpResponse, ServiceError> {
    let (mut reader, mut writer) = stream.split();
    let mut response = Vec::new();
    let read = async {
        let mut chunk = [0; 4096];
        loop {
            match reader.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => response.extend_from_slice(&chunk[..count]),
            }
        }
    };
    tokio::join!(read, async { drop(writer.write_all(body.as_bytes()).await) });
    let response = String::from_utf8(response)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("no response")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok(HttpResponse { status, body: body.into() })
}

/// Sends the head of a request and waits until the service asks for the body.
async fn send_head(address: std::net::SocketAddr, bytes: usize) -> Result<TcpStream, ServiceError> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /events HTTP/1.1\r\nHost: here\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut interim = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).await?;
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&interim));
    Ok(stream)
}
