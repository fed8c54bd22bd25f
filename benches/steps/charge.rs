//! All that metering and budgets add to one request, from reading what it asks to handing on its record:
//! CPU time of the whole process, so that the journal's and the sinks' threads are in it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use behest_gateway::budget::{BudgetConfig, LimitKind, Limits, Policy, StoreConfig};
use behest_gateway::charge::{Accounting, Asking, ChargeTerms, Charger};
use behest_gateway::clock::{Clock, Now};
use behest_gateway::config::OutboundConfig;
use behest_gateway::error::Code;
use behest_gateway::forward::rate_headers;
use behest_gateway::generation::{Process, outbound};
use behest_gateway::identity::{Identity, SessionId, Tier, UserHash, UserId};
use behest_gateway::metering::{Asked, MeteringConfig, PriceTable};
use behest_gateway::secret::Secret;
use behest_gateway::telemetry::access_log::{AccessLog, Lines, Record};
use behest_gateway::usage::{FileConfig, UsageConfig, UserPrivacy, Users};
use bytes::Bytes;
use criterion::Criterion;
use http::{HeaderMap, HeaderValue, Method};
use tokio::runtime::Runtime;

use crate::cpu::cpu_time;
use crate::metering::{answer, body};

const ROUTE: &str = "/v1/chat/completions";

/// Users in turn.
const USERS: usize = 1_000;

/// What a gateway charges with.
struct Charging {
    charger: Arc<Charger>,
    accounting: Accounting,
    clock: Clock,
    now: Now,
    identities: Vec<Identity>,
    caller: HeaderMap,
    record: Record,
    body: Bytes,
    answer: Bytes,
}

fn limits(is_limited: bool) -> Limits {
    let mut limits = Limits::default();
    for kind in LimitKind::ALL {
        limits.set(kind, is_limited.then_some(1 << 60));
    }
    limits
}

fn identity(number: usize) -> Identity {
    Identity {
        user: UserId::parse(&format!("usr_{number:010}")).unwrap(),
        tier: Some(Tier::Text("pro".into())),
        session_id: SessionId::parse(&format!("gw_{number:022}")),
    }
}

impl Charging {
    fn new(
        [user, session]: [bool; 2],
        store: Option<&Path>,
        file: Option<&Path>,
        clock: &Clock,
    ) -> Self {
        let process = Process::new(clock.clone()).unwrap();
        let policy = Arc::new(Policy {
            tier: "pro".to_owned(),
            user: limits(user),
            session: limits(session),
        });
        let budgets = BudgetConfig {
            tiers: [("pro".to_owned(), policy)].into(),
            ..BudgetConfig::default()
        };
        let usage = UsageConfig {
            users: Users::Hashed,
            hash_key: None,
            retention: Duration::from_hours(24),
            file: file.map(|folder| FileConfig {
                path: folder.join("usage.jsonl"),
                max_size: 100 << 20,
                keep: 1,
                retention: Duration::from_hours(24),
            }),
            webhook: None,
            thresholds: None,
        };
        let store = StoreConfig::Embedded(store.map(Path::to_owned));
        let outbound = outbound(&OutboundConfig::default()).unwrap();
        let (metrics, view) = (&process.metrics, &process.usage);
        let accounting =
            Accounting::open(&store, &budgets, &usage, &outbound, clock, metrics, view).unwrap();
        let key = Secret::new("bench");
        let terms = ChargeTerms {
            metering: MeteringConfig {
                enabled: true,
                ask_upstream: false,
                prices: Arc::new(PriceTable::built_in().unwrap()),
            },
            budgets,
            default_tier: None,
            privacy: UserPrivacy::Hashed(Arc::new(UserHash::new(&key))),
        };
        let lines = Lines {
            queue: None,
            strangers: Arc::default(),
            per_second: 1,
        };
        let log = AccessLog::new(Arc::clone(metrics), &key, lines);
        let id = HeaderValue::from_static("gwr_0123456789abcdef");
        let mut record = log.begin(Method::POST, id, IpAddr::V4(Ipv4Addr::LOCALHOST));
        (record.route, record.status, record.code) = (ROUTE, 200, Code::Ok);
        Self {
            charger: accounting.charger(terms, metrics),
            accounting,
            clock: clock.clone(),
            now: clock.now(),
            identities: (0..USERS).map(identity).collect(),
            caller: HeaderMap::new(),
            record,
            body: body(),
            answer: answer(),
        }
    }

    /// One request and its answer of 1 KB, in one piece.
    async fn request(&self, identity: &Identity, headers: &mut HeaderMap) {
        let asking = Asking {
            identity,
            route: ROUTE,
            headers: &self.caller,
            asked: Asked::read(&self.body),
            body: self.body.len() as u64,
            request_id: self.record.request_id(),
        };
        // Read for the token's sake anyway.
        let claimed = self.charger.claim(asking, self.now).await;
        let mut charge = claimed.map_err(|refused| refused.over).unwrap();
        charge.sent(None);
        if !charge.standings().is_empty() {
            let now = self.clock.now().unix_seconds();
            rate_headers::tell(headers, charge.standings(), now);
        }
        charge.answered(false, false);
        let passed = charge.passed(self.answer.clone());
        charge.passed_on(passed.len() as u64);
        charge.end(true, &self.record);
    }

    async fn requests(&self, count: u64) {
        let mut headers = HeaderMap::new();
        for (_, identity) in (0..count).zip(self.identities.iter().cycle()) {
            headers.clear();
            self.request(identity, &mut headers).await;
        }
    }
}

pub(crate) fn charge(criterion: &mut Criterion, runtime: &Runtime) {
    let clock = Clock::system();
    let folders: [_; 3] = std::array::from_fn(|_| tempfile::TempDir::new().unwrap());
    let [first, second, third] = folders.each_ref().map(|folder| Some(folder.path()));
    let subjects = [
        ("metered, no limits", [false; 2], None, None),
        ("7 limits, memory", [true, false], None, None),
        ("7 limits and 7 by session, memory", [true; 2], None, None),
        ("7 limits, journal", [true, false], first, None),
        ("7 limits, journal, file", [true, false], second, third),
    ];
    for (name, limits, store, file) in subjects {
        let charging = Charging::new(limits, store, file, &clock);
        criterion.bench_function(&format!("charge/{name}"), |bench| {
            bench.iter_custom(|count| cpu_time(|| runtime.block_on(charging.requests(count))));
        });
        charging.accounting.close(Duration::from_secs(5));
    }
}
