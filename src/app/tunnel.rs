//! A WebSocket between a page and the app: bytes both ways, which nobody here reads.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::client::Switched;

/// Once one side has ended, the other has this long to say what it still has.
const GOODBYE: Duration = Duration::from_secs(5);

/// The most that is under way in one direction, bytes.
const BUFFER: usize = 16 * 1024;

/// The app's end of a WebSocket that it has opened. Dropping it closes the connection.
pub struct Tunnel {
    app: Switched,
    cut: CancellationToken,
}

impl Tunnel {
    pub(super) fn new(app: Switched, cut: CancellationToken) -> Self {
        Self { app, cut }
    }

    /// Passes bytes between `page` and the app until both have ended, or one has and the other does not
    /// within 5 s, or either breaks, or the gateway ends. `ahead` is what the page sent together with its
    /// request; `passed` is told of every piece that went to the page.
    ///
    /// # Errors
    /// What broke a connection.
    pub async fn run(
        self,
        page: impl AsyncRead + AsyncWrite + Unpin,
        ahead: &[u8],
        passed: impl FnMut(usize),
    ) -> io::Result<()> {
        let Self { app, cut } = self;
        let (from_page, to_page) = tokio::io::split(page);
        let (from_app, mut to_app) = tokio::io::split(app);
        let up = async {
            to_app.write_all(ahead).await?;
            pump(from_page, to_app, |_| {}).await
        };
        let mut up = pin!(up);
        let mut down = pin!(pump(from_app, to_page, passed));
        tokio::select! {
            ended = up.as_mut() => {
                ended?;
                within(down).await
            }
            ended = down.as_mut() => {
                ended?;
                within(up).await
            }
            () = cut.cancelled() => Ok(()),
        }
    }
}

/// The other direction, as long as it is waited for.
async fn within(rest: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    // Half a WebSocket is of no use to anyone: that time is up is no fault.
    tokio::time::timeout(GOODBYE, rest).await.unwrap_or(Ok(()))
}

/// One direction, to its end.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut passed: impl FnMut(usize),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        let Some(data) = buffer.get(..read).filter(|data| !data.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(data).await?;
        to.flush().await?;
        passed(read);
    }
}
