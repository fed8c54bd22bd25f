//! Mints a token for a user who does not exist, as the gateway would, and asks whether Behest takes it.
//!
//! Guarantees: the token is never shown; of its claims only the tier is compared; it is used for one
//! `GET /v1/models`, which costs nothing.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::call::{self, Server, WITHIN};
use super::clock_offset;
use super::finding::{Finding, Level};
use crate::clock::Clock;
use crate::identity::{Identity, Tier, UserId};
use crate::telemetry;
use crate::token::{KeyMode, MintConfig, Minted, Outage, TokenError, TokenMinter, key_mode};

const CHECK: &str = "mint";
const TOKEN: &str = "token";

/// Mints for `user`, and sends the token once.
pub(super) async fn look(
    config: &MintConfig,
    server: &Server,
    clock: &Clock,
    user: &str,
) -> Vec<Finding> {
    let user = match UserId::parse(user) {
        Ok(user) => user,
        Err(error) => {
            let fix = "give --user an id as the app's users have them, or leave it out";
            return vec![Finding::error(CHECK, format!("--user: {error}"), fix)];
        }
    };
    let identity = Identity {
        user,
        tier: None,
        session_id: None,
    };
    let client = Arc::new(server.client.clone());
    let mint = match TokenMinter::new(config, client) {
        Ok(mint) => mint,
        Err(error) => return vec![Finding::error(CHECK, error.to_string(), "see `key`")],
    };
    let within = config.timeout.min(WITHIN);
    let call = tokio::time::timeout(within, mint.mint(&identity, clock.now()));
    match call.await.unwrap_or(Err(TokenError::Timeout)) {
        Err(error) => vec![refused(&error, within)],
        Ok(minted) => vec![
            made(config, &minted),
            taken(config, &minted, server, clock).await,
        ],
    }
}

/// What came of a mint that worked.
fn made(config: &MintConfig, minted: &Minted) -> Finding {
    // `exp` is in whole seconds, so that up to one is missing.
    let life = minted
        .life
        .saturating_add(Duration::from_millis(999))
        .as_secs();
    let life = humantime::format_duration(Duration::from_secs(life));
    let how = match key_mode(&config.key) {
        Ok(KeyMode::Sign) => "signed here",
        Ok(KeyMode::Exchange) | Err(_) => "Behest took BEHEST_KEY and minted",
    };
    let Some(tier) = &config.default_tier else {
        let what = format!("{how} a token that is good for {life}; no tier was asked for");
        return Finding::ok(CHECK, what);
    };
    let asked = tier.to_json();
    let shown = shown(tier);
    if tier_of(minted).as_ref() == Some(&asked) {
        let what = format!("{how} a token that is good for {life}, with the tier {shown}");
        return Finding::ok(CHECK, what);
    }
    Finding::warning(
        CHECK,
        format!(
            "{how} a token that is good for {life}, but without the tier {shown} that was asked for"
        ),
        "write mint.default_tier and mint.tier_map with tiers that the project has, as the type \
         (number or text) that Behest has them",
    )
}

fn shown(tier: &Tier) -> String {
    match tier {
        Tier::Number(number) => number.to_string(),
        Tier::Text(text) => text.to_string(),
    }
}

/// The tier in the token's own claims.
fn tier_of(minted: &Minted) -> Option<Value> {
    let payload = minted.authorization.to_str().ok()?.split('.').nth(1)?;
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims.get("tier").cloned()
}

/// What a mint that failed means.
fn refused(error: &TokenError, within: Duration) -> Finding {
    let (what, fix) = match error {
        TokenError::Refused { status } => (error.to_string(), fix_of(status.as_u16())),
        TokenError::Unavailable {
            cause: Outage::Status(status),
            ..
        } if status.as_u16() == 429 => (
            "the mint answers 429: too many tokens are asked for".to_owned(),
            "wait; if it stays, have the project's limit on mints raised (each replica mints for itself)",
        ),
        TokenError::Timeout => (
            format!(
                "the mint did not answer within {}",
                humantime::format_duration(within)
            ),
            "see whether Behest is well; a slow way there needs a longer mint.timeout",
        ),
        TokenError::Invalid(_) => (
            telemetry::chain(error),
            "check that BEHEST_BASE_URL and mint.path lead to Behest's mint",
        ),
        TokenError::Unavailable { .. }
        | TokenError::Overloaded
        | TokenError::UserBusy { .. }
        | TokenError::RenewedRecently
        | TokenError::Internal => (
            telemetry::chain(error),
            "see whether Behest is well, and whether this machine can reach it",
        ),
    };
    Finding::error(CHECK, what, fix)
}

