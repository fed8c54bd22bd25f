//! The defence against pages of other sites that would spend a signed-in user's budget (CSRF).
//!
//! Decided from `Origin` and `Sec-Fetch-Site` alone, before a session is opened or a token minted,
//! for every method. RFC 10017 section 6.1.3.3.2 asks it of every backend that holds tokens for a
//! browser; Duende GHSA-4j63-5v5f-xcc4 is what happens where one kind of route skips it.

use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whose pages may call (`[cross_origin]`).
#[derive(Clone, Debug, Default)]
pub struct CrossOriginConfig {
    /// The app's own origins, e.g. `https://app.example`. Empty: the `Host` of each request is its own.
    pub public_origins: Vec<String>,
    /// Other origins whose pages may call, exactly as browsers send them.
    pub allowed_origins: Vec<String>,
    /// Refuse requests that carry neither `Origin` nor `Sec-Fetch-Site`; default false.
    pub require_proof: bool,
}

/// Decides by [`CrossOriginConfig`].
pub struct CrossOrigin {
    config: CrossOriginConfig,
}

/// Why a request was taken for another site's. The text is for the operator; it names the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrossOriginRefusal {
    /// Two `Origin` or `Sec-Fetch-Site` lines.
    #[error("more than one Origin or Sec-Fetch-Site header")]
    Repeated,
    /// An origin that is neither public nor allowed.
    #[error(
        "origin {0} is neither in cross_origin.public_origins (GATEWAY_PUBLIC_ORIGIN) nor in cross_origin.allowed_origins (GATEWAY_ALLOWED_ORIGINS)"
    )]
    Origin(String),
    /// The browser says that another site's page asks.
    #[error(
        "Sec-Fetch-Site is {0}, and Origin names none of cross_origin.allowed_origins (GATEWAY_ALLOWED_ORIGINS): a page of another site asks, or a proxy on the way removes Origin"
    )]
    Site(String),
    /// Nothing says where it comes from, and a form of another site could have sent it.
    #[error(
        "neither Origin nor Sec-Fetch-Site: programs must send Content-Type: application/json, or with cross_origin.require_proof an Origin that is public or allowed"
    )]
    Unproven,
}

impl CrossOrigin {
    /// A decision by `config`.
    #[must_use]
    pub fn new(config: CrossOriginConfig) -> Self {
        Self { config }
    }

    /// Decides about one request; `host` is what it was sent to.
    ///
    /// # Errors
    /// It is another site's, or cannot be told from it.
    pub fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        host: &[u8],
    ) -> Result<(), CrossOriginRefusal> {
        let origin = single(headers, &ORIGIN)?;
        let site = single(headers, &SEC_FETCH_SITE)?;
        let is_public = origin.is_some_and(|origin| self.is_public(origin, host));
        let is_allowed =
            origin.is_some_and(|origin| contains(&self.config.allowed_origins, origin));
        if let Some(origin) = origin
            && !is_public
            && !is_allowed
        {
            return Err(CrossOriginRefusal::Origin(printable(origin)));
        }
        match site.map(HeaderValue::as_bytes) {
            Some(b"same-origin" | b"none") => Ok(()),
            Some(b"same-site" | b"cross-site") if is_allowed => Ok(()),
            Some(_) => Err(CrossOriginRefusal::Site(
                site.map(printable).unwrap_or_default(),
            )),
            None if origin.is_some() => Ok(()),
            None if self.config.require_proof => Err(CrossOriginRefusal::Unproven),
            None if could_be_a_form(method, headers) => Err(CrossOriginRefusal::Unproven),
            None => Ok(()),
        }
    }

    fn is_public(&self, origin: &HeaderValue, host: &[u8]) -> bool {
        if !self.config.public_origins.is_empty() {
            return contains(&self.config.public_origins, origin);
        }
        let origin = origin.as_bytes();
        [&b"https://"[..], b"http://"].iter().any(|scheme| {
            origin
                .strip_prefix(*scheme)
                .is_some_and(|rest| rest == host && !host.is_empty())
        })
    }
}

