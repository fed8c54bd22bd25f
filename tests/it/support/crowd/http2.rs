//! Callers on HTTP/2: connections with many users' streams at once, some of them reset, and
//! connections that end under all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Crowd;
use super::in_time;
use super::plan::{Leave, Plan};
use super::tally::{Came, Outcome};

/// Streams open at once on one connection.
const LANES: usize = 12;

/// Requests of one lane before its connection ends.
const LIFE: usize = 150;

/// One connection after another, until there is nothing more to send.
pub async fn call(crowd: Arc<Crowd>, address: SocketAddr) {
    loop {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (sender, connection) = h2::client::Builder::new()
            .max_concurrent_reset_streams(1000)
            .handshake::<_, Bytes>(socket)
            .await
            .unwrap();
        let driver = tokio::spawn(connection);
        let ended = Arc::new(AtomicBool::new(false));
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let (crowd, sender, ended) = (Arc::clone(&crowd), sender.clone(), Arc::clone(&ended));
            lanes.spawn(async move { lane(&crowd, address, sender, &ended).await });
        }
        // The first lane that is done ends the connection for the others, in the middle of what they do.
        let done = lanes.join_next().await.is_none_or(Result::unwrap);
        if !done {
            ended.store(true, Ordering::Relaxed);
            driver.abort();
        }
        while let Some(lane) = lanes.join_next().await {
            lane.unwrap();
        }
        driver.abort();
        if done {
            return;
        }
    }
}

/// One request after another; whether there is nothing more to send.
async fn lane(
    crowd: &Crowd,
    address: SocketAddr,
    sender: SendRequest<Bytes>,
    ended: &AtomicBool,
) -> bool {
    for _ in 0..LIFE {
        if ended.load(Ordering::Relaxed) {
            return false;
        }
        let Some(plan) = crowd.take(1).pop() else {
            return true;
        };
        match in_time(exchange(crowd, &plan, address, sender.clone())).await {
            Some(Ok(())) => {}
            Some(Err(_)) if ended.load(Ordering::Relaxed) => crowd.tally.count(Outcome::Lost),
            Some(Err(error)) => {
                let what = format!("request {} ({:?}): {error}", plan.number, plan.fault);
                crowd.tally.wrong(what);
            }
            None => crowd
                .tally
                .wrong(format!("no end within the time: {}", plan.id())),
        }
    }
    false
}

async fn exchange(
    crowd: &Crowd,
    plan: &Plan<'_>,
    address: SocketAddr,
    sender: SendRequest<Bytes>,
) -> Result<(), h2::Error> {
    let mut sender = sender.ready().await?;
    let mut body = plan.question();
    let in_body = matches!(plan.leave, Some(Leave::InHead | Leave::InBody));
    let (response, mut sending) =
        sender.send_request(request(plan, address), body.is_empty() && !in_body)?;
    if in_body {
        body.truncate(body.len() / 2);
        sending.send_data(body.into(), false)?;
        sleep(Duration::from_millis(plan.dice % 3)).await;
        sending.send_reset(Reason::CANCEL);
        crowd.tally.count(Outcome::Left);
        return Ok(());
    }
    if !body.is_empty() {
        sending.send_data(body.into(), true)?;
    }
    if plan.leave == Some(Leave::Waiting) {
        let _ = timeout(Duration::from_millis(plan.dice % 6), response).await;
        crowd.tally.count(Outcome::Left);
        return Ok(());
    }
    let response = response.await?;
    if plan.leave == Some(Leave::MidAnswer) {
        let _ = timeout(Duration::from_millis(50), response.into_body().data()).await;
        crowd.tally.count(Outcome::Left);
        return Ok(());
    }
    judge(crowd, plan, response).await
}

fn request(plan: &Plan<'_>, address: SocketAddr) -> Request<()> {
    Request::builder()
        .method(plan.method())
        .uri(format!("http://{address}{}", plan.target()))
        .header("cookie", "theme=dark")
        .header("cookie", plan.cookie())
        .header("content-type", "application/json")
        .header("x-request-id", plan.id())
        .body(())
        .unwrap()
}

async fn judge(
    crowd: &Crowd,
    plan: &Plan<'_>,
    response: Response<RecvStream>,
) -> Result<(), h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    let mut whole = true;
    while let Some(piece) = stream.data().await {
        match piece {
            Ok(piece) => {
                stream.flow_control().release_capacity(piece.len())?;
                body.extend_from_slice(&piece);
            }
            // A reset of this stream is its answer's end; anything else is the connection's.
            Err(error) if error.is_reset() => {
                whole = false;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let field = |name: &str| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
    crowd.tally.judge(
        plan,
        &Came {
            status: head.status.as_u16(),
            header: &field,
            body: &body,
            whole,
        },
    );
    Ok(())
}
