//! Scripted faults: what goes wrong, for which requests, and how often.
//!
//! Faults stand in a queue; a request takes the first one that matches it and still has turns
//! left. The JSON form, for `POST /__emulator/faults`, is shown in the [module's page](super).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One scripted fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests it befalls.
    #[serde(default)]
    pub on: On,
    /// How many more times it acts; none (`null`) for ever. Default once.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// It acts on every n-th request that it matches; default 1, each of them.
    #[serde(default = "each")]
    pub every: u32,
    /// What happens.
    pub action: Action,
}

impl Fault {
    /// Acts once.
    #[must_use]
    pub fn once(on: On, action: Action) -> Self {
        Self::times(1, on, action)
    }

    /// Acts `times` times.
    #[must_use]
    pub fn times(times: u32, on: On, action: Action) -> Self {
        Self {
            on,
            times: Some(times),
            every: 1,
            action,
        }
    }

    /// Acts until the faults are cleared.
    #[must_use]
    pub fn forever(on: On, action: Action) -> Self {
        Self {
            on,
            times: None,
            every: 1,
            action,
        }
    }
}

/// Which requests a fault befalls; as JSON the word, or a path that begins with a slash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum On {
    /// Any request, the control paths excepted.
    #[default]
    Any,
    /// The two mint paths.
    Mint,
    /// Everything under `/v1` but the mint.
    Data,
    /// Exactly this path, without its query.
    Path(String),
}

impl From<String> for On {
    fn from(text: String) -> Self {
        match text.as_str() {
            "any" => Self::Any,
            "mint" => Self::Mint,
            "data" => Self::Data,
            _ => Self::Path(text),
        }
    }
}

impl From<On> for String {
    fn from(on: On) -> Self {
        match on {
            On::Any => "any".to_owned(),
            On::Mint => "mint".to_owned(),
            On::Data => "data".to_owned(),
            On::Path(path) => path,
        }
    }
}

/// What goes wrong. Durations are `ms` in JSON. Counted frames are SSE events, and the two
/// halves of a plain answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The usual answer, later.
    Delay {
        /// How much later.
        #[serde(rename = "ms", with = "millis")]
        by: Duration,
    },
    /// This answer instead.
    Status {
        /// The status code.
        code: u16,
        /// Header lines; `content-type: application/json` where none is given.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body; empty means the contract's error body for that status.
        #[serde(default)]
        body: String,
    },
    /// The usual answer with more header lines.
    Headers {
        /// Appended, whether or not the name is there already.
        headers: Vec<(String, String)>,
    },
    /// 200 and `application/json`, but no JSON.
    Garbage,
    /// The usual answer's first half, well framed.
    TruncatedJson,
    /// The connection ends (FIN) where the answer would have begun.
    Close,
    /// The connection is reset (RST) where the answer would have begun.
    Reset,
    /// The usual answer, whose connection ends after so many frames.
    CutAfter {
        /// Frames sent before; 0 sends the head alone.
        frames: usize,
        /// RST instead of FIN; default false.
        #[serde(default)]
        reset: bool,
    },
    /// Nothing is answered until the client goes.
    StallBeforeHead,
    /// The usual answer, which falls silent after so many frames until the client goes.
    StallAfter {
        /// Frames sent before; 0 sends the head alone.
        frames: usize,
    },
    /// 401 `invalid_token`, however good the token.
    RejectToken,
    /// A mint answers with another user's token.
    WrongUser {
        /// The other user's id.
        user_id: String,
    },
    /// A mint answers with a token that ended an hour ago, and says the life that was asked for.
    ExpiredToken,
    /// The usual answer in small pieces.
    SlowDrip {
        /// The size of a piece; at least 1.
        bytes: usize,
        /// The pause between two.
        #[serde(rename = "ms", with = "millis")]
        every: Duration,
    },
    /// 200 with a JSON string of so many bytes.
    HugeAnswer {
        /// Length of the string.
        bytes: usize,
    },
    /// 307.
    Redirect {
        /// The `Location`.
        to: String,
    },
    /// The usual answer, framed only by the end of the connection.
    NoLength,
    /// These bytes as they stand, then the end of the connection.
    Raw {
        /// A whole answer, or a broken one: status line, headers and body.
        text: String,
    },
}

