//! A service that takes events over HTTP: `POST /events` with lines of JSON, answered with 200 once all of them are durable.
//!
//! `cargo run --example ingest_service` starts one, sends it requests, checks the answers, and stops it.
//! `cargo run --release --example ingest_service -- --listen 127.0.0.1:8080 events.jsonl` serves until Ctrl-C or SIGTERM:
//! `curl --data-binary @events.ndjson http://127.0.0.1:8080/events`, `curl http://127.0.0.1:8080/events/1`.
//!
//! | answer | when | what became of the events |
//! | --- | --- | --- |
//! | 200 `{"first_seq":1,"records":3}` | all are durable | written, one behind the other, all or none in every crash |
//! | 400 `{"error":…,"line":2}` | a line is not JSON | none is written |
//! | 413 | the body, or an event, is too large | none is written |
//! | 503 with `Retry-After` | the queue or the disk is full, or the journal stopped | none is written, unless `"unknown":true` |

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

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

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A larger request is refused. It is one commit group: at most as large as `max_batch_bytes` allows.
const BODY_BYTES_MAX: usize = 4 << 20;

/// When a client should come back.
const RETRY_AFTER_SECONDS: &str = "1";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => check_itself().await,
        ["--listen", address, journal] => {
            let store = JournalOptions::new().open(journal).await?;
            let listener = TcpListener::bind(address).await?;
            println!("listening on {}", listener.local_addr()?);
            let (mut interrupted, mut terminated) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            let ended = async move {
                tokio::select! {
                    _ = interrupted.recv() => {}
                    _ = terminated.recv() => {}
                }
            };
            serve(listener, store, ended).await
        }
        _ => Err("usage: ingest_service [--listen ADDRESS JOURNAL]".into()),
    }
}

/// Serves until `ended`; then answers what was begun, and closes the journal.
async fn serve(
    listener: TcpListener,
    store: MiniStore,
    ended: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    axum::serve(listener, service(store.clone())).with_graceful_shutdown(ended).await?;
    Ok(store.close().await?)
}

fn service(store: MiniStore) -> Router {
    Router::new()
        .route("/events", post(take))
        .route("/events/{seq}", get(show))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(store)
}

async fn take(State(store): State<MiniStore>, body: Bytes) -> Response {
    match append(&store, &body).await {
        Ok((first_seq, records)) => {
            answer(StatusCode::OK, &json!({ "first_seq": first_seq, "records": records }))
        }
        Err(refusal) => *refusal,
    }
}

/// All lines as one batch: in the journal they stand together, whole, or not at all.
async fn append(store: &MiniStore, body: &[u8]) -> Result<(u64, u64), Box<Response>> {
    let refused = |error: MiniStoreError| Box::new(refuse(&error));
    let entry = Append::json_batch(events(body)?);
    let records = entry.records();
    // It does not wait for room: the client is told to come back, and the bodies of those who wait take no memory here.
    let pending = store.try_send(entry).map_err(refused)?;
    let receipt = pending.await.map_err(refused)?;
    Ok((receipt.seqs().start, records))
}

/// The lines of a body, each one JSON value. Empty lines are skipped.
fn events(body: &[u8]) -> Result<JsonBatch, Box<Response>> {
    let bad = |told: &Value| Box::new(answer(StatusCode::BAD_REQUEST, told));
    let mut events = JsonBatch::new();
    for (number, line) in (1..).zip(body.split(|&byte| byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        events.push(line).map_err(|error| match error {
            MiniStoreError::InvalidJson { column, reason, .. } => {
                bad(&json!({ "error": format!("not JSON: {reason}"), "line": number, "column": column }))
            }
            other => Box::new(refuse(&other)),
        })?;
    }
    if events.is_empty() {
        return Err(bad(&json!({ "error": "no events", "line": 1 })));
    }
    Ok(events)
}

async fn show(State(store): State<MiniStore>, extract::Path(seq): extract::Path<u64>) -> Response {
    match store.get::<Box<RawValue>>(seq).await {
        Ok(Some(record)) => (StatusCode::OK, record.value.get().to_owned()).into_response(),
        Ok(None) => answer(StatusCode::NOT_FOUND, &json!({ "error": "not written yet" })),
        Err(error) => refuse(&error),
    }
}

/// What an error means to a client.
fn refuse(error: &MiniStoreError) -> Response {
    use MiniStoreError as E;
    let told = json!({ "error": error.to_string() });
    let retry_later = |told: Value| {
        let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &told);
        let seconds = header::HeaderValue::from_static(RETRY_AFTER_SECONDS);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
        response
    };
    match error {
        E::TooLarge { .. } => answer(StatusCode::PAYLOAD_TOO_LARGE, &told),
        E::QueueFull | E::StorageFull { .. } | E::Unavailable { .. } | E::Closed => retry_later(told),
        // The events may be found after the next start, or not: a client that sends them again must say so in them.
        E::Poisoned { .. } | E::WriterPanicked => {
            retry_later(json!({ "error": error.to_string(), "unknown": true }))
        }
        E::Trimmed { .. } => answer(StatusCode::GONE, &told),
        _ => answer(StatusCode::INTERNAL_SERVER_ERROR, &told),
    }
}

