//! An exchange that may end in another protocol (RFC 9110 section 7.8), on a connection of its own.

use http::{Request, Response, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::lease::ResponseBody;
use super::{Client, ClientError, SendBody, Wire, classify};

/// What came of asking for another protocol.
pub enum Switch {
    /// The other side speaks it from here on.
    Switched(Response<()>, Switched),
    /// It stays with HTTP.
    Answered(Response<ResponseBody>),
}

/// The connection, after the head of the answer. Dropping it closes it.
pub type Switched = TokioIo<Upgraded>;

impl Client {
    /// Sends `request`, which asks for another protocol, on a fresh connection.
    ///
    /// # Errors
    /// No connection, no answer in time, or an answer that is not HTTP.
    pub async fn switch(&self, request: Request<SendBody>) -> Result<Switch, ClientError> {
        let mut lease = self.connect(start).await?;
        lease.watch().begin(false);
        let answer = lease.sender().send_request(request);
        let answer = self.in_time(None, answer).await?;
        let mut response = answer.map_err(classify)?;
        lease.watch().answered();
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let response = response.map(|incoming| ResponseBody::new(incoming, lease));
            return Ok(Switch::Answered(response));
        }
        let switched = hyper::upgrade::on(&mut response);
        let switched = TokioIo::new(switched.await.map_err(ClientError::Closed)?);
        Ok(Switch::Switched(response.map(drop), switched))
    }
}

fn start(wire: Wire) -> AbortHandle {
    let driver = async {
        if let Err(error) = wire.with_upgrades().await {
            tracing::debug!(%error, "connection that asked for another protocol ended");
        }
    };
    tokio::spawn(driver).abort_handle()
}
