//! Owns one connection, or one time in which a FIFO had writers: what comes in is taken on one side ([`Taker`]) and
//! answered on the other ([`Teller`]), so that lines are read while others are on their way to the disk. Between them are
//! at most [`ANSWERS_AHEAD`] batches; where the journal or the client is slow, nothing more is read.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    sync::mpsc,
    time::timeout,
};

use super::{
    counts::Present,
    limits::{ANSWERS_AHEAD, LINGER_TIME},
    lines::Lines,
    service::Service,
    take::{Taken, Taker},
    tell::{Teller, Told},
};

/// Who sends.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// For warnings.
    pub(super) name: String,
    /// Anybody who writes to a FIFO: there is nobody to be greeted, told or disconnected.
    pub(super) is_fifo: bool,
}

/// Until the client has ended, has been disconnected, or the service ends.
pub(super) async fn serve<R, W>(service: &Service, origin: &Origin, mut reader: R, writer: W) -> Taken
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let _present = Present::new(&service.counts);
    let (answers, to_tell) = mpsc::channel(ANSWERS_AHEAD);
    let mut taker = Taker::new(service, origin, answers);
    let lines = Lines::new(&mut reader, taker.line_bytes_max(), service.memory.clone());
    let teller = Teller::new(service, origin, writer);
    let (taken, told) = tokio::join!(taker.run(lines), teller.run(to_tell));
    tracing::info!("{}: {taken:?}, {told:?}", origin.name);
    // What the client has sent and nobody has read would reset the connection, and the last answer with it.
    if taken != Taken::All && told != Told::Broken && !origin.is_fifo {
        drop(timeout(LINGER_TIME, discard(reader)).await);
    }
    if told == Told::Failed { Taken::Failed } else { taken }
}

/// Reads until the other side has ended.
pub(super) async fn discard(mut reader: impl AsyncRead + Unpin) {
    let mut part = [0; 4096];
    while reader.read(&mut part).await.is_ok_and(|count| count > 0) {}
}
