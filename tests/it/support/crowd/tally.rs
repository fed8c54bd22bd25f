//! What came of every request, and everything that was wrong.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::plan::{Fault, Kind, Plan};

/// Wrongs that are described; the rest are counted.
const DESCRIBED: usize = 20;

/// The counts while the crowd is under way.
pub struct Tally {
    /// How often the upstream saw each request.
    seen: Vec<AtomicU8>,
    wrongs: AtomicU64,
    described: Mutex<Vec<String>>,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    mints: AtomicU64,
}

/// How a request ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer, its own.
    Answered,
    /// A 500 of the upstream's, its own.
    Failed,
    /// The gateway's own error, which the fault asked for.
    Refused,
    /// The answer broke off, which the fault asked for.
    Broken,
    /// The caller left, as it meant to.
    Left,
    /// It was on a connection that another request's caller left, or that another's fault ended.
    Lost,
    /// The gateway's own error for want of a connection, though nothing befell this request itself:
    /// its connection was one that the upstream closed unsaid.
    Collateral,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Answered,
        Self::Failed,
        Self::Refused,
        Self::Broken,
        Self::Left,
        Self::Lost,
        Self::Collateral,
    ];
}

/// An answer, as far as it came.
pub struct Came<'a> {
    pub status: u16,
    pub header: &'a dyn Fn(&str) -> Option<String>,
    pub body: &'a [u8],
    /// Whether it came to its end.
    pub whole: bool,
}

impl Tally {
    pub fn new(total: usize) -> Self {
        Self {
            seen: (0..total).map(|_| AtomicU8::new(0)).collect(),
            wrongs: AtomicU64::new(0),
            described: Mutex::default(),
            outcomes: Default::default(),
            mints: AtomicU64::new(0),
        }
    }

    /// Something was wrong.
    pub fn wrong(&self, what: String) {
        self.wrongs.fetch_add(1, Ordering::Relaxed);
        let mut described = self.described.lock().unwrap();
        if described.len() < DESCRIBED {
            described.push(what);
        }
    }

    /// One more mint; how many there were before.
    pub fn minted(&self) -> u64 {
        self.mints.fetch_add(1, Ordering::Relaxed)
    }

    /// The upstream saw request `number`; how often before.
    pub fn saw(&self, number: u64) -> u8 {
        self.seen[usize::try_from(number).unwrap()].fetch_add(1, Ordering::Relaxed)
    }

    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Compares an answer with what it had to be.
    pub fn judge(&self, plan: &Plan<'_>, came: &Came<'_>) {
        match verdict(plan, came) {
            Ok(outcome) => self.count(outcome),
            Err(what) => self.wrong(format!(
                "request {} of {} ({:?}, {:?}): {what}: {} {}",
                plan.number,
                plan.user.id,
                plan.kind,
                plan.fault,
                came.status,
                String::from_utf8_lossy(&came.body[..came.body.len().min(200)])
            )),
        }
    }

    pub fn report(&self, sent: u64) -> Report {
        let count = |outcome: Outcome| self.outcomes[outcome as usize].load(Ordering::Relaxed);
        Report {
            sent,
            outcomes: Outcome::ALL.map(|outcome| (outcome, count(outcome))),
            mints: self.mints.load(Ordering::Relaxed),
            wrongs: self.wrongs.load(Ordering::Relaxed),
            described: self.described.lock().unwrap().clone(),
        }
    }
}

fn verdict(plan: &Plan<'_>, came: &Came<'_>) -> Result<Outcome, &'static str> {
    let header = |name: &str| (came.header)(name);
    if header("x-gateway-request-id") != Some(plan.id()) {
        return Err("the answer to another request");
    }
    if let Some(code) = header("x-gateway-error") {
        let named = format!(r#""request_id":"{}""#, plan.id());
        if came.whole && !String::from_utf8_lossy(came.body).contains(&named) {
            return Err("an error that names another request");
        }
        return match (plan.fault, code.as_str()) {
            (Some(Fault::ResetBeforeHead), "upstream_unreachable")
            | (Some(Fault::Unauthorized), "token_rejected") => Ok(Outcome::Refused),
            (_, "upstream_unreachable") => Ok(Outcome::Collateral),
            _ => Err("an error that nothing asked for"),
        };
    }
    if header("x-trace-id") != Some(plan.id()) {
        return Err("the head of another answer");
    }
    let breaks = matches!(
        plan.fault,
        Some(Fault::ResetMidBody | Fault::TruncatedChunk)
    );
    match (came.whole, breaks) {
        (true, true) => Err("an answer that was cut came as a whole one"),
        (false, false) => Err("an answer broke off"),
        (false, true) if is_beginning(plan, came.body) => Ok(Outcome::Broken),
        (false, true) => Err("what came before the break is another's"),
        (true, false) if came.body != plan.answer().as_bytes() => Err("the body of another answer"),
        (true, false) => match (plan.fault, came.status) {
            (Some(Fault::Status), 500) => Ok(Outcome::Failed),
            (fault, 200) if fault != Some(Fault::Status) => Ok(Outcome::Answered),
            _ => Err("another status"),
        },
    }
}

/// Whether `body` is how the right answer begins, the gateway's own last event aside.
fn is_beginning(plan: &Plan<'_>, body: &[u8]) -> bool {
    let answer = plan.answer();
    let text = String::from_utf8_lossy(body);
    let (begun, last) = match text.split_once(r#"data: {"error":"#) {
        Some((begun, last)) if plan.kind == Kind::Stream => (begun, Some(last)),
        _ => (&*text, None),
    };
    answer.starts_with(begun) && last.is_none_or(|last| last.contains(&plan.id()))
}

/// What came of it all.
#[derive(Clone)]
pub struct Report {
    pub sent: u64,
    outcomes: [(Outcome, u64); Outcome::ALL.len()],
    pub mints: u64,
    pub wrongs: u64,
    pub described: Vec<String>,
}

impl Report {
    pub fn answered(&self) -> u64 {
        self.outcomes[Outcome::Answered as usize].1
    }

    pub fn collateral(&self) -> u64 {
        self.outcomes[Outcome::Collateral as usize].1
    }

    pub fn left(&self) -> u64 {
        self.outcomes[Outcome::Left as usize].1
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} mints", self.sent, self.mints)?;
        for (outcome, count) in self.outcomes {
            write!(f, ", {count} {outcome:?}")?;
        }
        write!(f, "; {} wrong", self.wrongs)?;
        for what in &self.described {
            write!(f, "\n  {what}")?;
        }
        Ok(())
    }
}
