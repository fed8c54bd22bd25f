//! Access tokens: RS256 JWTs, made and verified by hand.
//!
//! Verification is strict and has no leeway: three parts, `RS256`, a known `kid`, a good
//! signature, then `iss`, `exp`, `nbf` and `iat`. A token that fails is told apart only by text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::{SigningKey, TrustedKey};

/// `iss` in every token: an identifier, not an address.
pub(super) const ISSUER: &str = "https://api.behest.app";

/// The claims that the data plane goes by.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) tid: String,
    pub(super) pid: String,
    pub(super) uid: String,
    pub(super) role: String,
    #[serde(default)]
    pub(super) tier: Option<Value>,
    #[serde(default)]
    pub(super) sid: Option<String>,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl Claims {
    /// The tier as a word; `free` where the token has none.
    pub(super) fn tier_word(&self) -> String {
        match &self.tier {
            Some(Value::String(word)) => word.clone(),
            Some(other) => other.to_string(),
            None => "free".to_owned(),
        }
    }
}

/// Signs claims; `None` only if the signature itself fails.
pub(super) fn sign(key: &SigningKey, claims: &Value) -> Option<String> {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": key.kid()});
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = key.sign(signed.as_bytes())?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Verifies a token at `now`, in Unix seconds; returns its claims, read and raw, or what is
/// wrong with it.
pub(super) fn verify(
    keys: &[TrustedKey],
    token: &str,
    now: u64,
) -> Result<(Claims, Value), &'static str> {
    let raw = verify_signature(keys, token)?;
    let claims = Claims::deserialize(&raw)
        .map_err(|_| "the token lacks one of iss, tid, pid, uid, role, iat, nbf, exp")?;
    if claims.iss != ISSUER {
        return Err("the token has another issuer");
    }
    if claims.uid.is_empty() {
        return Err("the token names no user");
    }
    if claims.role != "user" {
        return Err("the token has another role than user");
    }
    if claims.exp <= now {
        return Err("the token has expired");
    }
    if claims.nbf > now || claims.iat > now {
        return Err("the token is not yet valid");
    }
    Ok((claims, raw))
}

fn verify_signature(keys: &[TrustedKey], token: &str) -> Result<Value, &'static str> {
    const MALFORMED: &str = "the token is not a JWT";
    let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
    let (header, payload) = signed.split_once('.').ok_or(MALFORMED)?;
    let header: Value = decode(header)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or(MALFORMED)?;
    if header.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Err("the token is not signed with RS256");
    }
    let kid = header.get("kid").and_then(Value::as_str);
    let key = keys
        .iter()
        .find(|key| Some(key.kid()) == kid)
        .ok_or("the token's kid is unknown")?;
    let signature = decode(signature).ok_or(MALFORMED)?;
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err("the token's signature is wrong");
    }
    decode(payload)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or(MALFORMED)
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::signing_key;
    use super::*;

    const NOW: u64 = 1_000_000;

    fn claims() -> Value {
        json!({"iss": ISSUER, "tid": "t", "pid": "p", "uid": "u", "tier": 2, "sid": "s",
               "role": "user", "iat": NOW, "nbf": NOW, "exp": NOW + 60})
    }

    fn outcome(claims: &Value) -> Result<Claims, &'static str> {
        let key = signing_key();
        let token = sign(&key, claims).unwrap();
        verify(&[key.trusted().unwrap()], &token, NOW).map(|(claims, _)| claims)
    }

    #[test]
    fn a_token_verifies_until_it_ends() {
        assert_eq!(outcome(&claims()).unwrap().tier_word(), "2");
        for (name, value) in [
            ("exp", json!(NOW)),
            ("nbf", json!(NOW + 1)),
            ("iat", json!(NOW + 1)),
            ("iss", json!("https://elsewhere.example")),
            ("role", json!("admin")),
            ("uid", json!("")),
            ("sid", json!(7)),
        ] {
            let mut wrong = claims();
            wrong[name] = value;
            assert!(outcome(&wrong).is_err(), "{name}");
        }
    }

    #[test]
    fn a_token_of_another_key_or_shape_is_refused() {
        let key = signing_key();
        let trusted = [key.trusted().unwrap()];
        let stranger = sign(&SigningKey::generate().unwrap(), &claims()).unwrap();
        assert!(verify(&trusted, &stranger, NOW).is_err());
        let good = sign(&key, &claims()).unwrap();
        let (signed, _) = good.rsplit_once('.').unwrap();
        let payload = signed.split_once('.').unwrap().1;
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        for token in [
            format!("{signed}."),
            format!("{signed}.AAAA"),
            format!("{none}.{payload}."),
            format!("{good}.x"),
            "x".into(),
            String::new(),
        ] {
            assert!(verify(&trusted, &token, NOW).is_err(), "{token}");
        }
    }
}
