//! What the sessions of iron-session, Better Auth, Supabase, Auth0 and express-session give: genuine
//! ones what they say, and damaged ones nothing.
//!
//! Input: a byte that chooses the kind and the case, two bytes (where a value is damaged or cut into
//! chunks, and what is changed), a line (the end in milliseconds, what stands around Supabase's token,
//! or an opaque session's name), and the session's JSON.

use http::HeaderMap;
use serde_json::Value;

use super::gateway::session::{ProviderKind, Session, SessionError};
use super::input::{choice, line};
use super::other_stands::{AUTHENTICATOR, OLD_SECRET, SECRET, STANDS, Stand, TOKEN, TOKEN_COOKIE};
use super::rules::{self, EXPIRED, INVALID, Judgement};
use super::sealer::{Sealer, base64url};
use super::sessions;
use super::signed_session::{SIGNERS, usual_header};
use super::writers::{self, Signer};

/// A value as its library writes it, and what it is.
struct Written {
    value: Vec<u8>,
    /// `None` where that cannot be said here.
    expected: Option<Judgement>,
}

/// What a case is made of.
struct Case<'d> {
    /// Chooses what is left to choose: which secret, which spelling, whether there are chunks.
    choice: u8,
    place: u8,
    change: u8,
    line: &'d str,
    payload: &'d str,
}

/// Checks one session.
pub fn check(data: &[u8]) {
    let Some((choice, [place, change, rest @ ..])) = choice(data) else {
        return;
    };
    let (line, payload) = line(rest);
    let (Ok(line), Ok(payload)) = (std::str::from_utf8(line), std::str::from_utf8(payload)) else {
        return;
    };
    let case = Case {
        choice: choice / 32,
        place: *place,
        change: *change,
        line,
        payload,
    };
    let at = usize::from(choice % 8);
    let stand = &STANDS[at];
    let is_cache = (1..=3).contains(&at);
    let damages = match choice / 8 % 4 {
        3 if is_cache => Damage::Token,
        2 | 3 => Damage::Value,
        _ => Damage::None,
    };
    // The signed token is what is damaged, and not what stands around it, which nobody signed.
    let inner = (damages == Damage::Value && at == 4).then_some(&case);
    let written = match at {
        0 => iron(stand, &case),
        1..=3 => better_auth(stand, at, &case),
        4 => supabase(stand, &case, inner),
        5 => Some(auth0(stand, &case)),
        _ => opaque(at, &case),
    };
    if let Some(mut written) = written {
        if damages == Damage::Value && at != 4 {
            case.damage(&mut written.value);
        }
        judge(stand, is_cache, &case, &written, &damages);
    }
}

/// What is changed after it was made.
#[derive(PartialEq)]
enum Damage {
    None,
    Value,
    Token,
}

fn judge(stand: &Stand, is_cache: bool, case: &Case<'_>, written: &Written, damage: &Damage) {
    let mut pairs = case.cookies(stand, &written.value);
    if is_cache {
        let mut token = writers::better_auth_token(SECRET, TOKEN).into_bytes();
        if *damage == Damage::Token {
            case.damage(&mut token);
        }
        pairs.push((TOKEN_COOKIE.to_owned(), writers::percent_encode(&token)));
    }
    let verdict = open(&pairs);
    match damage {
        Damage::Value => rules::compare(&verdict, &Err(INVALID)),
        Damage::Token => {
            // The cache itself is genuine: if it is over, that is said first.
            let is_over = written.expected == Some(Err(EXPIRED)) && stand.cookie == "c.data";
            assert!(code(&verdict) == INVALID || (is_over && code(&verdict) == EXPIRED));
            pairs.pop();
            assert!(open(&pairs).is_err(), "a cache without its token");
        }
        Damage::None => {
            if let Ok(session) = &verdict {
                rules::check_session(session);
                assert_eq!(session.provider, stand.kind.label());
                assert_eq!(session.carrier.as_str(), stand.cookie);
            }
            if let Some(expected) = &written.expected {
                rules::compare(&verdict, expected);
            }
        }
    }
    if matches!(
        stand.kind,
        ProviderKind::BetterAuth | ProviderKind::ExpressSession
    ) {
        let is_proved = matches!(verdict, Err(SessionError::NeedsLookup { .. }));
        assert_eq!(
            is_proved,
            *damage == Damage::None && written.expected.is_some()
        );
    }
}

fn open(pairs: &[(String, String)]) -> Result<Session, SessionError> {
    let pairs: Vec<(&str, String)> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let headers: HeaderMap = sessions::cookies(&pairs);
    sessions::authenticate_by(&AUTHENTICATOR, &headers)
}

fn code(verdict: &Result<Session, SessionError>) -> &'static str {
    verdict.as_ref().err().map_or("", SessionError::code)
}