fn fix_of(status: u16) -> &'static str {
    match status {
        400 | 422 => {
            "if it was the tier, mend mint.default_tier; if it was the user id, give another by --user"
        }
        401 | 403 => {
            "BEHEST_KEY is wrong or was revoked, or its project is suspended: copy the current key from \
             Behest's dashboard, and check that BEHEST_BASE_URL is the same project's"
        }
        402 => "the project's plan or balance has ended: renew it in Behest's dashboard",
        _ => "check BEHEST_BASE_URL, and mint.path (older projects: /auth/v1/auth/mint)",
    }
}

/// Whether the data plane takes the token.
async fn taken(config: &MintConfig, minted: &Minted, server: &Server, clock: &Clock) -> Finding {
    let mut request = call::get("/v1/models");
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, minted.authorization.clone());
    if let Some(session_id) = &minted.session_id {
        headers.insert(HeaderName::from_static("x-session-id"), session_id.clone());
    }
    match server.ask(request).await {
        Err(failure) => Finding::error(TOKEN, failure.what, failure.fix),
        Ok(answer) => {
            let clock = clock_offset::judge(answer.headers(), clock.now());
            judge(config, answer.status().as_u16(), answer.headers(), &clock)
        }
    }
}

fn judge(config: &MintConfig, status: u16, headers: &HeaderMap, clock: &Finding) -> Finding {
    let signed = matches!(key_mode(&config.key), Ok(KeyMode::Sign));
    match status {
        200..300 => Finding::ok(
            TOKEN,
            format!("Behest takes it: GET /v1/models gives {status}"),
        ),
        401 if clock.level > Level::Info => Finding::error(
            TOKEN,
            format!("Behest refuses it (401), and {}", clock.what),
            clock.fix.as_deref().unwrap_or_default(),
        ),
        401 if signed => Finding::error(
            TOKEN,
            "Behest refuses it (401), and the clocks agree",
            "BEHEST_KID must name the public half of this very key, registered with Behest for this \
             tenant (after registering, its key list may be cached for 5 minutes); compare \
             BEHEST_TENANT_ID and BEHEST_PROJECT_ID too",
        ),
        401 => Finding::error(
            TOKEN,
            "Behest refuses the token that it has just minted (401)",
            "check that BEHEST_BASE_URL and BEHEST_KEY are the same project's",
        ),
        403 => Finding::error(
            TOKEN,
            "Behest takes its signature, but not its tenant or project (403)",
            "compare BEHEST_TENANT_ID, BEHEST_PROJECT_ID and the slug in BEHEST_BASE_URL",
        ),
        402 => Finding::warning(
            TOKEN,
            "Behest takes it, but the quota has ended (402)",
            "renew the plan, or raise the tier's budget, in Behest's dashboard",
        ),
        429 => {
            let wait = call::text(headers, "retry-after");
            let wait = if wait.is_empty() { "a while" } else { wait };
            Finding::warning(
                TOKEN,
                "Behest takes it, but limits its requests (429)",
                format!("wait ({wait}), or raise the tier's limit in Behest's dashboard"),
            )
        }
        _ => Finding::error(
            TOKEN,
            format!("GET /v1/models with it gives {status}"),
            "see whether Behest is well, and that BEHEST_BASE_URL is the project's data plane",
        ),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn each_refusal_of_a_mint_names_what_to_mend() {
        let refusal = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            refused(&TokenError::Refused { status }, WITHIN)
                .fix
                .unwrap()
        };
        assert!(refusal(401).contains("BEHEST_KEY") && refusal(403).contains("BEHEST_KEY"));
        assert!(refusal(402).contains("plan"));
        assert!(refusal(400).contains("default_tier"));
        assert!(refusal(404).contains("mint.path"));
        let limited = TokenError::Unavailable {
            retry_after: None,
            cause: Outage::Status(StatusCode::TOO_MANY_REQUESTS),
        };
        assert!(refused(&limited, WITHIN).what.contains("429"));
        let late = refused(&TokenError::Timeout, Duration::from_secs(5));
        assert!(late.what.contains("within 5s") && late.fix.unwrap().contains("mint.timeout"));
    }
}
