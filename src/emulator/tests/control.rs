//! The control paths, and HTTPS.

use serde_json::json;
use tokio_rustls::TlsConnector;

use super::super::TlsPem;
use super::*;

#[tokio::test]
async fn faults_are_scripted_and_the_record_is_read_over_http() {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    let script = json!([
        {"on": "data", "action": {"kind": "status", "code": 503}},
        {"on": "/v1/models", "times": null, "action": {"kind": "garbage"}},
    ]);
    let post = |path: &str, body: &str| request("POST", path, body, &[]);
    let get = |path: &str| request("GET", path, "", &[]);
    let added = send(&emulator, post("/__emulator/faults", &script.to_string())).await;
    assert_eq!(added.status, 201);
    assert_eq!(send(&emulator, chat(&token, false)).await.status, 503);
    let left = send(&emulator, get("/__emulator/faults")).await.json();
    assert_eq!(left["faults"][0]["action"]["kind"], "garbage");
    let delete = request("DELETE", "/__emulator/faults", "", &[]);
    assert_eq!(send(&emulator, delete).await.json()["faults"], json!([]));

    let record = send(&emulator, get("/__emulator/requests")).await;
    assert!(!record.text().contains(&token) && !record.text().contains(FIXTURE_KEY));
    let record = record.json();
    assert_eq!(record["requests"][1]["fault"], "status");
    assert_eq!(record["requests"][1]["status"], 503);
    let stats = send(&emulator, get("/__emulator/stats")).await.json();
    assert_eq!(
        (&stats["mints"]["ada"], &stats["total_requests"]),
        (&json!(1), &json!(2))
    );
    send(&emulator, post("/__emulator/reset", "")).await;
    let record = send(&emulator, get("/__emulator/requests")).await.json();
    assert_eq!(record["requests"], json!([]));
}

#[tokio::test]
async fn a_control_request_that_is_wrong_or_from_a_page_is_refused() {
    let emulator = started().await;
    for body in [
        "",
        "[",
        r#"{"on":"data"}"#,
        r#"{"action":{"kind":"explode"}}"#,
    ] {
        let request = request("POST", "/__emulator/faults", body, &[]);
        assert_eq!(send(&emulator, request).await.status, 400, "{body}");
    }
    let page = [("origin", "https://evil.example")];
    let request = request("POST", "/__emulator/reset", "", &page);
    assert_eq!(send(&emulator, request).await.status, 403);
    assert!(emulator.faults().pending().is_empty());
}

#[tokio::test]
async fn control_can_be_switched_off() {
    let emulator = started_with(|config| config.control = false).await;
    let request = request("GET", "/__emulator/stats", "", &[]);
    assert_eq!(send(&emulator, request).await.status, 404);
}

#[tokio::test]
async fn it_serves_https_with_the_given_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = TlsPem {
        certificates: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    };
    let emulator = started_with(|config| config.tls = Some(pem)).await;
    assert!(emulator.base_url().starts_with("https://"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(emulator.addr()).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(std::sync::Arc::new(client))
        .connect(name, stream)
        .await
        .unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = request("GET", "/.well-known/jwks.json", "", &[]);
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    let junk = EmulatorConfig {
        tls: Some(TlsPem {
            certificates: "x".into(),
            key: "y".into(),
        }),
        ..EmulatorConfig::default()
    };
    assert!(Emulator::start(junk).await.is_err());
}
