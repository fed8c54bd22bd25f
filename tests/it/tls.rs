//! TLS on both sides, and HTTP/2 without it.

use behest_gateway::clock::Clock;
use behest_gateway::emulator::{
    Emulator, EmulatorConfig, FIXTURE_PROJECT, FIXTURE_TENANT, SigningKey, TlsPem,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::caller::{Protocol, ask, get};
use crate::support::program::{Program, environment};
use crate::support::secure::{self, Certificate};
use crate::support::waiting::until;
use crate::support::{PATIENCE, Stage, cookie, sources};

fn file(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

async fn stage_with_tls(certificate: &Certificate, folder: &TempDir) -> Stage {
    certificate.write(folder.path());
    let (cert, key) = (file(folder, "tls.crt"), file(folder, "tls.key"));
    let env = [
        ("GATEWAY_TLS_CERT_FILE", cert.as_str()),
        ("GATEWAY_TLS_KEY_FILE", key.as_str()),
    ];
    Stage::with(&env).await
}

#[tokio::test]
async fn the_protocol_is_chosen_by_alpn_and_http_1_is_the_fallback() {
    let (certificate, folder) = (Certificate::new(), tempfile::tempdir().unwrap());
    let stage = stage_with_tls(&certificate, &folder).await;
    let address = stage.server.address();
    let cases: [(&[&str], Option<&[u8]>); 4] = [
        (&["h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&[], None),
    ];
    for (offered, chosen) in cases {
        let client = secure::client(&[&certificate], offered);
        let socket = secure::connect(address, &client).await.unwrap();
        assert_eq!(socket.get_ref().1.alpn_protocol(), chosen, "{offered:?}");
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        let answer = secure::ask(address, &client, request).await.unwrap();
        assert_eq!(answer.status, 200, "{offered:?}");
    }
}

#[tokio::test]
async fn plaintext_on_a_tls_port_is_closed_and_the_next_caller_is_served() {
    let (certificate, folder) = (Certificate::new(), tempfile::tempdir().unwrap());
    let stage = stage_with_tls(&certificate, &folder).await;
    let address = stage.server.address();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n";
    socket.write_all(head).await.unwrap();
    let mut seen = Vec::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut seen)).await;
    assert!(read.is_ok(), "it stays open");
    assert!(!seen.starts_with(b"HTTP/"), "{seen:?}");
    let client = secure::client(&[&certificate], &["h2"]);
    let request = get(address, "/v1/models", &cookie("ada", "1"));
    let answer = secure::ask(address, &client, request).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn http_2_without_tls_is_known_by_its_first_bytes_however_they_are_cut() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    let request = get(address, "/v1/models", &cookie("ada", "1"));
    assert_eq!(ask(address, Protocol::Http2, request).await.status, 200);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for part in [
        &b"PR"[..],
        b"I * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0, 0, 0, 4, 0, 0, 0, 0, 0],
    ] {
        socket.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut frame = [0; 9];
    let read = socket.read_exact(&mut frame);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame: {frame:?}");
}

async fn secure_emulator(certificate: &Certificate, key: Option<&SigningKey>) -> Emulator {
    let trusted = key.map(|key| key.trusted().unwrap());
    let emulator = Emulator::start(EmulatorConfig {
        trusted_keys: trusted.into_iter().collect(),
        tls: Some(TlsPem {
            certificates: certificate.pem.clone(),
            key: certificate.key.clone(),
        }),
        ..EmulatorConfig::default()
    });
    emulator.await.unwrap()
}

#[tokio::test]
async fn an_upstream_with_a_private_authority_is_trusted_by_its_file() {
    let (certificate, folder) = (Certificate::new(), tempfile::tempdir().unwrap());
    certificate.write(folder.path());
    let ca = file(&folder, "tls.crt");
    for variable in ["GATEWAY_UPSTREAM__CA_FILE", "SSL_CERT_FILE"] {
        let emulator = secure_emulator(&certificate, None).await;
        let sources = sources(&emulator.base_url(), &[(variable, &ca)]);
        let stage = Stage::of(emulator, sources, Clock::system());
        let address = stage.server.address();
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let request = get(address, "/v1/models", &cookie("ada", "1"));
            let answer = ask(address, protocol, request).await;
            assert_eq!(answer.status, 200, "{variable}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn an_upstream_certificate_that_nobody_vouches_for_is_refused_and_the_log_says_so() {
    let key = SigningKey::generate().unwrap();
    let emulator = secure_emulator(&Certificate::new(), Some(&key)).await;
    let behest_key = key.to_behest_key().unwrap();
    let env = [
        ("BEHEST_KEY", behest_key.as_str()),
        ("BEHEST_KID", key.kid()),
        ("BEHEST_TENANT_ID", FIXTURE_TENANT),
        ("BEHEST_PROJECT_ID", FIXTURE_PROJECT),
    ];
    let program = Program::serve(&environment(&emulator.base_url(), &env)).await;
    let request = get(program.address, "/v1/models", &cookie("ada", "1"));
    let answer = ask(program.address, Protocol::Http1, request).await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.code(), Some("upstream_unreachable"));
    assert!(!answer.text().contains("certificate"), "{}", answer.text());
    until("it is logged", async || !program.accesses().is_empty()).await;
    let reason = program.accesses()[0]["reason"].clone();
    let reason = reason.as_str().unwrap();
    assert!(reason.contains("certificate"), "{reason}");
    assert!(reason.contains("127.0.0.1"), "{reason}");
    emulator
        .log()
        .read(|seen| assert_eq!(seen.total_requests, 0));
}
