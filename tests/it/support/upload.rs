//! A request body that a test sends piece by piece.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc;

/// The body; it ends when its [`Pieces`] are dropped.
pub struct Upload(mpsc::Receiver<io::Result<Bytes>>);

/// Where the pieces go in; waits while the connection takes no more.
pub type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// A body and the way into it.
pub fn upload() -> (Pieces, Upload) {
    let (pieces, body) = mpsc::channel(1);
    (pieces, Upload(body))
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map_ok(Frame::data)
    }
}