fn answer(status: StatusCode, told: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], told.to_string()).into_response()
}

/// Starts the service, talks to it, and looks at what it wrote.
async fn check_itself() -> Result<(), Error> {
    let dir = tempfile::tempdir_in(".")?;
    let journal = dir.path().join("events.jsonl");
    let store = JournalOptions::new().max_record_bytes(1 << 20).open(&journal).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (end, ended) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, store.clone(), async move { drop(ended.await) }));
    let post = async |body: &str| request(TcpStream::connect(address).await?, "POST", "/events", body).await;
    let get = async |path: &str| request(TcpStream::connect(address).await?, "GET", path, "").await;

    let taken = post("{\"n\":1}\n[2,  3]\n\n\"four\"\n").await?;
    assert_eq!((taken.status, taken.told()), (200, json!({ "first_seq": 1, "records": 3 })));
    assert_eq!(store.durable_seq(), 3, "200 means durable");
    let bad = post("{\"n\":5}\n{\"n\":}\n{\"n\":7}\n").await?;
    assert_eq!((bad.status, &bad.told()["line"]), (400, &json!(2)), "{}", bad.body);
    assert_eq!(post("").await?.status, 400);
    let too_large = format!("{}1", "7\n".repeat(BODY_BYTES_MAX / 2));
    assert_eq!(post(&too_large).await?.status, 413, "the body");
    assert_eq!(post(&format!("1\n\"{}\"\n", "x".repeat(2 << 20))).await?.status, 413, "an event");
    assert_eq!(store.durable_seq(), 3, "nothing of a refused request is written");
    assert_eq!((get("/events/2").await?.body.as_str(), get("/events/4").await?.status), ("[2,  3]", 404));
    for error in [MiniStoreError::QueueFull, MiniStoreError::Closed] {
        let refused = refuse(&error);
        let retry = refused.headers().contains_key(header::RETRY_AFTER);
        assert!(refused.status() == StatusCode::SERVICE_UNAVAILABLE && retry, "{error}");
    }

    let begun = begin(address, 9).await?;
    assert!(end.send(()).is_ok(), "the service ended by itself");
    let finished = request_body(begun, "{\"n\":8}\r\n").await?;
    assert_eq!((finished.status, finished.told()), (200, json!({ "first_seq": 4, "records": 1 })));
    serving.await??;
    assert!(matches!(store.append(&9).await, Err(MiniStoreError::Closed)));

    let found: Vec<Value> = MiniStore::replay(&journal).await?;
    assert_eq!(found, [json!({ "n": 1 }), json!([2, 3]), json!("four"), json!({ "n": 8 })]);
    println!("{} events in two requests, durable; five requests refused whole", found.len());
    Ok(())
}

/// What the service said.
struct Answered {
    status: u16,
    body: String,
}

impl Answered {
    fn told(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// One request on a connection of its own.
async fn request(mut stream: TcpStream, method: &str, path: &str, body: &str) -> Result<Answered, Error> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    request_body(stream, body).await
}

/// Sends the body, and reads the answer. A service that refuses a body need not read all of it.
async fn request_body(mut stream: TcpStream, body: &str) -> Result<Answered, Error> {
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let read = async {
        let mut part = [0; 4096];
        loop {
            match reading.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(count) => answer.extend_from_slice(&part[..count]),
            }
        }
    };
    tokio::join!(read, async { drop(writing.write_all(body.as_bytes()).await) });
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok(Answered { status, body: body.into() })
}

/// A request whose body is still to come. It is being handled: the service has asked for the body.
async fn begin(address: std::net::SocketAddr, bytes: usize) -> Result<TcpStream, Error> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /events HTTP/1.1\r\nHost: here\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut go_on = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).await?;
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    Ok(stream)
}
