//! Behest in the crowd: checks that each request is what its number says, for the right user and
//! with that user's token, and answers as the plan says, faults included.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use behest_gateway::clock::unix_time;
use behest_gateway::emulator::FIXTURE_KEY;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::Crowd;
use super::framing::{Head, Wire};
use super::plan::{Fault, Kind, Leave, Plan, mix};

/// Where tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintedBy {
    /// This upstream, for the API key.
    Call,
    /// The gateway itself.
    Signature,
}

struct Upstream {
    crowd: Arc<Crowd>,
    address: SocketAddr,
    minted: MintedBy,
    /// The tokens that were refused, by request.
    refused: Mutex<HashMap<u64, String>>,
}

/// The connection is over.
struct Over;

/// Starts it on a free port.
pub async fn start(crowd: Arc<Crowd>, minted: MintedBy) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = Arc::new(Upstream {
        crowd,
        address,
        minted,
        refused: Mutex::default(),
    });
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(Arc::clone(&upstream), socket));
        }
    });
    address
}

async fn serve(upstream: Arc<Upstream>, socket: TcpStream) {
    let mut wire = Wire::new(socket);
    while let Ok(Some(head)) = wire.head().await {
        let result = if head.first.starts_with("POST /v1/auth/mint ") {
            upstream.mint(&mut wire, &head).await
        } else {
            upstream.answer(&mut wire, &head).await
        };
        match result {
            Ok(Ok(())) => {}
            Ok(Err(Over)) => return wire.reset(),
            Err(_) => return,
        }
    }
}

impl Upstream {
    fn wrong(&self, plan: &Plan<'_>, what: &str) {
        let Plan { number, user, .. } = plan;
        let what = format!("upstream, request {number} of {}: {what}", user.id);
        self.crowd.tally.wrong(what);
    }

    async fn answer(&self, wire: &mut Wire, head: &Head) -> io::Result<Result<(), Over>> {
        let Some(number) = number(&head.first).filter(|number| *number < self.crowd.total) else {
            let what = format!("upstream: a request without a number: {}", head.first);
            self.crowd.tally.wrong(what);
            return Ok(Err(Over));
        };
        let plan = self.crowd.plan(number);
        self.check_head(&plan, head);
        let before = self.crowd.tally.saw(number);
        let refuse = plan.fault == Some(Fault::Unauthorized) && before == 0;
        if before > u8::from(plan.fault == Some(Fault::Unauthorized)) {
            self.wrong(&plan, "it was sent again");
        }
        if plan.fault == Some(Fault::Early) {
            wire.write(whole(&plan).as_bytes()).await?;
        }
        let mut body = Vec::new();
        wire.body(head, &mut body).await?;
        if body != plan.question().as_bytes() {
            self.wrong(&plan, "it has another request's body");
        }
        self.check_renewal(&plan, head, refuse);
        if refuse {
            let body = r#"{"error":{"code":"invalid_token","message":"expired"}}"#;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: {length}\r\nx-trace-id: refusal\r\n\r\n{body}"
            );
            return wire.write(answer.as_bytes()).await.map(Ok);
        }
        respond(&self.crowd, &plan, wire).await
    }

    /// Whose request it is, by everything that says so.
    fn check_head(&self, plan: &Plan<'_>, head: &Head) {
        let first = format!("{} {} HTTP/1.1", plan.method(), plan.target());
        if head.first != first {
            self.wrong(plan, &format!("it asks {}", head.first));
        }
        let host = self.address.to_string();
        let fields = [
            ("host", &*host),
            ("x-request-id", &plan.id()),
            ("x-session-id", &plan.user.session_id),
        ];
        for (name, expected) in fields {
            if head.field(name) != Some(expected) {
                self.wrong(plan, &format!("{name} is {:?}", head.field(name)));
            }
        }
        if head.has("cookie") {
            self.wrong(plan, "it has a cookie");
        }
        let claims = bearer(head).and_then(claims).unwrap_or_default();
        let tier: Value = serde_json::from_str(plan.tier()).unwrap();
        let expected = [
            ("uid", json!(plan.user.id)),
            ("tier", tier),
            ("sid", json!(plan.user.session_id)),
        ];
        for (claim, expected) in expected {
            if claims[claim] != expected {
                self.wrong(plan, &format!("its token's {claim} is {}", claims[claim]));
            }
        }
        // A request may have waited for a processor since its token was chosen.
        if claims["exp"].as_u64().unwrap_or(0) + 5 < unix_time().as_secs() {
            self.wrong(plan, "its token has ended");
        }
    }

    /// After a 401 the request comes with another token: where it is signed, with the same one if it
    /// is made within the same second.
    fn check_renewal(&self, plan: &Plan<'_>, head: &Head, refuse: bool) {
        if plan.fault != Some(Fault::Unauthorized) || self.minted == MintedBy::Signature {
            return;
        }
        let token = bearer(head).unwrap_or_default().to_owned();
        let mut refused = self.refused.lock().unwrap();
        if refuse {
            refused.insert(plan.number, token);
        } else if refused.remove(&plan.number) == Some(token) {
            self.wrong(plan, "it was sent again with the token that was refused");
        }
    }

    async fn mint(&self, wire: &mut Wire, head: &Head) -> io::Result<Result<(), Over>> {
        let mut body = Vec::new();
        wire.body(head, &mut body).await?;
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let user = asked["user_id"].as_str().unwrap_or_default();
        let known = self.crowd.users.iter().find(|known| known.id == user);
        if self.minted != MintedBy::Call
            || bearer(head) != Some(FIXTURE_KEY)
            || !asked["role"].is_null()
            || known.is_none_or(|known| asked["session_id"] != *known.session_id)
        {
            let what = format!("upstream: a mint for {asked}");
            self.crowd.tally.wrong(what);
        }
        let serial = self.crowd.tally.minted();
        let dice = mix(serial);
        sleep(Duration::from_millis(dice % 8)).await;
        let ttl = 3 + dice % 12;
        let exp = unix_time().as_secs() + ttl;
        let claims = json!({"uid": user, "tier": asked["tier"], "sid": asked["session_id"], "exp": exp, "jti": serial});
        let parts = [r#"{"alg":"RS256"}"#, &claims.to_string(), "signature"];
        let token = parts.map(|part| BASE64URL.encode(part)).join(".");
        let answer = json!({"jwt": token, "ttl": ttl, "project_id": "p"}).to_string();
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        wire.write((head + &answer).as_bytes()).await.map(Ok)
    }
}

