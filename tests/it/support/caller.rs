//! Callers: one connection each, HTTP/1.1 or HTTP/2, closed when dropped.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The protocol to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// One connection to a gateway.
pub struct Caller {
    sender: Sender,
    driver: JoinHandle<()>,
    address: SocketAddr,
}

enum Sender {
    Http1(http1::SendRequest<SentBody>),
    Http2(http2::SendRequest<SentBody>),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type SentBody = UnsyncBoxBody<Bytes, BoxError>;

impl Caller {
    pub async fn connect(address: SocketAddr, protocol: Protocol) -> Self {
        let connected = Self::try_connect(address, protocol).await;
        connected.expect("nobody listens")
    }

    /// The same; `None` where nobody listens.
    pub async fn try_connect(address: SocketAddr, protocol: Protocol) -> Option<Self> {
        let socket = TcpStream::connect(address).await.ok()?;
        socket.set_nodelay(true).unwrap();
        let io = TokioIo::new(socket);
        let (sender, driver) = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.ok()?;
                let driver = tokio::spawn(async move { drop(connection.await) });
                (Sender::Http1(sender), driver)
            }
            Protocol::Http2 => {
                let handshake = http2::handshake(TokioExecutor::new(), io);
                let (sender, connection) = handshake.await.ok()?;
                let driver = tokio::spawn(async move { drop(connection.await) });
                (Sender::Http2(sender), driver)
            }
        };
        Some(Self {
            sender,
            driver,
            address,
        })
    }

    /// Waits until a request can be sent; false once the connection has ended.
    pub async fn is_ready(&mut self) -> bool {
        let ready = match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        };
        ready.is_ok()
    }

    /// Sends one request and returns when the head of its answer is there.
    pub async fn send<B>(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                let (mut head, body) = request.into_parts();
                let authority = head.headers.remove("host").map_or_else(
                    || self.address.to_string(),
                    |host| host.to_str().unwrap().to_owned(),
                );
                head.uri = format!("http://{authority}{}", head.uri).parse().unwrap();
                sender.send_request(Request::from_parts(head, body)).await
            }
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The gateway's code word.
    pub fn code(&self) -> Option<&str> {
        self.headers.get("x-gateway-error")?.to_str().ok()
    }
}

/// One request on a connection of its own.
pub async fn ask(address: SocketAddr, protocol: Protocol, request: Request<Full<Bytes>>) -> Answer {
    let mut caller = Caller::connect(address, protocol).await;
    let response = caller.send(request).await.unwrap();
    whole(response).await.unwrap()
}

/// Reads an answer to its end.
pub async fn whole(response: Response<Incoming>) -> hyper::Result<Answer> {
    let (head, body) = response.into_parts();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    })
}

/// A chat request with `cookie`.
pub fn chat(address: SocketAddr, cookie: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = serde_json::json!({
        "model": "emulator",
        "stream": stream,
        "messages": [{ "role": "user", "content": "hello" }],
    });
    chat_of(address, cookie, &body)
}

/// A chat request with `cookie` and this body.
pub fn chat_of(address: SocketAddr, cookie: &str, body: &Value) -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .header("cookie", cookie)
        .body(Full::new(body.to_string().into()))
        .unwrap()
}

/// A GET of `path` with `cookie`.
pub fn get(address: SocketAddr, path: &str, cookie: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", address.to_string())
        .header("cookie", cookie)
        .body(Full::default())
        .unwrap()
}
