//! Makes clients for any origin, all with the same trusted roots and the same proxies.

use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::{Client, ClientConfig, Connector, OriginError};

/// What all clients of one configuration have in common.
pub struct Outbound {
    tls: Arc<rustls::ClientConfig>,
    proxies: Matcher,
    workers: usize,
}

impl Outbound {
    /// Clients that trust what `tls` trusts, and go by way of the proxies that `proxies` names.
    #[must_use]
    pub fn new(tls: Arc<rustls::ClientConfig>, proxies: Matcher) -> Self {
        Self {
            tls,
            proxies,
            workers: 1,
        }
    }

    /// For so many worker threads.
    #[must_use]
    pub fn for_workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// The worker threads that call: a client has pools for each.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// A client for `origin` (its path is not looked at), with connections of its own.
    ///
    /// # Errors
    /// An origin that cannot be called, or a proxy for it that is not an HTTP proxy.
    pub fn client(&self, origin: &Uri, config: ClientConfig) -> Result<Client, OriginError> {
        let connector = Connector::new(origin, &self.tls, &self.proxies)?;
        Ok(Client::new(connector, config))
    }

    /// Whether a proxy is on the way to `origin`.
    #[must_use]
    pub fn is_proxied(&self, origin: &Uri) -> bool {
        self.proxies.intercept(origin).is_some()
    }
}
