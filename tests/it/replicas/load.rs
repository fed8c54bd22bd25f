//! Honest users, each asking one thing after the other until told to stop.

use std::net::SocketAddr;
use std::time::Instant;

use behest_gateway::clock::monotonic;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::caller::{Answer, Caller, Protocol, chat_of, whole};
use crate::support::cookie;

/// A request that was answered whole.
pub struct Done {
    pub id: String,
    /// Tokens, as the answer says.
    pub total: u64,
    /// When, on this process' clock.
    pub at: Instant,
}

/// What one user saw.
#[derive(Default)]
pub struct Seen {
    pub user: String,
    pub done: Vec<Done>,
    pub failed: Vec<String>,
}

impl Seen {
    /// Tokens of all that was answered whole.
    pub fn total(&self) -> u64 {
        self.done.iter().map(|done| done.total).sum()
    }
}

/// Users at work.
pub struct Load {
    stop: CancellationToken,
    users: Vec<JoinHandle<Seen>>,
}

impl Load {
    /// `users` begin, through whatever is at `address`.
    pub fn begin(address: SocketAddr, users: usize) -> Self {
        let stop = CancellationToken::new();
        let user = |number: usize| {
            let stop = stop.clone();
            tokio::spawn(async move { user(address, format!("user-{number}"), &stop).await })
        };
        Self {
            users: (0..users).map(user).collect(),
            stop,
        }
    }

    /// Everybody ends what they are at.
    pub async fn end(self) -> Vec<Seen> {
        self.stop.cancel();
        let mut all = Vec::new();
        for user in self.users {
            all.push(user.await.unwrap());
        }
        all
    }
}

async fn user(address: SocketAddr, user: String, stop: &CancellationToken) -> Seen {
    let session = cookie(&user, "\"free\"");
    let mut seen = Seen {
        user,
        ..Seen::default()
    };
    let mut streams = false;
    while !stop.is_cancelled() {
        streams = !streams;
        match chat(address, &session, streams).await {
            Ok(done) => seen.done.push(done),
            Err(fault) => seen.failed.push(fault),
        }
    }
    seen
}

/// One request and its whole answer, else what was wrong.
pub async fn chat(address: SocketAddr, session: &str, streams: bool) -> Result<Done, String> {
    let mut body = json!({
        "model": "emulator",
        "stream": streams,
        "max_tokens": 64,
        "messages": [{ "role": "user", "content": "hello" }],
    });
    if streams {
        body["stream_options"] = json!({ "include_usage": true });
    }
    let caller = Caller::try_connect(address, Protocol::Http1).await;
    let mut caller = caller.ok_or("nobody listens")?;
    let request = chat_of(address, session, &body);
    let answer = caller.send(request).await.map_err(|e| format!("{e:?}"))?;
    let answer = whole(answer).await.map_err(|e| format!("cut: {e:?}"))?;
    if answer.status != 200 {
        return Err(format!("{}: {}", answer.status, answer.text()));
    }
    let total = total(&answer, streams).ok_or_else(|| format!("no usage: {}", answer.text()))?;
    Ok(Done {
        id: answer.headers["x-request-id"].to_str().unwrap().to_owned(),
        total,
        at: monotonic(),
    })
}

fn total(answer: &Answer, streams: bool) -> Option<u64> {
    let usage = |json: &Value| json["usage"]["total_tokens"].as_u64();
    if !streams {
        return usage(&answer.json());
    }
    let text = answer.text().strip_suffix("data: [DONE]\n\n")?;
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut told = events.filter_map(|event| usage(&serde_json::from_str(event).ok()?));
    told.next_back()
}
