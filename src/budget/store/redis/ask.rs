//! Asks the store whether a claim has room.

use ::redis::from_redis_value;

use super::Inner;
use super::deliver::MARGIN;
use super::hold::{Hold, Seen, letter};
use super::link::{Failed, Live};
use super::script::RESERVE;
use crate::clock::Now;

/// The limit that refuses, from 1, or 0; and how all stand.
pub(super) type Answer = (usize, Vec<Seen>);

impl Inner {
    /// Asks over `live` whether `hold` has room; with a name it is then reserved by it.
    pub(super) async fn ask(
        &self,
        live: &mut Live,
        name: &str,
        hold: &Hold,
        now: Now,
    ) -> Result<Answer, Failed> {
        let (keys, arguments) = self.question(name, hold, now);
        let limit = self.config.timeout;
        let answered = self
            .link
            .call(live, &RESERVE, &keys, &arguments, limit)
            .await?;
        let numbers = from_redis_value::<Vec<u64>>(answered);
        let numbers = numbers.map_err(|error| Failed::Refused(error.into()))?;
        Ok(read(&numbers))
    }

    fn question(&self, name: &str, hold: &Hold, now: Now) -> (Vec<String>, Vec<Vec<u8>>) {
        let mut keys = vec![self.key(hold.user, None)];
        let sessions = hold.spans.iter().find_map(|span| hold.account(span.scope));
        keys.extend(sessions.map(|session| self.key(hold.user, Some(session))));
        let ttl = hold.matters_until().saturating_sub(now.unix_seconds()) + MARGIN;
        let mut arguments = Vec::with_capacity(3 + hold.spans.len() * 6);
        let head = [
            name.to_owned(),
            self.config.lease.as_millis().to_string(),
            ttl.to_string(),
        ];
        arguments.extend(head.map(String::into_bytes));
        for span in &hold.spans {
            let account = if hold.account(span.scope).is_some() {
                "2"
            } else {
                "1"
            };
            let row = [
                account.to_owned(),
                letter(span.kind).to_owned(),
                span.window.to_string(),
                span.weight.to_string(),
                span.limit.to_string(),
                hold.estimate.reserved(span.kind).to_string(),
            ];
            arguments.extend(row.map(String::into_bytes));
        }
        (keys, arguments)
    }
}

fn read(numbers: &[u64]) -> Answer {
    let (refused, rest) = numbers
        .split_first()
        .map_or((0, numbers), |(first, rest)| (*first, rest));
    let rows = rest.chunks_exact(4).filter_map(|row| match row {
        &[window, here, before, reserved] => Some(Seen {
            window: u32::try_from(window).ok()?,
            here,
            before,
            reserved,
        }),
        _ => None,
    });
    (
        usize::try_from(refused).unwrap_or(usize::MAX),
        rows.collect(),
    )
}
