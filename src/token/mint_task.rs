//! One mint, in a task of its own, so that a caller who hangs up ends it for nobody.
//!
//! Guarantees: it ends within `mint.timeout`, the wait for a place included; whatever becomes of it,
//! a panic included, its flight is taken out of the cache and everyone who waits is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Now;
use crate::identity::Identity;
use crate::telemetry::labels::MintOutcome;

use super::breaker::{Change, Pass};
use super::entries::{Failure, Held};
use super::{AccessToken, InvalidAnswer, Minted, Outcome, TokenCache, TokenError};

/// The lead of a renewal over a token's end, at most.
const LONGEST_LEAD: Duration = Duration::from_mins(1);

/// After a recovery, a call that was under way gets this long to be answered too.
const GRACE: Duration = Duration::from_millis(250);

/// A mint that has been given leave, before it is begun.
#[must_use = "a flight that is not launched leaves its entry waiting for ever"]
pub(super) struct Takeoff {
    pub(super) id: u64,
    pub(super) pass: Pass,
    pub(super) outcome: watch::Sender<Option<Outcome>>,
    /// The user's identity that is out for this one.
    pub(super) out: Option<Identity>,
}

/// A mint under way. Dropped without [`Landing::land`], it clears its flight all the same.
struct Landing {
    cache: Arc<TokenCache>,
    identity: Identity,
    takeoff: Takeoff,
    landed: bool,
}

/// How far a mint has come.
enum Stage {
    Waiting,
    Minting { waited: Duration },
}

impl Takeoff {
    /// Begins the mint for `identity` on this worker.
    pub(super) fn launch(self, cache: &Arc<TokenCache>, identity: &Identity) {
        let landing = Landing {
            cache: Arc::clone(cache),
            identity: identity.clone(),
            takeoff: self,
            landed: false,
        };
        tokio::spawn(landing.fly());
    }
}

impl Landing {
    async fn fly(self) {
        let begun = self.cache.clock.now();
        let mut stage = Stage::Waiting;
        let attempt = self.attempt(begun, &mut stage);
        let result = match tokio::time::timeout(self.cache.timeout, attempt).await {
            Ok(result) => result,
            Err(_) => Err(self.late(&stage)),
        };
        // One that failed before its turn is no mint to count.
        let asked = matches!(stage, Stage::Minting { .. });
        self.land(result, begun, asked);
    }

    async fn attempt(&self, begun: Now, stage: &mut Stage) -> Result<Held, TokenError> {
        let cache = &*self.cache;
        let _place = cache
            .places
            .acquire()
            .await
            .map_err(|_| TokenError::Internal)?;
        cache.breaker.recheck(self.takeoff.pass)?;
        let asked = cache.clock.now();
        *stage = Stage::Minting {
            waited: asked.elapsed.saturating_sub(begun.elapsed),
        };
        let minted = self.mint(asked).await?;
        hold(minted, asked, cache.clock.now())
    }

    /// Asks the mint; once more where it recovers meanwhile and this call hangs all the same, on a
    /// connection of the time before.
    async fn mint(&self, asked: Now) -> Result<Minted, TokenError> {
        let cache = &*self.cache;
        let generation = cache.breaker.generation();
        let stale = async {
            cache.breaker.recovered_since(generation).await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            minted = cache.minter.mint(&self.identity, asked) => return minted,
            () = stale => {}
        }
        cache.minter.mint(&self.identity, cache.clock.now()).await
    }

    /// Out of time: the mint's fault only if it had most of it.
    fn late(&self, stage: &Stage) -> TokenError {
        match stage {
            Stage::Minting { waited } if *waited <= self.cache.timeout / 2 => TokenError::Timeout,
            Stage::Minting { .. } | Stage::Waiting => TokenError::Overloaded,
        }
    }

