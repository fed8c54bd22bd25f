//! What happens to a request, by its number: whose it is, what is asked, what goes wrong.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use super::super::{SECRET, cookie_with};

/// How many users there are.
pub const USERS: usize = 1000;

/// One user, in each of the tiers between which it changes.
pub struct User {
    pub id: String,
    /// A Cookie header for each of [`TIERS`].
    cookies: [String; 2],
    pub session_id: String,
}

/// The tiers, as JSON.
const TIERS: [&str; 2] = [r#""free""#, "2"];

impl User {
    /// Ids are prefixes of each other, and browser sessions have the same names with many users:
    /// whatever joins texts carelessly, mixes these.
    pub fn new(index: usize) -> Self {
        let id = format!("u{index}");
        let sid = format!("s{}", index % 50);
        Self {
            cookies: TIERS
                .map(|tier| cookie_with(SECRET, &id, &format!(r#""tier":{tier},"sid":"{sid}""#))),
            session_id: session_id(&id, &sid),
            id,
        }
    }
}

/// The session id that the gateway has to send, by its description.
fn session_id(user: &str, claim: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"behest-gateway: session id, version 1");
    let mut message = vec![1];
    for field in [user, claim] {
        message.extend_from_slice(&(field.len() as u64).to_be_bytes());
        message.extend_from_slice(field.as_bytes());
    }
    let mac = hmac::sign(&key, &message);
    format!("gw_{}", BASE64URL.encode(&mac.as_ref()[..16]))
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A GET.
    Read,
    /// A POST whose answer has a length.
    Plain,
    /// A POST whose answer is an event stream.
    Stream,
}

/// What the upstream does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers 500.
    Status,
    /// Resets the connection in the place of an answer.
    ResetBeforeHead,
    /// Resets it in the middle of the body.
    ResetMidBody,
    /// Ends it in the middle of a chunk.
    TruncatedChunk,
    /// Refuses this user's token, once.
    Unauthorized,
    /// Sends another user's whole answer behind the right one.
    Surplus,
    /// Pauses between pieces.
    Slow,
    /// Closes after the answer, without having said so.
    CloseUnsaid,
    /// Lets the answer wait.
    Delay,
    /// Answers before it has read the request's body.
    Early,
}

const FAULTS: [Fault; 10] = [
    Fault::Status,
    Fault::ResetBeforeHead,
    Fault::ResetMidBody,
    Fault::TruncatedChunk,
    Fault::Unauthorized,
    Fault::Surplus,
    Fault::Slow,
    Fault::CloseUnsaid,
    Fault::Delay,
    Fault::Early,
];

/// When the caller leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Before its head is complete.
    InHead,
    /// Before its body is complete.
    InBody,
    /// Before the answer has come.
    Waiting,
    /// Within the answer.
    MidAnswer,
}

const LEAVES: [Leave; 4] = [
    Leave::InHead,
    Leave::InBody,
    Leave::Waiting,
    Leave::MidAnswer,
];

/// One request's whole fate.
#[derive(Clone, Copy)]
pub struct Plan<'c> {
    pub number: u64,
    pub user: &'c User,
    tier: usize,
    pub kind: Kind,
    pub fault: Option<Fault>,
    pub leave: Option<Leave>,
    /// More choices, to be made by whoever needs some.
    pub dice: u64,
}

impl<'c> Plan<'c> {
    pub fn new(number: u64, users: &'c [User]) -> Self {
        let mut dice = mix(number);
        let mut roll = |sides: usize| {
            dice = mix(dice);
            usize::try_from(dice % sides as u64).unwrap()
        };
        let mut kind = [Kind::Read, Kind::Plain, Kind::Plain, Kind::Stream][roll(4)];
        let (fault, leave) = match roll(100) {
            0..5 => (Some(FAULTS[roll(FAULTS.len())]), None),
            5..10 => (None, Some(LEAVES[roll(LEAVES.len())])),
            _ => (None, None),
        };
        if matches!(fault, Some(Fault::Early)) || matches!(leave, Some(Leave::InBody)) {
            kind = Kind::Plain;
        }
        if matches!(leave, Some(Leave::MidAnswer)) {
            kind = Kind::Stream;
        }
        Self {
            number,
            user: &users[roll(users.len())],
            tier: roll(2),
            kind,
            fault,
            leave,
            dice: mix(dice),
        }
    }

    /// The tier that its token must have, as JSON.
    pub fn tier(&self) -> &'static str {
        TIERS[self.tier]
    }

    /// Its `X-Request-Id`, and the answer's `X-Trace-Id`.
    pub fn id(&self) -> String {
        format!("n-{}", self.number)
    }

    pub fn method(&self) -> &'static str {
        if self.kind == Kind::Read {
            "GET"
        } else {
            "POST"
        }
    }

    pub fn target(&self) -> String {
        let path = if self.kind == Kind::Read {
            "/v1/models"
        } else {
            "/v1/chat/completions"
        };
        format!("{path}?n={}&u={}", self.number, self.user.id)
    }

    pub fn cookie(&self) -> &'c str {
        &self.user.cookies[self.tier]
    }

    /// The request's body; empty for a GET.
    pub fn question(&self) -> String {
        if self.kind == Kind::Read {
            return String::new();
        }
        let Self { number, user, .. } = self;
        let padding = padding(self.dice, *number);
        format!(r#"{{"n":{number},"u":"{}","text":"{padding}"}}"#, user.id)
    }

    /// The answer's body, whole.
    pub fn answer(&self) -> String {
        let Self { number, user, .. } = self;
        if self.kind != Kind::Stream {
            let padding = padding(self.dice >> 16, *number);
            return format!(
                r#"{{"answer":{number},"to":"{}","text":"{padding}"}}"#,
                user.id
            );
        }
        let mut events = String::new();
        for at in 0..2 + self.dice % 6 {
            writeln!(
                events,
                "data: {{\"n\":{number},\"to\":\"{}\",\"at\":{at}}}\n",
                user.id
            )
            .unwrap();
        }
        events + "data: [DONE]\n\n"
    }
}

/// The request's number over and over: mostly little of it, rarely more than one read takes.
fn padding(dice: u64, number: u64) -> String {
    let length = match dice % 64 {
        0 => 24_000,
        1..8 => 1500,
        short => short,
    };
    let word = format!("{number}-");
    let times = usize::try_from(length).unwrap() / word.len();
    word.repeat(times)
}

/// One step of splitmix64.
pub fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
