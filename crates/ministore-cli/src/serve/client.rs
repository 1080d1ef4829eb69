//! Serves one connection, or a FIFO while it has writers. [`ClientReader`] reads and submits lines while [`ClientWriter`] waits
//! for earlier ones and sends responses. At most [`MAX_PIPELINED_BATCHES`] batches are between them: if the journal or the
//! client is slow, reading pauses.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    sync::mpsc,
    time::timeout,
};

use super::{
    client_reader::{ClientReader, ReadOutcome},
    client_writer::{ClientWriter, WriteEnd},
    limits::{LINGER_TIMEOUT, MAX_PIPELINED_BATCHES},
    lines::Lines,
    metrics::ConnectionGuard,
    service::Service,
};

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct PeerInfo {
    /// Used in warnings.
    pub(super) name: String,
    /// The writers of a FIFO cannot be greeted, answered or disconnected.
    pub(super) is_fifo: bool,
}

/// Runs until the client has finished, is disconnected, or the service shuts down.
pub(super) async fn serve<R, W>(service: &Service, peer: &PeerInfo, mut reader: R, writer: W) -> ReadOutcome
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let _guard = ConnectionGuard::new(&service.metrics);
    let (responses, to_send) = mpsc::channel(MAX_PIPELINED_BATCHES);
    let mut reader_side = ClientReader::new(service, peer, responses);
    let lines = Lines::new(&mut reader, reader_side.max_record_bytes(), service.memory.clone());
    let writer_side = ClientWriter::new(service, peer, writer);
    let (read_end, write_end) = tokio::join!(reader_side.run(lines), writer_side.run(to_send));
    tracing::info!("{}: connection closed: read {read_end:?}, write {write_end:?}", peer.name);
    // Unread data would reset the connection, and the last response could be lost.
    if read_end != ReadOutcome::Complete && write_end != WriteEnd::Disconnected && !peer.is_fifo {
        drop(timeout(LINGER_TIMEOUT, discard(reader)).await);
    }
    if write_end == WriteEnd::Failed { ReadOutcome::StoreFailed } else { read_end }
}

/// Reads and discards until the other side closes the connection.
pub(super) async fn discard(mut reader: impl AsyncRead + Unpin) {
    let mut part = [0; 4096];
    while reader.read(&mut part).await.is_ok_and(|count| count > 0) {}
}
