//! What a request's body asks: [`Asked`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::ModelName;

/// What matters of a request for its cost. Read from its JSON; what cannot be read is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whether the answer is to be an event stream.
    pub stream: bool,
    /// Whether that stream is to say what it used.
    pub include_usage: bool,
    /// The most tokens of an answer: `max_completion_tokens`, `max_tokens` or `max_output_tokens`, the
    /// largest.
    pub max_tokens: Option<u64>,
    /// Answers: `n`, at least one.
    pub choices: u64,
    /// The model, as the request calls it.
    pub model: Option<ModelName>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            stream: false,
            include_usage: false,
            max_tokens: None,
            choices: 1,
            model: None,
        }
    }
}

/// The members of a body, as they are written; of a name that comes again the last counts.
type Members<'b> = BTreeMap<Name<'b>, &'b RawValue>;

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Name<'b>(#[serde(borrow)] Cow<'b, str>);

#[derive(Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<Value>,
}

impl Asked {
    /// Reads `body`.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let Ok(members) = serde_json::from_slice::<Members<'_>>(body) else {
            return Self::default();
        };
        let member = |name| members.get(&Name(Cow::Borrowed(name))).map(|raw| raw.get());
        let count = |name| serde_json::from_str::<u64>(member(name)?).ok();
        let options = member("stream_options")
            .and_then(|options| serde_json::from_str::<StreamOptions>(options).ok())
            .unwrap_or_default();
        let limits = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
        Self {
            stream: member("stream") == Some("true"),
            include_usage: options.include_usage == Some(Value::Bool(true)),
            max_tokens: limits.into_iter().filter_map(count).max(),
            choices: count("n").unwrap_or(1).max(1),
            model: member("model")
                .and_then(|model| serde_json::from_str::<Cow<'_, str>>(model).ok())
                .and_then(|model| ModelName::parse(&model)),
        }
    }

    /// `body`, which asks for a stream, made to ask for what the stream uses too; `None` where it asks
    /// for none, asks already, or cannot be changed safely. Everything else in it stays as it is.
    #[must_use]
    pub fn with_usage(&self, body: &Bytes) -> Option<Bytes> {
        if !self.stream || self.include_usage {
            return None;
        }
        let members: Members<'_> = serde_json::from_slice(body).ok()?;
        let options = members.get(&Name(Cow::Borrowed("stream_options")));
        let (from, to, member) = if let Some(options) = options {
            let mut object = match serde_json::from_str(options.get()).ok()? {
                Value::Object(object) => object,
                Value::Null => Map::new(),
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    return None;
                }
            };
            object.insert("include_usage".to_owned(), true.into());
            let from = options.get().as_ptr().addr();
            let from = from.checked_sub(body.as_ptr().addr())?;
            let object = Value::Object(object).to_string();
            (from, from + options.get().len(), object)
        } else {
            let brace = body.iter().position(|byte| *byte == b'{')?;
            let member = "\"stream_options\":{\"include_usage\":true},".to_owned();
            (brace + 1, brace + 1, member)
        };
        let mut changed = BytesMut::with_capacity(body.len() + member.len());
        changed.extend_from_slice(body.get(..from)?);
        changed.extend_from_slice(member.as_bytes());
        changed.extend_from_slice(body.get(to..)?);
        Some(changed.freeze())
    }
}
