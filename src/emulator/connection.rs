//! One accepted connection: hyper serves it until a fault takes the socket away from hyper.
//!
//! A request's answer can order the connection to be closed, reset, or answered with raw bytes;
//! the order is carried out after hyper has written all that it had.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;

use super::behest::Behest;
use super::record::OpenConnection;

/// What is to be done with a connection instead of going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// End it.
    Close,
    /// Reset it.
    Reset,
    /// Write these bytes as they stand, then end it.
    Raw(Vec<u8>),
}

/// The part of a connection that answers can reach.
#[derive(Debug)]
pub(super) struct Wire {
    /// The connection's number.
    pub(super) id: u64,
    order: Mutex<Option<Order>>,
    ordered: Notify,
}

impl Wire {
    /// Gives an order; the connection carries it out as soon as hyper has nothing to write.
    pub(super) fn order(&self, order: Order) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
        self.ordered.notify_one();
    }

    fn take(&self) -> Option<Order> {
        self.order
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A stream that can be made to end with RST.
pub(super) trait Resettable: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes dropping the stream reset the connection.
    fn reset_on_drop(&self) -> io::Result<()>;
}

impl Resettable for TcpStream {
    fn reset_on_drop(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Resettable for TlsStream<TcpStream> {
    fn reset_on_drop(&self) -> io::Result<()> {
        self.get_ref().0.set_zero_linger()
    }
}

/// Serves a connection to its end.
pub(super) async fn serve<S: Resettable>(behest: Arc<Behest>, stream: S, open: OpenConnection) {
    let wire = Arc::new(Wire {
        id: open.id,
        order: Mutex::default(),
        ordered: Notify::new(),
    });
    let of_requests = Arc::clone(&wire);
    let service = service_fn(move |request: Request<Incoming>| {
        let (behest, wire) = (Arc::clone(&behest), Arc::clone(&of_requests));
        async move { Ok::<_, Infallible>(behest.answer(request, Some(wire)).await) }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    // Biased: hyper writes and flushes what it has before an order is looked at.
    let ended = tokio::select! {
        biased;
        _ = &mut connection => true,
        () = wire.ordered.notified() => false,
    };
    if ended {
        return;
    }
    let stream = connection.into_parts().io.into_inner();
    if let Some(order) = wire.take() {
        // The peer may be gone already, and then there is nobody to tell.
        let _ = carry_out(order, stream).await;
    }
}

async fn carry_out<S: Resettable>(order: Order, mut stream: S) -> io::Result<()> {
    match order {
        Order::Close => stream.shutdown().await,
        Order::Reset => stream.reset_on_drop(),
        Order::Raw(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
    }
}
