//! Chat completions: a pleasant answer about the request itself, at once or as a stream.
//!
//! The text says who asked, on which tier, in which session and thread, and what the last
//! message was. A word is a token. The model's name chooses the pace: a part `fast` sends
//! without pauses, `slow` ten times slower, `long` twenty times as much text.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Frame};
use super::config::tier_name;
use super::data_plane::Call;
use super::refusal::Refusal;
use super::time::{fresh_id, unix_seconds};

const LONGEST_ECHO: usize = 400;

#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
}

impl Message {
    /// Its text; of a list of parts, the text parts.
    fn text(&self) -> String {
        let parts = self.content.as_array().map(|parts| {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            texts.collect::<Vec<_>>().join(" ")
        });
        parts.unwrap_or_else(|| self.content.as_str().unwrap_or_default().to_owned())
    }
}

/// An answer's text and what both forms of it share.
struct Completion {
    id: String,
    created: u64,
    model: String,
    words: Vec<String>,
    finish: &'static str,
    prompt_tokens: usize,
}

/// Answers `POST /v1/chat/completions`.
pub(super) fn answer(call: &Call<'_>) -> Result<Answer, Refusal> {
    let request: Request = serde_json::from_slice(call.body)
        .map_err(|error| Refusal::invalid(&format!("the body is not a chat request: {error}")))?;
    if request.messages.is_empty() || request.model.is_empty() {
        return Err(Refusal::unprocessable(
            "model and messages must not be empty",
        ));
    }
    let completion = complete(call, &request);
    if let Some(thread) = &call.thread {
        let (user, threads) = (&call.claims.uid, &call.behest.threads);
        threads.append(user, thread, "user", &last_user_text(&request));
        threads.append(user, thread, "assistant", &completion.words.concat());
    }
    let prompt = u64::try_from(completion.prompt_tokens).unwrap_or_default();
    let bill = call.behest.ledger.bill(&call.claims.uid, prompt);
    let mut answer = if request.stream == Some(true) {
        let usage = request.stream_options.is_some_and(|o| o.include_usage);
        let pause = pace(&request.model, call.behest.config.frame_delay);
        Answer::events(completion.events(usage), pause)
    } else {
        bill.add(u64::try_from(completion.words.len()).unwrap_or_default());
        Answer::ok(&completion.whole())
    };
    answer.bill = Some(bill);
    Ok(answer)
}

fn complete(call: &Call<'_>, request: &Request) -> Completion {
    let times = if is_kind(&request.model, "long") {
        20
    } else {
        1
    };
    let text = text(call, &last_user_text(request));
    let mut words = spaced(&vec![text; times].join(" "));
    let limit = request.max_completion_tokens.or(request.max_tokens);
    let finish = match limit {
        Some(limit) if limit < words.len() => {
            words.truncate(limit);
            "length"
        }
        Some(_) | None => "stop",
    };
    let count = |message: &Message| message.text().split_whitespace().count();
    Completion {
        id: fresh_id("chatcmpl-"),
        created: unix_seconds(),
        model: request.model.clone(),
        words,
        finish,
        prompt_tokens: request.messages.iter().map(count).sum(),
    }
}

impl Completion {
    fn whole(&self) -> Value {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0, "finish_reason": self.finish, "logprobs": null,
                "message": {"role": "assistant", "content": self.words.concat(), "refusal": null},
            }],
            "usage": self.usage(),
        })
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.words.len(),
            "total_tokens": self.prompt_tokens + self.words.len(),
        })
    }

    fn events(&self, with_usage: bool) -> VecDeque<Frame> {
        let mut frames = VecDeque::with_capacity(self.words.len() + 4);
        let mut push = |choices: Value, usage: Value, tokens| {
            let mut chunk = json!({
                "id": self.id, "object": "chat.completion.chunk", "created": self.created,
                "model": self.model, "choices": choices,
            });
            if let Some(chunk) = chunk.as_object_mut().filter(|_| with_usage) {
                chunk.insert("usage".to_owned(), usage);
            }
            frames.push_back(event(&chunk.to_string(), tokens));
        };
        let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        let begin = json!({"role": "assistant", "content": ""});
        push(choice(begin, Value::Null), Value::Null, 0);
        for word in &self.words {
            let delta = json!({"content": word});
            push(choice(delta, Value::Null), Value::Null, 1);
        }
        push(choice(json!({}), json!(self.finish)), Value::Null, 0);
        if with_usage {
            push(json!([]), self.usage(), 0);
        }
        frames.push_back(event("[DONE]", 0));
        frames
    }
}

fn event(data: &str, tokens: u64) -> Frame {
    Frame {
        bytes: Bytes::from(format!("data: {data}\n\n")),
        tokens,
    }
}

fn last_user_text(request: &Request) -> String {
    let last = request
        .messages
        .iter()
        .rev()
        .find(|message| message.role == "user");
    last.map(Message::text).unwrap_or_default()
}

/// What the emulator says.
fn text(call: &Call<'_>, question: &str) -> String {
    let claims = &call.claims;
    let tier = claims.tier_word();
    let echo: String = question.chars().take(LONGEST_ECHO).collect();
    let more = if echo.len() < question.len() {
        "…"
    } else {
        ""
    };
    let session = claims.sid.as_deref().unwrap_or("(none)");
    let thread = call.thread.as_deref().map_or_else(
        || "You named no thread, so this conversation is not kept.".to_owned(),
        |id| format!("I keep this conversation in your thread {id}."),
    );
    format!(
        "Hello {user}! You are on the {tier} tier, and I am the Behest emulator: no model is \
         behind me, only a patient imitation of one. You said: “{echo}{more}”. That makes {words} \
         words and {characters} characters; read backwards it is “{backwards}”. Your request came \
         with a verified token of yours and in session {session}. {thread} Each of these words \
         reaches you as an event of its own, so you can watch them arrive one after another, or \
         press stop and see that I notice at once. Everything here was answered on this machine; \
         ask me something else whenever you like.",
        user = claims.uid,
        tier = tier_name(&tier),
        words = question.split_whitespace().count(),
        characters = question.chars().count(),
        backwards = echo.split_whitespace().rev().collect::<Vec<_>>().join(" "),
    )
}

/// The words of a text, each with the space that follows it; joined they are the text.
fn spaced(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn is_kind(model: &str, kind: &str) -> bool {
    model.split('-').any(|part| part == kind)
}

fn pace(model: &str, usual: Duration) -> Duration {
    if is_kind(model, "fast") {
        Duration::ZERO
    } else if is_kind(model, "slow") {
        usual * 10
    } else {
        usual
    }
}
