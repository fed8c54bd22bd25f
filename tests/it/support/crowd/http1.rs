//! Callers on HTTP/1.1: connections that many users share in turn, some of them pipelined.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Crowd;
use super::framing::Wire;
use super::in_time;
use super::plan::{Leave, Plan};
use super::tally::{Came, Outcome};

/// One connection after another, until there is nothing more to send.
pub async fn call(crowd: Arc<Crowd>, address: SocketAddr) {
    let mut wire = None;
    let mut turn = 0_u64;
    loop {
        turn += 1;
        let plans = crowd.take(if turn.is_multiple_of(8) { 3 } else { 1 });
        if plans.is_empty() {
            return;
        }
        let mut open = match wire.take() {
            Some(open) => open,
            None => Wire::new(TcpStream::connect(address).await.unwrap()),
        };
        let (mut left, numbers) = (
            plans.as_slice(),
            format!("{:?}", plans.first().map(Plan::id)),
        );
        match in_time(exchange(&crowd, address, &mut open, &mut left)).await {
            Some(Next::Keep) => wire = Some(open),
            Some(Next::Close) if turn.is_multiple_of(2) => open.reset(),
            Some(Next::Close) => {}
            None => crowd
                .tally
                .wrong(format!("no end within the time: {numbers}")),
        }
        for _ in left {
            crowd.tally.count(Outcome::Lost);
        }
    }
}

/// What becomes of the connection.
enum Next {
    Keep,
    Close,
}

/// Sends all of `plans` at once and reads their answers in turn; those that are done are taken off.
async fn exchange(
    crowd: &Crowd,
    address: SocketAddr,
    wire: &mut Wire,
    plans: &mut &[Plan<'_>],
) -> Next {
    let mut text = Vec::new();
    for plan in *plans {
        text.extend_from_slice(request(plan, address).as_bytes());
        if matches!(plan.leave, Some(Leave::InHead | Leave::InBody)) {
            break;
        }
    }
    if let Err(error) = wire.write(&text).await {
        // Only one who pipelines behind a broken answer can find the connection closed.
        crowd
            .tally
            .wrong(format!("a connection that was kept is closed: {error}"));
        return Next::Close;
    }
    while let Some((plan, rest)) = plans.split_first() {
        match plan.leave {
            Some(Leave::InHead | Leave::InBody) => {}
            Some(Leave::Waiting) => sleep(Duration::from_millis(plan.dice % 6)).await,
            Some(Leave::MidAnswer) => begin(wire).await,
            None => {
                *plans = rest;
                match answer(crowd, plan, wire).await {
                    Next::Keep => continue,
                    Next::Close => return Next::Close,
                }
            }
        }
        *plans = rest;
        crowd.tally.count(Outcome::Left);
        return Next::Close;
    }
    Next::Keep
}

/// The request, or as much of it as its caller sends.
fn request(plan: &Plan<'_>, address: SocketAddr) -> String {
    let (method, target, cookie, id) = (plan.method(), plan.target(), plan.cookie(), plan.id());
    let mut text = format!(
        "{method} {target} HTTP/1.1\r\nhost: {address}\r\ncookie: theme=dark; {cookie}\r\nx-request-id: {id}\r\n"
    );
    let body = plan.question();
    if !body.is_empty() {
        let length = body.len();
        let kind = "application/json";
        write!(text, "content-type: {kind}\r\ncontent-length: {length}\r\n").unwrap();
    }
    let head = text.len();
    text += "\r\n";
    text += &body;
    match plan.leave {
        Some(Leave::InHead) => text.truncate(usize::try_from(plan.dice).unwrap_or(7) % head),
        Some(Leave::InBody) => text.truncate(head + 2 + body.len() / 2),
        Some(Leave::Waiting | Leave::MidAnswer) | None => {}
    }
    text
}

/// Reads one answer and judges it.
async fn answer(crowd: &Crowd, plan: &Plan<'_>, wire: &mut Wire) -> Next {
    let head = match wire.head().await {
        Ok(Some(head)) => head,
        Ok(None) => return unanswered(crowd, plan, "closed"),
        Err(error) => return unanswered(crowd, plan, &error.to_string()),
    };
    let mut body = Vec::new();
    let read: io::Result<()> = wire.body(&head, &mut body).await;
    let field = |name: &str| head.field(name).map(str::to_owned);
    crowd.tally.judge(
        plan,
        &Came {
            status: head.status(),
            header: &field,
            body: &body,
            whole: read.is_ok(),
        },
    );
    if read.is_err() || head.field("connection") == Some("close") {
        return Next::Close;
    }
    Next::Keep
}

fn unanswered(crowd: &Crowd, plan: &Plan<'_>, why: &str) -> Next {
    let what = format!(
        "request {} ({:?}): no answer: {why}",
        plan.number, plan.fault
    );
    crowd.tally.wrong(what);
    Next::Close
}

/// Reads some of an answer.
async fn begin(wire: &mut Wire) {
    // Whatever comes, its caller is leaving.
    if let Ok(Some(head)) = wire.head().await
        && head.has("transfer-encoding")
    {
        let _ = timeout(Duration::from_millis(50), wire.chunk(&mut Vec::new())).await;
    }
}