/// The answer, with what the plan has go wrong.
async fn respond(crowd: &Crowd, plan: &Plan<'_>, wire: &mut Wire) -> io::Result<Result<(), Over>> {
    match plan.fault {
        Some(Fault::Early) => return Ok(Ok(())),
        Some(Fault::ResetBeforeHead) => return Ok(Err(Over)),
        Some(Fault::ResetMidBody | Fault::TruncatedChunk) => {
            let answer = if plan.fault == Some(Fault::TruncatedChunk) {
                chunked(plan)
            } else {
                whole(plan)
            };
            let cut = answer.len() - 8;
            wire.write(&answer.as_bytes()[..cut]).await?;
            // So that a reset does not overtake what was written.
            sleep(Duration::from_millis(2)).await;
            return match plan.fault {
                Some(Fault::TruncatedChunk) => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(Err(Over)),
            };
        }
        Some(Fault::Delay) => sleep(Duration::from_millis(plan.dice % 30)).await,
        Some(Fault::Slow) => return in_pieces(plan, wire, 4).await.map(Ok),
        _ => {}
    }
    match plan.leave {
        Some(Leave::Waiting) => {
            // The caller leaves meanwhile, and then so does the gateway.
            let _ = timeout(Duration::from_millis(30), wire.socket.readable()).await;
        }
        Some(Leave::MidAnswer) => return in_pieces(plan, wire, 2).await.map(Ok),
        _ => {}
    }
    let mut answer = if plan.kind == Kind::Stream {
        chunked(plan)
    } else {
        whole(plan)
    };
    if plan.fault == Some(Fault::Surplus) {
        answer += &whole(&crowd.plan(mix(plan.number) % crowd.total));
    }
    wire.write(answer.as_bytes()).await?;
    match plan.fault {
        Some(Fault::CloseUnsaid) => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(Ok(())),
    }
}

/// The answer, piece by piece, with pauses.
async fn in_pieces(plan: &Plan<'_>, wire: &mut Wire, pieces: usize) -> io::Result<()> {
    let answer = chunked(plan);
    for piece in answer.as_bytes().chunks(answer.len().div_ceil(pieces)) {
        wire.write(piece).await?;
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

fn head(plan: &Plan<'_>) -> String {
    let status = if plan.fault == Some(Fault::Status) {
        "500 Internal Server Error"
    } else {
        "200 OK"
    };
    let kind = if plan.kind == Kind::Stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let id = plan.id();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nx-trace-id: {id}\r\n")
}

fn whole(plan: &Plan<'_>) -> String {
    let body = plan.answer();
    format!("{}content-length: {}\r\n\r\n{body}", head(plan), body.len())
}

fn chunked(plan: &Plan<'_>) -> String {
    let mut answer = format!("{}transfer-encoding: chunked\r\n\r\n", head(plan));
    let body = plan.answer();
    let pieces: Vec<&str> = if plan.kind == Kind::Stream {
        body.split_inclusive("\n\n").collect()
    } else {
        vec![&body]
    };
    for piece in pieces {
        write!(answer, "{:x}\r\n{piece}\r\n", piece.len()).unwrap();
    }
    answer + "0\r\n\r\n"
}

fn number(first: &str) -> Option<u64> {
    let (_, rest) = first.split_once("?n=")?;
    rest.split('&').next()?.parse().ok()
}

fn bearer(head: &Head) -> Option<&str> {
    head.field("authorization")?.strip_prefix("Bearer ")
}

fn claims(token: &str) -> Option<Value> {
    let payload = BASE64URL.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}