impl Case<'_> {
    fn secret(&self) -> &'static str {
        if self.choice & 1 == 0 {
            SECRET
        } else {
            OLD_SECRET
        }
    }

    /// The claims, if they can be read here.
    fn claims(&self) -> Option<Value> {
        serde_json::from_str(self.payload).ok()
    }

    /// Changes one byte.
    fn damage(&self, value: &mut [u8]) {
        let at = usize::from(self.place) * value.len() / 256;
        value[at] ^= self.change | 1;
    }

    /// The value in one cookie or, where there are chunks, in two.
    fn cookies(&self, stand: &Stand, value: &[u8]) -> Vec<(String, String)> {
        let at = usize::from(self.place) * value.len() / 256;
        match stand.chunks {
            Some(separator) if self.choice & 2 != 0 && at > 0 => {
                let chunks = [&value[..at], &value[at..]].map(writers::percent_encode);
                let name = |number| format!("{}{separator}{number}", stand.cookie);
                // Their numbers count, not their places.
                let [first, second] = chunks;
                vec![(name(1), second), (name(0), first)]
            }
            _ => vec![(stand.cookie.to_owned(), writers::percent_encode(value))],
        }
    }
}

fn iron(stand: &Stand, case: &Case<'_>) -> Option<Written> {
    let end: Option<u64> = match case.line {
        "" => None,
        digits => Some(digits.parse().ok()?),
    };
    let end_text = end.map(|end| end.to_string()).unwrap_or_default();
    let id = if case.secret() == SECRET { "2" } else { "1" };
    let is_over = end.is_some_and(|end| end.saturating_add(60_000) <= 1_795_430_000_000);
    Some(Written {
        value: writers::iron(case.secret(), id, &end_text, case.payload).into_bytes(),
        expected: match case.claims() {
            _ if is_over => Some(Err(EXPIRED)),
            claims => claims.map(|claims| stand.rules.judge_user(&claims)),
        },
    })
}

fn better_auth(stand: &Stand, at: usize, case: &Case<'_>) -> Option<Written> {
    let claims = case.claims();
    let (value, is_over) = match at {
        1 => {
            let end = case.line.parse().ok().filter(|end: &u64| *end < 1 << 53)?;
            let object = claims.as_ref().filter(|claims| claims.is_object())?;
            let value = writers::compact(SECRET, &object.to_string(), end);
            (value, Some(end < 1_795_430_000_000))
        }
        // Only the newest secret signs.
        2 => {
            let signer = Signer::Secret(SECRET.into());
            (signer.token(r#"{"alg":"HS256"}"#, case.payload), None)
        }
        _ => (Sealer::better_auth(case.secret()).seal(case.payload), None),
    };
    let expected = match (is_over, claims) {
        (Some(true), _) => Some(Err(EXPIRED)),
        (_, Some(claims)) => judge_cache(stand, &claims, is_over.is_none()),
        (_, None) => None,
    };
    Some(Written {
        value: value.into_bytes(),
        expected,
    })
}

/// A cache whose own end, if it is not in the claims, is to come.
fn judge_cache(stand: &Stand, claims: &Value, has_times: bool) -> Option<Judgement> {
    let session = &claims["session"];
    if !claims.is_object() || !session.is_object() || session["token"] != TOKEN {
        return Some(Err(INVALID));
    }
    if rules::is_past(&session["expiresAt"])? {
        return Some(Err(EXPIRED));
    }
    let times = if has_times {
        stand.rules.judge_times(claims)
    } else {
        Ok(())
    };
    Some(times.and_then(|()| stand.rules.judge_user(claims)))
}

fn supabase(stand: &Stand, case: &Case<'_>, damage: Option<&Case<'_>>) -> Option<Written> {
    let (kid, signer) = &SIGNERS[usize::from(case.choice) % 3];
    let mut token = signer
        .token(&usual_header(kid, signer), case.payload)
        .into_bytes();
    if let Some(damage) = damage {
        damage.damage(&mut token);
    }
    // Whatever else the session says of whoever it likes.
    let mut around: Value = serde_json::from_str(case.line).unwrap_or_default();
    if !around.is_object() {
        around = Value::Object(serde_json::Map::default());
    }
    around["access_token"] = String::from_utf8(token).ok()?.into();
    let json = around.to_string();
    let value = if case.choice & 4 == 0 {
        format!("base64-{}", base64url(json.as_bytes()))
    } else {
        json
    };
    Some(Written {
        value: value.into_bytes(),
        expected: case.claims().map(|claims| stand.rules.judge_jwt(&claims)),
    })
}

fn auth0(stand: &Stand, case: &Case<'_>) -> Written {
    Written {
        value: Sealer::auth0(case.secret()).seal(case.payload).into_bytes(),
        expected: case.claims().map(|claims| stand.rules.judge_jwt(&claims)),
    }
}

/// A cookie that only proves to be genuine: it names nobody.
fn opaque(at: usize, case: &Case<'_>) -> Option<Written> {
    let name = Some(case.line).filter(|name| !name.is_empty())?;
    let value = if at == 6 {
        writers::better_auth_token(SECRET, name)
    } else {
        writers::express(case.secret(), name)
    };
    Some(Written {
        value: value.into_bytes(),
        expected: Some(Err(INVALID)),
    })
}