    /// Puts the result where everyone finds it.
    fn land(mut self, result: Result<Held, TokenError>, begun: Now, asked: bool) {
        let now = self.cache.clock.now();
        let took = now.elapsed.saturating_sub(begun.elapsed);
        let outcome = match result {
            Ok(held) => {
                self.cache.metrics.mint(MintOutcome::Ok, took);
                self.report(None, now);
                let token = Arc::clone(&held.token);
                self.succeed(held);
                Ok(token)
            }
            Err(error) => {
                if let Some(outcome) = error.outcome()
                    && (asked || outcome == MintOutcome::Overloaded)
                {
                    self.cache.metrics.mint(outcome, took);
                }
                self.report(Some(&error), now);
                self.cache.failures.tell(&error, now.elapsed);
                self.fail(&error, now);
                Err(error)
            }
        };
        self.takeoff.outcome.send_replace(Some(outcome));
        self.landed = true;
    }

    fn report(&self, failure: Option<&TokenError>, now: Now) {
        let pass = self.takeoff.pass;
        match self.cache.breaker.report(pass, failure, now.elapsed) {
            Some(Change::Opened) => {
                tracing::error!("the mint failed five times in a row: only probing it from now on");
            }
            Some(Change::Recovered) => tracing::info!("the mint works again"),
            None => {}
        }
    }

    fn succeed(&self, held: Held) {
        let id = self.takeoff.id;
        let kept = self.cache.entries.update(&self.identity, |entry| {
            // Another flight's entry, or none: this one was put out meanwhile.
            if !entry.flight.as_ref().is_some_and(|flight| flight.is(id)) {
                return false;
            }
            entry.flight = None;
            entry.failure = None;
            entry.held = Some(held);
            true
        });
        if kept == Some(true) {
            self.cache.entries.touch(&self.identity);
        }
    }

    fn fail(&self, error: &TokenError, now: Now) {
        let Takeoff { id, pass, .. } = &self.takeoff;
        self.cache.entries.update(&self.identity, |entry| {
            if entry.flight.as_ref().is_some_and(|flight| flight.is(*id)) {
                entry.flight = None;
                let before = entry.failure.as_ref();
                entry.failure = Some(Failure::new(error.clone(), now, before, pass.generation));
            }
        });
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        if std::thread::panicking() {
            let now = self.cache.clock.now();
            let error = TokenError::Internal;
            self.cache.failures.tell(&error, now.elapsed);
            self.fail(&error, now);
            self.takeoff.outcome.send_replace(Some(Err(error)));
        } else {
            // The worker ended. Whoever waits on another worker finds no outcome and tries there.
            let id = self.takeoff.id;
            self.cache.entries.update(&self.identity, |entry| {
                entry.flight.take_if(|flight| flight.is(id));
            });
        }
    }
}

/// Gives `minted`, asked for at `asked` and here at `now`, its times.
fn hold(minted: Minted, asked: Now, now: Now) -> Result<Held, TokenError> {
    let expires_at = asked.elapsed.saturating_add(minted.life);
    if expires_at <= now.elapsed || minted.ends <= now.unix {
        return Err(InvalidAnswer::Ended.into());
    }
    let token = Arc::new(AccessToken {
        authorization: minted.authorization,
        session_id: minted.session_id,
        refresh_at: expires_at.saturating_sub(lead(minted.life)),
        expires_at,
    });
    let ends = minted.ends;
    Ok(Held { token, ends })
}

/// How long before its end a token of `life` is renewed: 60 s or a fifth of its life, whichever is
/// less, and up to a tenth of that more, so that tokens minted together are not renewed together.
fn lead(life: Duration) -> Duration {
    let lead = LONGEST_LEAD.min(life / 5);
    let mut random = [0];
    // Without randomness there is no jitter, which is no reason to refuse a token.
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return lead;
    }
    lead + lead / 10 * u32::from(random[0]) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lead_is_the_smaller_of_60_s_and_a_fifth_of_the_life_and_up_to_a_tenth_more() {
        for (life, least) in [(900, 60), (86_400, 60), (100, 20), (5, 1)] {
            let leads: Vec<_> = (0..200).map(|_| lead(Duration::from_secs(life))).collect();
            let (least, most) = (
                Duration::from_secs(least),
                Duration::from_secs(least) * 11 / 10,
            );
            assert!(
                leads.iter().all(|lead| (least..most).contains(lead)),
                "{life}"
            );
            assert!(
                leads.iter().any(|lead| *lead != leads[0]),
                "{life}: no jitter"
            );
        }
    }
}