/// Without `Origin` and `Sec-Fetch-Site` the caller is no current browser. What an old one could
/// still be made to send across sites is a form's POST, and no form can send JSON.
fn could_be_a_form(method: &Method, headers: &HeaderMap) -> bool {
    if *method != Method::POST {
        return false;
    }
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    !media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json"))
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, CrossOriginRefusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(CrossOriginRefusal::Repeated),
    }
}

fn contains(origins: &[String], origin: &HeaderValue) -> bool {
    origins
        .iter()
        .any(|known| known.as_bytes() == origin.as_bytes())
}

/// A header's value for the log: bounded, and nothing but visible ASCII.
fn printable(value: &HeaderValue) -> String {
    let shown = value.as_bytes().iter().take(100);
    shown
        .map(|&b| {
            if b.is_ascii_graphic() {
                char::from(b)
            } else {
                '?'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "app.example";

    fn decide(config: &CrossOriginConfig, method: &str, headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                http::HeaderName::try_from(*name).unwrap(),
                value.parse().unwrap(),
            );
        }
        CrossOrigin::new(config.clone())
            .check(&method.parse().unwrap(), &map, HOST.as_bytes())
            .is_ok()
    }

    fn configured() -> CrossOriginConfig {
        CrossOriginConfig {
            public_origins: vec!["https://app.example".into()],
            allowed_origins: vec!["https://chat.example".into()],
            require_proof: false,
        }
    }

    #[test]
    fn origins_are_compared_byte_for_byte() {
        let config = configured();
        assert!(decide(
            &config,
            "POST",
            &[("origin", "https://app.example")]
        ));
        assert!(decide(
            &config,
            "POST",
            &[("origin", "https://chat.example")]
        ));
        for evil in [
            "null",
            "https://app.example.evil",
            "https://evil.app.example",
            "http://app.example",
            "https://APP.example",
            "https://app.example:443",
            "https://app.example/",
            "",
        ] {
            assert!(!decide(&config, "POST", &[("origin", evil)]), "{evil}");
            let claimed = [("origin", evil), ("sec-fetch-site", "same-origin")];
            assert!(!decide(&config, "GET", &claimed), "{evil}");
        }
    }

    #[test]
    fn the_browsers_word_on_the_site_counts() {
        let config = configured();
        assert!(decide(&config, "GET", &[("sec-fetch-site", "same-origin")]));
        assert!(decide(&config, "GET", &[("sec-fetch-site", "none")]));
        for site in ["same-site", "cross-site", "other", ""] {
            assert!(
                !decide(&config, "GET", &[("sec-fetch-site", site)]),
                "{site}"
            );
        }
        let allowed = [
            ("origin", "https://chat.example"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert!(decide(&config, "POST", &allowed));
        let contradiction = [
            ("origin", "https://app.example"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert!(!decide(&config, "POST", &contradiction));
    }

    #[test]
    fn without_a_public_origin_the_host_is_the_origin() {
        let config = CrossOriginConfig::default();
        assert!(decide(&config, "POST", &[("origin", "http://app.example")]));
        assert!(decide(
            &config,
            "POST",
            &[("origin", "https://app.example")]
        ));
        assert!(!decide(
            &config,
            "POST",
            &[("origin", "https://app.example:8443")]
        ));
        assert!(!decide(&config, "POST", &[("origin", "null")]));
    }

    #[test]
    fn what_a_form_can_send_needs_proof() {
        let config = configured();
        assert!(decide(&config, "GET", &[]));
        assert!(decide(&config, "DELETE", &[]));
        assert!(decide(
            &config,
            "POST",
            &[("content-type", "Application/JSON; charset=utf-8")]
        ));
        for form in [
            "text/plain",
            "multipart/form-data",
            "application/x-www-form-urlencoded",
        ] {
            assert!(
                !decide(&config, "POST", &[("content-type", form)]),
                "{form}"
            );
        }
        assert!(!decide(&config, "POST", &[]));
        let strict = CrossOriginConfig {
            require_proof: true,
            ..configured()
        };
        assert!(!decide(&strict, "GET", &[]));
    }

    #[test]
    fn repeated_headers_are_refused() {
        let config = configured();
        let twice = [
            ("origin", "https://app.example"),
            ("origin", "https://app.example"),
        ];
        assert!(!decide(&config, "POST", &twice));
        let sites = [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert!(!decide(&config, "GET", &sites));
    }
}
