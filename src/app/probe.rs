//! Whether the app answers: a question of the gateway's own, apart from what pages ask.
//!
//! Guarantees: at most one at a time, and who asks meanwhile or within a second gets its outcome; it is
//! over within 2 s; it uses no connection that a page's request uses, and nothing of a page's.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::{Client, ClientError, SendBody};

/// For a connection and the head of the answer.
const WITHIN: Duration = Duration::from_secs(2);

/// How long an outcome counts.
const KEPT: Duration = Duration::from_secs(1);

/// Asks one app.
pub(super) struct Prober {
    client: Client,
    path: PathAndQuery,
    last: Mutex<Option<(Instant, Arc<Probed>)>>,
}

/// What came of a question.
#[derive(Debug)]
pub struct Probed {
    /// The status of the answer, whatever it is.
    pub answered: Result<StatusCode, ClientError>,
    /// How long it took.
    pub took: Duration,
}

impl Prober {
    /// Asks for `path`, on connections of its own.
    pub(super) fn new(client: &Client, path: PathAndQuery) -> Self {
        Self {
            client: client.with_own_pools(),
            path,
            last: Mutex::new(None),
        }
    }

    pub(super) async fn probe(&self) -> Arc<Probed> {
        // Held while the app is asked: who comes meanwhile waits for the outcome.
        let mut last = self.last.lock().await;
        if let Some((at, probed)) = &*last
            && at.elapsed() < KEPT
        {
            return Arc::clone(probed);
        }
        let began = Instant::now();
        let answer = tokio::time::timeout(WITHIN, self.client.send(self.request())).await;
        let answer = answer.unwrap_or(Err(ClientError::FirstByteTimeout(WITHIN)));
        let probed = Arc::new(Probed {
            answered: answer.map(|response| response.status()),
            took: began.elapsed(),
        });
        *last = Some((Instant::now(), Arc::clone(&probed)));
        probed
    }

    fn request(&self) -> Request<SendBody> {
        let mut request = Request::new(SendBody::from(Full::default()));
        *request.uri_mut() = Uri::from(self.path.clone());
        let headers = request.headers_mut();
        headers.insert(HOST, self.client.host().clone());
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        request
    }
}