/// The queue of faults.
#[derive(Debug, Default)]
pub struct Faults {
    queue: Mutex<Vec<Queued>>,
}

#[derive(Debug)]
struct Queued {
    fault: Fault,
    matched: u32,
}

impl Faults {
    /// Appends a fault; one without turns is none.
    pub fn push(&self, fault: Fault) {
        if fault.times == Some(0) {
            return;
        }
        self.lock().push(Queued { fault, matched: 0 });
    }

    /// Forgets all faults; answers that are under way keep theirs.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// What is still to act.
    #[must_use]
    pub fn pending(&self) -> Vec<Fault> {
        self.lock()
            .iter()
            .map(|queued| queued.fault.clone())
            .collect()
    }

    /// The action for a request of this path, if a fault befalls it; one turn is used up.
    pub(super) fn take(&self, path: &str) -> Option<Action> {
        let mut queue = self.lock();
        let mut hit = None;
        for (place, queued) in queue.iter_mut().enumerate() {
            if !queued.fault.on.matches(path) {
                continue;
            }
            queued.matched = queued.matched.wrapping_add(1);
            if queued.matched.is_multiple_of(queued.fault.every.max(1)) {
                hit = Some((place, queued.fault.action.clone()));
                break;
            }
        }
        let (place, action) = hit?;
        let spent = queue.get_mut(place).is_some_and(|queued| {
            queued.fault.times = queued.fault.times.map(|times| times.saturating_sub(1));
            queued.fault.times == Some(0)
        });
        if spent {
            queue.remove(place);
        }
        Some(action)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Queued>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl On {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Mint => is_mint(path),
            Self::Data => path.starts_with("/v1/") && !is_mint(path),
            Self::Path(wanted) => wanted == path,
        }
    }
}

/// The mint's path, and the one that older pages name.
pub(super) fn is_mint(path: &str) -> bool {
    matches!(path, "/v1/auth/mint" | "/auth/v1/auth/mint")
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
fn once() -> Option<u32> {
    Some(1)
}

fn each() -> u32 {
    1
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(by: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(by.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_acts_as_often_as_it_says_and_only_where_it_says() {
        let faults = Faults::default();
        faults.push(Fault::times(2, On::Mint, Action::Garbage));
        assert_eq!(faults.take("/v1/models"), None);
        assert_eq!(faults.take("/v1/auth/mint"), Some(Action::Garbage));
        assert_eq!(faults.take("/auth/v1/auth/mint"), Some(Action::Garbage));
        assert_eq!(faults.take("/v1/auth/mint"), None);
        assert!(faults.pending().is_empty());
    }

    #[test]
    fn every_third_request_is_hit() {
        let faults = Faults::default();
        faults.push(Fault {
            every: 3,
            ..Fault::forever(On::Data, Action::Close)
        });
        let hits: Vec<bool> = (0..6)
            .map(|_| faults.take("/v1/models").is_some())
            .collect();
        assert_eq!(hits, [false, false, true, false, false, true]);
    }

    #[test]
    fn the_json_form_is_what_the_documentation_shows() {
        let fault: Fault = serde_json::from_str(
            r#"{"on": "/v1/models", "times": null, "action": {"kind": "delay", "ms": 200}}"#,
        )
        .unwrap();
        let by = Duration::from_millis(200);
        assert_eq!(
            fault,
            Fault::forever(On::Path("/v1/models".into()), Action::Delay { by })
        );
        let fault: Fault =
            serde_json::from_str(r#"{"on": "data", "action": {"kind": "cut_after", "frames": 3}}"#)
                .unwrap();
        let action = Action::CutAfter {
            frames: 3,
            reset: false,
        };
        assert_eq!(fault, Fault::once(On::Data, action));
        assert!(serde_json::from_str::<Fault>(r#"{"action": {"kind": "unknown"}}"#).is_err());
    }
}
