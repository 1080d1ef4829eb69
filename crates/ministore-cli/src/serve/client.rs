//! Serves one connection, or a FIFO while it has writers. [`ClientReader`] reads and submits lines while [`ClientWriter`] waits
//! for earlier ones and sends responses. At most [`MAX_PIPELINED_BATCHES`] batches are between them: if the journal or the
//! client is slow, reading pauses.

use std::mem;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::timeout,
};

use super::{
    client_reader::{ClientReader, ReadOutcome},
    client_writer::{ClientWriter, WriteEnd},
    limits::{LINGER_TIMEOUT, MAX_PIPELINED_BATCHES},
    lines::{Lines, Rest},
    metrics::{ConnectionGuard, RefuseReason},
    service::Service,
    unread::UnreadLines,
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
pub(super) async fn serve<R, W>(service: &Service, peer: &PeerInfo, mut reader: R, writer: W)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut rest = Rest::default();
    let end = serve_until_end(service, peer, &mut reader, writer, &mut rest).await;
    let mut unread = UnreadLines::of(&rest);
    // Unread data would reset the connection, and the last response could be lost.
    if end.read != ReadOutcome::Complete && end.write != WriteEnd::Disconnected {
        drop(timeout(LINGER_TIMEOUT, unread.discard(reader)).await);
    }
    service.metrics.count_unread(end.refuse_reason, unread.lines());
}

/// The way a connection ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionEnd {
    pub(super) read: ReadOutcome,
    pub(super) write: WriteEnd,
    /// Why input that is left is refused.
    pub(super) refuse_reason: RefuseReason,
}

/// The same, but returns the input that was received and not examined in `rest`, whose content is examined first.
pub(super) async fn serve_until_end<R, W>(
    service: &Service,
    peer: &PeerInfo,
    reader: R,
    writer: W,
    rest: &mut Rest,
) -> ConnectionEnd
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let _guard = ConnectionGuard::new(&service.metrics);
    let (responses, to_send) = mpsc::channel(MAX_PIPELINED_BATCHES);
    let reader_side = ClientReader::new(service, peer, responses);
    let (longest, memory) = (reader_side.max_record_bytes(), service.memory.clone());
    let lines = Lines::new(reader, mem::take(rest), longest, memory, !peer.is_fifo);
    let writer_side = ClientWriter::new(service, peer, writer);
    let ((read, refuse_reason, left), write) = tokio::join!(reader_side.run(lines), writer_side.run(to_send));
    tracing::info!("{}: connection closed: {read}, {write}", peer.name);
    *rest = left;
    ConnectionEnd { read, write, refuse_reason }
}
