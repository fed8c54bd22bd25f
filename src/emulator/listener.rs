//! The listening socket: accepts, speaks TLS where it is configured, and serves.
//!
//! Every connection is a task that ends with the listener's own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::behest::Behest;
use super::config::TlsPem;
use super::connection;
use super::record::OpenConnection;

/// After a failed accept (no descriptors left) another try would fail at once.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(20);

/// A bound socket.
pub(super) struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    pub(super) async fn bind(addr: SocketAddr, tls: Option<&TlsPem>) -> io::Result<Self> {
        let tls = tls.map(acceptor).transpose()?;
        let socket = TcpListener::bind(addr).await?;
        Ok(Self { socket, tls })
    }

    pub(super) fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until it is dropped.
    pub(super) async fn run(self, behest: Arc<Behest>) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                continue;
            };
            let (behest, tls) = (Arc::clone(&behest), self.tls.clone());
            connections.spawn(greet(behest, stream, tls));
        }
    }
}

async fn greet(behest: Arc<Behest>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    let open = OpenConnection::new(&behest.log);
    // Without it Nagle's algorithm holds single events back; a socket that refuses is closed.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = tls else {
        return connection::serve(behest, stream, open).await;
    };
    if let Ok(stream) = tls.accept(stream).await {
        connection::serve(behest, stream, open).await;
    }
}

fn acceptor(pem: &TlsPem) -> io::Result<TlsAcceptor> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pem.certificates.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| invalid("the emulator's certificate is no PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(pem.key.as_bytes())
        .map_err(|_| invalid("the emulator's TLS key is no PEM"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| invalid(&format!("the emulator's certificate: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
