//! The mint's 200 answer, in every shape that it has been documented with.
//!
//! Shapes: `{jwt, project_id, ttl, session_id}`, `{access_token, token_type, project_id, expires_in}`
//! and the SDK's `{token, ttl, sessionId, expiresAt}`; unknown fields are ignored. Guarantees: what
//! is accepted is for the user that was asked for and had not ended before it was asked for.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::clock::Now;
use crate::identity::UserId;

use super::issued::{Issued, seconds};
use super::{InvalidAnswer, Minted};

#[derive(Deserialize)]
struct Answer {
    jwt: Option<String>,
    access_token: Option<String>,
    token: Option<String>,
    token_type: Option<String>,
    #[serde(default)]
    ttl: Value,
    #[serde(default)]
    expires_in: Value,
}

/// The token in `body`, which answers for `user`; `asked` is the moment before the request.
///
/// # Errors
/// The answer is no usable token.
pub(super) fn parse(body: &[u8], user: &UserId, asked: Now) -> Result<Minted, InvalidAnswer> {
    // By way of a map, since a struct would also be read from an array.
    let body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| InvalidAnswer::NotJson)?;
    let answer = Answer::deserialize(Value::Object(body)).map_err(|_| InvalidAnswer::NotJson)?;
    if let Some(kind) = &answer.token_type
        && !kind.eq_ignore_ascii_case("bearer")
    {
        return Err(InvalidAnswer::TokenType);
    }
    let ttl = answer.ttl()?;
    let token = answer
        .jwt
        .or(answer.access_token)
        .or(answer.token)
        .ok_or(InvalidAnswer::NoToken)?;
    let issued = Issued::parse(&token, user)?;
    let until_exp = issued.ends.map(|ends| ends.saturating_sub(asked.unix));
    let life = match (ttl, until_exp) {
        (Some(ttl), Some(until_exp)) => ttl.min(until_exp),
        (Some(life), None) | (None, Some(life)) => life,
        (None, None) => return Err(InvalidAnswer::NoEnd),
    };
    if life.is_zero() {
        return Err(InvalidAnswer::Ended);
    }
    Ok(Minted {
        authorization: issued.authorization,
        session_id: issued.session_id,
        life,
        ends: asked.unix.saturating_add(life),
    })
}

impl Answer {
    /// The returned lifetime; `None` where there is none.
    fn ttl(&self) -> Result<Option<Duration>, InvalidAnswer> {
        let value = if self.ttl.is_null() {
            &self.expires_in
        } else {
            &self.ttl
        };
        if value.is_null() {
            return Ok(None);
        }
        seconds(value).map(Some).ok_or(InvalidAnswer::NoEnd)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::jwt;
    use super::*;
    use crate::clock::Clock;
    use serde_json::json;

    const START: u64 = 1_700_000_000;

    fn read(answer: &Value) -> Result<Minted, InvalidAnswer> {
        let user = UserId::parse("ada").unwrap();
        parse(
            answer.to_string().as_bytes(),
            &user,
            Clock::manual(START).now(),
        )
    }

    fn token(life: u64) -> String {
        jwt(&json!({"uid": "ada", "sid": "own", "exp": START + life}))
    }

    #[test]
    fn every_documented_shape_is_read() {
        let jwt = token(900);
        for answer in [
            json!({"jwt": jwt, "project_id": "p", "ttl": 900, "session_id": "s"}),
            json!({"access_token": jwt, "token_type": "Bearer", "project_id": "p", "expires_in": 900}),
            json!({"token": jwt, "ttl": 900, "sessionId": "s", "expiresAt": "2026-01-01T00:00:00Z"}),
            json!({"token": jwt, "ttl": 900.0, "expiresAt": 1, "unknown": {"jwt": [1]}}),
            json!({"jwt": jwt}),
            json!({"jwt": jwt, "ttl": null, "token": null}),
        ] {
            let minted = read(&answer).unwrap();
            assert_eq!(minted.authorization, format!("Bearer {jwt}"));
            assert_eq!(minted.session_id.unwrap(), "own");
            assert_eq!(minted.life, Duration::from_mins(15));
        }
    }

    #[test]
    fn the_earlier_of_ttl_and_exp_ends_a_token() {
        let life = |ttl: u64, exp: u64| read(&json!({"jwt": token(exp), "ttl": ttl})).unwrap().life;
        assert_eq!(life(60, 900), Duration::from_mins(1));
        assert_eq!(life(900, 60), Duration::from_mins(1));
        let without_exp = jwt(&json!({"uid": "ada"}));
        let minted = read(&json!({"jwt": without_exp, "ttl": 70})).unwrap();
        assert_eq!(minted.life, Duration::from_secs(70));
        assert_eq!(minted.ends, Duration::from_secs(START + 70));
    }

    #[test]
    fn every_bad_answer_has_its_reason() {
        let jwt_of = |claims: Value| json!({"jwt": jwt(&claims), "ttl": 900});
        for (answer, reason) in [
            (json!([]), InvalidAnswer::NotJson),
            (json!("token"), InvalidAnswer::NotJson),
            (json!({"jwt": 1}), InvalidAnswer::NotJson),
            (json!([token(9), null, null, null]), InvalidAnswer::NotJson),
            (json!({}), InvalidAnswer::NoToken),
            (json!({"error": {"code": "x"}}), InvalidAnswer::NoToken),
            (
                json!({"jwt": token(900), "token_type": "DPoP"}),
                InvalidAnswer::TokenType,
            ),
            (json!({"jwt": "opaque", "ttl": 900}), InvalidAnswer::NotJwt),
            (
                jwt_of(json!({"uid": "eve", "exp": START + 9})),
                InvalidAnswer::WrongUser,
            ),
            (
                jwt_of(json!({"uid": "ada", "sid": "a b"})),
                InvalidAnswer::SessionId,
            ),
            (
                jwt_of(json!({"uid": "ada", "exp": START - 1})),
                InvalidAnswer::Ended,
            ),
            (
                jwt_of(json!({"uid": "ada", "exp": START})),
                InvalidAnswer::Ended,
            ),
            (
                jwt_of(json!({"uid": "ada", "exp": -5})),
                InvalidAnswer::Ended,
            ),
            (json!({"jwt": token(900), "ttl": 0}), InvalidAnswer::Ended),
            (json!({"jwt": token(900), "ttl": -1}), InvalidAnswer::Ended),
            (
                json!({"jwt": token(900), "ttl": "15m"}),
                InvalidAnswer::NoEnd,
            ),
            (
                json!({"jwt": jwt(&json!({"uid": "ada"}))}),
                InvalidAnswer::NoEnd,
            ),
        ] {
            assert_eq!(read(&answer).err(), Some(reason), "{answer}");
        }
    }

    #[test]
    fn bytes_that_are_no_json_are_refused() {
        let user = UserId::parse("ada").unwrap();
        for body in [&b""[..], b"<html>", b"{", b"\xff\xfe", b"{} {}"] {
            let error = parse(body, &user, Clock::manual(START).now()).err();
            assert_eq!(error, Some(InvalidAnswer::NotJson));
        }
    }
}
