//! Opens connections to one origin: DNS and happy eyeballs, an HTTP proxy where the environment
//! names one, TLS, `TCP_NODELAY`.
//!
//! The name is resolved anew for each connection, so that a pool follows DNS.

use std::io;
use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower_service::Service;

use super::BoxError;

/// A connection, plain or TLS; a plain one does not carry the size of the other.
pub(super) type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Name not found, refused, unreachable, or the proxy would not.
    #[error("cannot reach {host}")]
    Reach {
        /// The origin's host and port.
        host: String,
        /// What the system or the proxy said.
        #[source]
        source: BoxError,
    },
    /// The TLS handshake failed: most often a certificate that is not trusted.
    #[error("TLS handshake with {host} failed")]
    Tls {
        /// The origin's host and port.
        host: String,
        /// What rustls said.
        #[source]
        source: io::Error,
    },
}

/// Why an origin cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// Not `http(s)://host[:port]`.
    #[error("not an http:// or https:// origin")]
    NotAnOrigin,
    /// A host that is neither a DNS name nor an address.
    #[error("its host is neither a DNS name nor an IP address")]
    Host,
    /// `HTTPS_PROXY` names something other than an HTTP proxy.
    #[error("the proxy in the environment is not an http:// proxy")]
    Proxy,
}

/// Opens connections to one origin.
pub struct Connector {
    origin: Uri,
    host: HeaderValue,
    path: Path,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

enum Path {
    Direct(HttpConnector),
    Proxied(Tunnel<HttpConnector>),
}

impl Connector {
    /// A connector to `origin`, by way of the proxy that `proxies` names for it.
    ///
    /// # Errors
    /// An origin that cannot be called, or a proxy that is not an HTTP proxy.
    pub fn new(
        origin: &Uri,
        tls: &Arc<rustls::ClientConfig>,
        proxies: &Matcher,
    ) -> Result<Self, OriginError> {
        let authority = origin.authority().ok_or(OriginError::NotAnOrigin)?;
        let port = match (origin.scheme_str(), authority.port_u16()) {
            (_, Some(port)) => port,
            (Some("https"), None) => 443,
            (Some("http"), None) => 80,
            _ => return Err(OriginError::NotAnOrigin),
        };
        let tls = if origin.scheme_str() == Some("https") {
            let name = authority.host().trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(name).map_err(|_| OriginError::Host)?;
            Some((TlsConnector::from(Arc::clone(tls)), name))
        } else {
            None
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(std::time::Duration::from_mins(1)));
        let path = match proxies.intercept(origin) {
            None => Path::Direct(tcp),
            Some(proxy) if proxy.uri().scheme_str() == Some("http") => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                if let Some(credentials) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(credentials.clone());
                }
                Path::Proxied(tunnel)
            }
            Some(_) => return Err(OriginError::Proxy),
        };
        // A port of its own in the target, so that a tunnel knows it too.
        let target = Authority::try_from(format!("{}:{port}", authority.host()))
            .map_err(|_| OriginError::Host)?;
        Ok(Self {
            origin: Uri::builder()
                .scheme("http")
                .authority(target)
                .path_and_query("/")
                .build()
                .map_err(|_| OriginError::NotAnOrigin)?,
            host: HeaderValue::from_str(authority.as_str()).map_err(|_| OriginError::Host)?,
            path,
            tls,
        })
    }

    /// The origin's `Host` value.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// One fresh connection.
    pub(super) async fn connect(&self) -> Result<Io, ConnectError> {
        let host = || {
            self.origin
                .authority()
                .map(Authority::to_string)
                .unwrap_or_default()
        };
        let target = self.origin.clone();
        let tcp = match &self.path {
            Path::Direct(direct) => direct.clone().call(target).await.map_err(BoxError::from),
            Path::Proxied(tunnel) => tunnel.clone().call(target).await.map_err(BoxError::from),
        }
        .map_err(|source| ConnectError::Reach {
            host: host(),
            source,
        })?
        .into_inner();
        match &self.tls {
            None => Ok(Either::Left(tcp)),
            Some((tls, name)) => tls
                .connect(name.clone(), tcp)
                .await
                .map(|stream| Either::Right(Box::new(stream)))
                .map_err(|source| ConnectError::Tls {
                    host: host(),
                    source,
                }),
        }
    }
}
