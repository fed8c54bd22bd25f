//! What reaches the socket, write by write.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};

use super::super::behest::Behest;
use super::super::connection::{Resettable, serve};
use super::super::record::OpenConnection;
use super::super::time::unix_seconds;
use super::super::token::{ISSUER, sign};
use super::super::{FIXTURE_PROJECT, FIXTURE_TENANT};
use super::*;

/// A stream that notes every write.
struct Noted {
    stream: DuplexStream,
    writes: Arc<Mutex<Vec<String>>>,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.writes.lock().unwrap().push(text);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Resettable for Noted {
    fn reset_on_drop(&self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_event_is_one_write_even_without_a_pause() {
    let config = EmulatorConfig {
        frame_delay: Duration::ZERO,
        signing_key: Some(signing_key()),
        ..EmulatorConfig::default()
    };
    let behest = Arc::new(Behest::new(config).unwrap());
    let now = unix_seconds();
    let claims = json!({"iss": ISSUER, "tid": FIXTURE_TENANT, "pid": FIXTURE_PROJECT, "uid": "ada",
        "sid": "s1", "role": "user", "iat": now, "nbf": now, "exp": now + 60});
    let token = sign(&behest.signing_key, &claims).unwrap();
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (mut client, stream) = tokio::io::duplex(1 << 20);
    let writes = Arc::new(Mutex::new(Vec::new()));
    let noted = Noted {
        stream,
        writes: Arc::clone(&writes),
    };
    client.write_all(request.as_bytes()).await.unwrap();
    let open = OpenConnection::new(&behest.log);
    serve(behest, noted, open).await;
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    let writes = writes.lock().unwrap();
    let events = all.matches("data: ").count();
    assert!(events > 60);
    let with_events: Vec<&String> = writes.iter().filter(|w| w.contains("data: ")).collect();
    assert_eq!(with_events.len(), events);
}
