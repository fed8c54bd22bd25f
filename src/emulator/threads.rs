//! Threads: persisted conversations, each the property of one user.
//!
//! A thread begins with the first request that names it. Another user's thread of the same id
//! is another thread, and one's own list never shows it. Bounded: a user keeps the newest 200
//! threads of 1,000 messages.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use serde_json::{Value, json};

use super::answer::Answer;
use super::refusal::Refusal;
use super::time::{fresh_id, unix_seconds};

const LONGEST_ID: usize = 128;
const THREADS_KEPT: usize = 200;
const MESSAGES_KEPT: usize = 1000;

/// All threads of one project, by user.
#[derive(Debug, Default)]
pub(super) struct Threads {
    by_user: Mutex<BTreeMap<String, Vec<Thread>>>,
}

#[derive(Debug)]
struct Thread {
    id: String,
    created: u64,
    messages: Vec<Value>,
}

/// The thread that a request names; 400 if it is no name.
pub(super) fn named(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(id) = headers.get("x-thread-id") else {
        return Ok(None);
    };
    let id = id.to_str().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(plain) {
        return Err(Refusal::invalid("X-Thread-Id is not a thread id"));
    }
    Ok(Some(id.to_owned()))
}

impl Threads {
    /// Begins the thread if it is new.
    pub(super) fn touch(&self, user: &str, id: &str) {
        self.with(user, id, |_| ());
    }

    /// Appends a message, and begins the thread if it is new.
    pub(super) fn append(&self, user: &str, id: &str, role: &str, content: &str) {
        let message = json!({
            "id": fresh_id("msg_"), "object": "thread.message", "role": role,
            "content": content, "created_at": unix_seconds(),
        });
        self.with(user, id, |thread| {
            if thread.messages.len() >= MESSAGES_KEPT {
                thread.messages.remove(0);
            }
            thread.messages.push(message);
        });
    }

    /// `GET /v1/threads`, newest first.
    pub(super) fn list(&self, user: &str) -> Answer {
        let threads = self.lock();
        let data: Vec<Value> = threads
            .get(user)
            .into_iter()
            .flat_map(|threads| threads.iter().rev())
            .map(|thread| {
                json!({
                    "id": thread.id, "object": "thread", "created_at": thread.created,
                    "message_count": thread.messages.len(),
                })
            })
            .collect();
        Answer::ok(&json!({"object": "list", "data": data}))
    }

    /// `GET /v1/threads/{id}/messages`, oldest first.
    pub(super) fn messages(&self, user: &str, id: &str) -> Result<Answer, Refusal> {
        let threads = self.lock();
        let found = threads
            .get(user)
            .and_then(|threads| threads.iter().find(|thread| thread.id == id));
        let thread = found.ok_or_else(|| Refusal::not_found("thread"))?;
        let messages = json!({"object": "list", "data": thread.messages});
        Ok(Answer::ok(&messages))
    }

    /// `DELETE /v1/threads/{id}`.
    pub(super) fn delete(&self, user: &str, id: &str) -> Result<Answer, Refusal> {
        let mut threads = self.lock();
        let threads = threads
            .get_mut(user)
            .ok_or_else(|| Refusal::not_found("thread"))?;
        let place = threads
            .iter()
            .position(|thread| thread.id == id)
            .ok_or_else(|| Refusal::not_found("thread"))?;
        threads.remove(place);
        let gone = json!({"id": id, "object": "thread.deleted", "deleted": true});
        Ok(Answer::ok(&gone))
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn with<T>(&self, user: &str, id: &str, change: impl FnOnce(&mut Thread) -> T) -> Option<T> {
        let mut all = self.lock();
        let threads = all.entry(user.to_owned()).or_default();
        if !threads.iter().any(|thread| thread.id == id) {
            if threads.len() >= THREADS_KEPT {
                threads.remove(0);
            }
            threads.push(Thread {
                id: id.to_owned(),
                created: unix_seconds(),
                messages: Vec::new(),
            });
        }
        let thread = threads.iter_mut().find(|thread| thread.id == id);
        thread.map(change)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Thread>>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
