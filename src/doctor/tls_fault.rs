//! Why a TLS handshake failed, and what to do about it.

use std::io;

use rustls::CertificateError;

/// What to do where the issuer is not trusted.
const TRUST: &str = "if a certificate authority of your own issued it, name its PEM file in \
    upstream.ca_file (GATEWAY_UPSTREAM__CA_FILE) or SSL_CERT_FILE; else something on the way \
    replaces the certificate, or the server does not send its whole chain";
const NAME: &str = "use the host name that the certificate is for, or have one issued for this one";
const EXPIRED: &str = "have the certificate renewed; if it is still good, this machine's clock is \
    wrong: run NTP";
const NO_TLS: &str = "check the scheme and the port: what answers there speaks no TLS, or none that \
    is current (1.2 and 1.3 are)";

/// What happened in `error`, which a handshake failed with, and the fix.
pub(super) fn describe(error: &io::Error) -> (String, &'static str) {
    let Some(fault) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return (error.to_string(), NO_TLS);
    };
    let rustls::Error::InvalidCertificate(fault) = fault else {
        return (fault.to_string(), NO_TLS);
    };
    if is_about_name(fault) {
        (
            format!("the certificate is for another name: {fault}"),
            NAME,
        )
    } else if is_about_time(fault) {
        (
            format!("the certificate is out of its time: {fault}"),
            EXPIRED,
        )
    } else {
        (format!("the certificate is not trusted: {fault}"), TRUST)
    }
}

fn is_about_name(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    )
}

fn is_about_time(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fault: CertificateError) -> (String, &'static str) {
        let error = rustls::Error::InvalidCertificate(fault);
        describe(&io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn each_kind_of_fault_has_its_own_fix() {
        let (what, fix) = told(CertificateError::UnknownIssuer);
        assert!(
            what.contains("not trusted") && fix.contains("upstream.ca_file"),
            "{what}"
        );
        let (what, fix) = told(CertificateError::NotValidForName);
        assert!(what.contains("another name") && fix == NAME, "{what}");
        let (what, fix) = told(CertificateError::Expired);
        assert!(
            what.contains("out of its time") && fix.contains("NTP"),
            "{what}"
        );
        let (_, fix) = describe(&io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!(fix, NO_TLS);
    }
}
