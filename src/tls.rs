//! TLS in both directions, and the only file that builds rustls configurations.
//!
//! One crypto provider (aws-lc-rs), TLS 1.2 and 1.3. Outgoing: webpki-roots built in (an empty
//! container image has no roots), plus the files that are configured. Incoming: one certificate,
//! ALPN `h2` and `http/1.1`.

use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroize as _;

/// Why certificates or keys cannot be used. Never quotes the file's content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the PEM.
    #[error("no certificate found: expected PEM with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// No private key in the PEM.
    #[error("no private key found: expected PEM with -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// Certificate and key do not belong together, or cannot be used.
    #[error("certificate or key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// For calls to servers: the built-in roots and those in `extra_roots` (PEM).
///
/// # Errors
/// A PEM without a certificate, or one that rustls refuses.
pub fn client_config(extra_roots: &[Vec<u8>]) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for pem in extra_roots {
        for certificate in certificates(pem)? {
            roots.add(certificate)?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// For callers: one certificate chain and its key, both PEM.
///
/// # Errors
/// A PEM without a certificate or key, or a pair that does not match.
pub fn server_config(
    certificate_pem: &[u8],
    key_pem: &[u8],
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| TlsError::NoKey)?;
    // `with_single_cert` would take the key and give its memory back as it is.
    let signing = any_supported_type(&key);
    key.zeroize();
    let certified = CertifiedKey::new(certificates(certificate_pem)?, signing?);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(error) => return Err(error.into()),
    }
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificate)?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    Ok(found)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_its_key_are_accepted_and_a_stranger_key_is_not() {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = own.cert.pem();
        let key = own.signing_key.serialize_pem();
        assert!(server_config(certificate.as_bytes(), key.as_bytes()).is_ok());
        let stranger = other.signing_key.serialize_pem();
        assert!(matches!(
            server_config(certificate.as_bytes(), stranger.as_bytes()),
            Err(TlsError::Unusable(_))
        ));
        assert!(client_config(&[certificate.into_bytes()]).is_ok());
    }

    #[test]
    fn a_file_without_pem_is_named_as_such() {
        assert!(matches!(
            server_config(b"junk", b"junk"),
            Err(TlsError::NoKey)
        ));
        assert!(matches!(
            client_config(&[b"junk".to_vec()]),
            Err(TlsError::NoCertificate)
        ));
    }
}
