//! Takes a JWT (a compact JWS, RFC 7515 section 3.1) apart.
//!
//! Guarantees: exactly three parts of strict base64url, so that a token has one spelling; a token that
//! demands an extension is refused; of the header only `alg`, `kid` and `typ` are looked at, so that no
//! token brings its own key (`jwk`, `jku`, `x5c`, `x5u`).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use super::super::error::InvalidReason;
use super::super::json;

/// A JWT whose signature is not yet checked.
pub(in crate::session) struct Jws<'t> {
    /// `alg`, whatever it says.
    pub(in crate::session) algorithm: String,
    /// `kid`.
    pub(in crate::session) key_id: Option<String>,
    /// `typ`.
    pub(in crate::session) token_type: Option<String>,
    /// What is signed: header and payload as they came.
    pub(in crate::session) signed: &'t [u8],
    /// The third part, in base64url.
    pub(in crate::session) signature: &'t str,
    /// The second part, decoded.
    pub(in crate::session) payload: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Takes `token` apart.
    pub(in crate::session) fn parse(token: &'t [u8]) -> Result<Self, InvalidReason> {
        let text = std::str::from_utf8(token).map_err(|_| InvalidReason::NotJwt)?;
        let (signed, signature) = text.rsplit_once('.').ok_or(InvalidReason::NotJwt)?;
        let (header, payload) = signed.split_once('.').ok_or(InvalidReason::NotJwt)?;
        let decode = |part: &str| BASE64URL.decode(part).map_err(|_| InvalidReason::NotJwt);
        // A dot within the payload is no base64url, so that there are three parts and no more.
        let payload = decode(payload)?;
        decode(signature)?;
        let header = String::from_utf8(decode(header)?).map_err(|_| InvalidReason::Header)?;
        let [alg, kid, typ, crit] =
            json::members(&header, ["alg", "kid", "typ", "crit"]).ok_or(InvalidReason::Header)?;
        if crit.is_some() {
            return Err(InvalidReason::Critical);
        }
        let text = |value| match value {
            None => Ok(None),
            Some(value) => match json::text(value) {
                Some(text) => Ok(Some(text.into_owned())),
                None => Err(InvalidReason::Header),
            },
        };
        Ok(Self {
            algorithm: text(alg)?.ok_or(InvalidReason::Header)?,
            key_id: text(kid)?,
            token_type: text(typ)?,
            signed: signed.as_bytes(),
            signature,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str, payload: &str, signature: &str) -> Result<String, InvalidReason> {
        let header = BASE64URL.encode(header);
        let token = format!("{header}.{payload}.{signature}");
        Jws::parse(token.as_bytes()).map(|jws| format!("{} {:?}", jws.algorithm, jws.key_id))
    }

    #[test]
    fn only_three_strict_parts_are_a_jws() {
        let header = r#"{"alg":"RS256","kid":"k"}"#;
        let fine = Ok(r#"RS256 Some("k")"#.to_owned());
        assert_eq!(parse(header, "e30", "c2ln"), fine);
        assert_eq!(parse(header, "e30", ""), fine);
        for (payload, signature) in [
            ("e30=", "c2ln"),
            ("e30", "c2ln="),
            ("e30", "c2l_/"),
            ("e30", "c2lnYQ.x"),
            ("e31", "c2ln"),
            ("e30 ", "c2ln"),
            ("e30", "c2ln\n"),
            ("é", "c2ln"),
        ] {
            let found = parse(header, payload, signature);
            assert_eq!(found, Err(InvalidReason::NotJwt), "{payload}.{signature}");
        }
        for token in ["", ".", "e30", "e30.e30", "e30.e30.e30.e30"] {
            let found = Jws::parse(token.as_bytes()).err();
            assert_eq!(found, Some(InvalidReason::NotJwt), "{token}");
        }
        assert!(Jws::parse(b"\xff.e30.").is_err());
    }

    #[test]
    fn a_header_without_a_plain_alg_and_kid_is_refused() {
        for (header, reason) in [
            ("[]", InvalidReason::Header),
            ("{}", InvalidReason::Header),
            (r#"{"alg":1}"#, InvalidReason::Header),
            (r#"{"alg":null}"#, InvalidReason::Header),
            (r#"{"alg":"RS256","kid":7}"#, InvalidReason::Header),
            (r#"{"alg":"RS256"}x"#, InvalidReason::Header),
            (r#"{"alg":"RS256","crit":[]}"#, InvalidReason::Critical),
            (
                r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
                InvalidReason::Critical,
            ),
        ] {
            assert_eq!(parse(header, "e30", "c2ln"), Err(reason), "{header}");
        }
    }
}
