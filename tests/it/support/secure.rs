//! Certificates, and callers that speak TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::caller::{Answer, whole};

/// A self-signed certificate for 127.0.0.1 and its key, both PEM.
pub struct Certificate {
    pub pem: String,
    pub key: String,
}

impl Certificate {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        Self {
            pem: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    /// Writes both into `folder` as `tls.crt` and `tls.key`.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("tls.crt"), &self.pem).unwrap();
        std::fs::write(folder.join("tls.key"), &self.key).unwrap();
    }
}

/// A client that trusts `roots` (PEM) and offers `alpn`.
pub fn client(roots: &[&Certificate], alpn: &[&str]) -> Arc<rustls::ClientConfig> {
    let pems: Vec<_> = roots
        .iter()
        .map(|root| root.pem.clone().into_bytes())
        .collect();
    let config = behest_gateway::tls::client_config(&pems).unwrap();
    let mut config = rustls::ClientConfig::clone(&config);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// A TLS connection to `address`.
pub async fn connect(
    address: SocketAddr,
    client: &Arc<rustls::ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::from(address.ip());
    TlsConnector::from(Arc::clone(client))
        .connect(name, socket)
        .await
}

/// One request on a TLS connection of its own, by the protocol that was negotiated.
pub async fn ask(
    address: SocketAddr,
    client: &Arc<rustls::ClientConfig>,
    mut request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let socket = connect(address, client).await?;
    let is_http2 = socket.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(socket);
    let response = if is_http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(async move { drop(connection.await) });
        request.headers_mut().remove("host");
        let target = format!("https://{address}{}", request.uri());
        *request.uri_mut() = target.parse()?;
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) = http1::handshake(io).await?;
        tokio::spawn(async move { drop(connection.await) });
        sender.send_request(request).await?
    };
    Ok(whole(response).await?)
}
