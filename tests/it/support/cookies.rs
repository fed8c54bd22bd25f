//! Session cookies in every form that the libraries give them.

use behest_gateway::clock::unix_time;

use super::sealer::Sealer;
use super::{COOKIE, SECRET};

/// The name of the cookie over https.
pub const SECURE: &str = "__Secure-authjs.session-token";

/// `NextAuth` v4's own name over http.
pub const V4: &str = "next-auth.session-token";

/// The claims of a session that ends in an hour.
pub fn claims(user: &str) -> String {
    ending(user, 3600)
}

/// The claims of a session that ends `seconds` from now, or ended so long ago.
pub fn ending(user: &str, seconds: i64) -> String {
    let now = i64::try_from(unix_time().as_secs()).unwrap();
    let exp = now + seconds;
    format!(r#"{{"sub":"{user}","tier":"pro","sid":"browser-{user}","exp":{exp}}}"#)
}

/// The value of an Auth.js v5 cookie of this name.
pub fn v5(secret: &str, name: &str, payload: &str) -> String {
    Sealer::v5(secret, name).seal(payload)
}

/// The same with the other cipher.
pub fn v5_gcm(secret: &str, name: &str, payload: &str) -> String {
    Sealer::v5_gcm(secret, name).seal(payload)
}

/// The value of a `NextAuth` v4 cookie.
pub fn v4(secret: &str, payload: &str) -> String {
    Sealer::v4(secret).seal(payload)
}

/// A Cookie header: `payload` under the usual name and secret.
pub fn header(payload: &str) -> String {
    format!("{COOKIE}={}", v5(SECRET, COOKIE, payload))
}

/// The pairs of a cookie that its library cut into chunks of `length`.
pub fn chunks(name: &str, value: &str, length: usize) -> Vec<String> {
    let pieces = value.as_bytes().chunks(length).enumerate();
    pieces
        .map(|(at, piece)| format!("{name}.{at}={}", std::str::from_utf8(piece).unwrap()))
        .collect()
}
