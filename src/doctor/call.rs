//! One call to another server, bounded in time, and what it means that there was no answer.
//!
//! Guarantees: no call takes longer than [`WITHIN`], of an answer's body at most 64 KB are read, and
//! no redirect is followed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};

use super::finding::Finding;
use super::tls_fault;
use crate::client::{Client, ClientError, ConnectError, ResponseBody, SendBody};
use crate::telemetry;

/// No call takes longer.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

/// What is read of a body.
const BODY: usize = 64 * 1024;

/// Another server.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) client: Client,
    /// Its origin, `scheme://host[:port]`.
    pub(super) origin: String,
    /// Whether a proxy is on the way there.
    pub(super) is_proxied: bool,
    /// Whether what is sent there can be read on the way.
    pub(super) is_exposed: bool,
}

/// How far a call that failed came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Not to a connection.
    Connect,
    /// Not through the TLS handshake.
    Tls,
    /// It found no HTTP.
    Http,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) what: String,
    pub(super) fix: String,
}

impl Server {
    /// Sends `request`; the answer with the beginning of its body.
    pub(super) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Failure> {
        let whole = async {
            let (head, body) = self.open(request).await?.into_parts();
            Ok(Response::from_parts(head, beginning(body).await))
        };
        tokio::time::timeout(WITHIN, whole)
            .await
            .unwrap_or_else(|_| Err(self.late()))
    }

    /// Sends `request`; the answer when its head is there.
    pub(super) async fn open(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<ResponseBody>, Failure> {
        let agent = concat!("behest-gateway-doctor/", env!("CARGO_PKG_VERSION"));
        let headers = request.headers_mut();
        headers.insert(HOST, self.client.host().clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let answer = self.client.send(request.map(SendBody::from));
        match tokio::time::timeout(WITHIN, answer).await {
            Ok(answer) => answer.map_err(|error| self.failure(&error)),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> Failure {
        let within = humantime::format_duration(WITHIN);
        Failure {
            step: Step::Http,
            what: format!("{} did not answer within {within}", self.origin),
            fix:
                "see whether that server is overloaded, or whether something on the way holds its \
                  answers back"
                    .to_owned(),
        }
    }

    fn failure(&self, error: &ClientError) -> Failure {
        let origin = &self.origin;
        match error {
            ClientError::Connect(ConnectError::Reach { source, .. }) => {
                self.no_connection(&telemetry::chain(source.as_ref()))
            }
            ClientError::Connect(ConnectError::Tls { source, .. }) => {
                let (what, fix) = tls_fault::describe(source);
                Failure {
                    step: Step::Tls,
                    what: format!("no TLS with {origin}: {what}"),
                    fix: fix.to_owned(),
                }
            }
            ClientError::ConnectTimeout(within) => {
                let within = humantime::format_duration(*within);
                self.no_connection(&format!("nothing came back within {within}"))
            }
            ClientError::FirstByteTimeout(_) => self.late(),
            ClientError::Closed(_)
            | ClientError::Invalid(_)
            | ClientError::Cut(_)
            | ClientError::TooLarge(_) => Failure {
                step: Step::Http,
                what: format!("{origin} gave no HTTP answer: {}", telemetry::chain(error)),
                fix: "check the scheme and the port: what listens there may speak another protocol"
                    .to_owned(),
            },
        }
    }

    fn no_connection(&self, why: &str) -> Failure {
        let origin = &self.origin;
        let fix = if self.is_proxied {
            format!(
                "check HTTPS_PROXY and that its proxy lets this machine reach {origin}; NO_PROXY \
                 names the hosts that need none"
            )
        } else if why.contains("refused") {
            format!("nothing listens there: check host and port of {origin}, and that it runs")
        } else {
            format!(
                "check the name and that this machine may reach {origin} (firewall, NetworkPolicy); \
                 behind a proxy set HTTPS_PROXY"
            )
        };
        Failure {
            step: Step::Connect,
            what: format!("cannot connect to {origin}: {why}"),
            fix,
        }
    }
}

/// Makes all `calls` at the same time; their findings, in order.
pub(super) async fn at_once<C>(calls: impl Iterator<Item = C>) -> Vec<Finding>
where
    C: Future<Output = Finding> + Send + 'static,
{
    let calls: Vec<_> = calls.map(tokio::spawn).collect();
    let mut findings = Vec::with_capacity(calls.len());
    for call in calls {
        // A panic has been printed.
        findings.extend(call.await);
    }
    findings
}

/// A GET of `path`; `/` where that is no path.
pub(super) fn get(path: &str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
    request
}

/// What comes of `body` up to its end, its limit, or its breaking off.
async fn beginning(mut body: ResponseBody) -> Bytes {
    let mut read = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            let room = BODY.saturating_sub(read.len());
            read.extend_from_slice(data.get(..room).unwrap_or(&data));
        }
        if read.len() >= BODY {
            break;
        }
    }
    read.freeze()
}

/// A header's value as text; empty where there is none.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Whether the answer is a page for people.
pub(super) fn is_html(headers: &HeaderMap) -> bool {
    text(headers, "content-type").starts_with("text/html")
}

/// Where a redirect leads, without its path, which may hold what is nobody's business; `None` within
/// the same origin.
pub(super) fn elsewhere(headers: &HeaderMap, own: &str) -> Option<String> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    origin_of(location).filter(|origin| origin != own)
}

/// `scheme://host[:port]` of an absolute URL, as browsers write it.
pub(super) fn origin_of(url: &str) -> Option<String> {
    let url: Uri = url.trim().parse().ok()?;
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    let host = authority.host().to_ascii_lowercase();
    let own_port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    Some(match authority.port_u16() {
        Some(port) if port != own_port => format!("{scheme}://{host}:{port}"),
        Some(_) | None => format!("{scheme}://{host}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it_and_without_credentials() {
        for (url, origin) in [
            ("https://App.example/a?b", Some("https://app.example")),
            ("https://app.example:443/", Some("https://app.example")),
            ("http://localhost:3000/x", Some("http://localhost:3000")),
            ("https://me:pw@app.example/", Some("https://app.example")),
            ("/relative", None),
            ("mailto:a@b", None),
            ("", None),
        ] {
            assert_eq!(origin_of(url).as_deref(), origin, "{url}");
        }
    }
}
