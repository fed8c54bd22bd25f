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
    public: Vec<HeaderValue>,
    allowed: Vec<HeaderValue>,
    require_proof: bool,
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
    /// A public origin, but the browser says that the request goes to another: a page on one of the
    /// app's hosts calls another host, or somebody lies.
    #[error(
        "public origin {origin}, but the request crosses origins ({sign}): if pages of that origin are to call another host of the app, put it into cross_origin.allowed_origins (GATEWAY_ALLOWED_ORIGINS) too"
    )]
    PublicFromElsewhere {
        /// The origin.
        origin: String,
        /// By which it is known.
        sign: String,
    },
    /// The browser says that another site's page asks.
    #[error(
        "Sec-Fetch-Site is {0}, and Origin names none of cross_origin.allowed_origins (GATEWAY_ALLOWED_ORIGINS): a page of another site asks, or a proxy on the way removes Origin"
    )]
    Site(String),
    /// Nothing says where it comes from, and a form of another site could have sent it.
    #[error(
        "neither Origin nor Sec-Fetch-Site, and not JSON, so that a form could have sent it: programs must send Content-Type: application/json, or an Origin that is public or allowed"
    )]
    Unproven,
    /// Nothing says where it comes from, and `cross_origin.require_proof` asks for it.
    #[error(
        "neither Origin nor Sec-Fetch-Site, and cross_origin.require_proof asks for one: programs must send an Origin that is public or allowed"
    )]
    ProofRequired,
}

impl CrossOrigin {
    /// A decision by `config`.
    #[must_use]
    pub fn new(config: CrossOriginConfig) -> Self {
        let values = |origins: Vec<String>| {
            let values = origins.into_iter();
            values.filter_map(|origin| origin.try_into().ok()).collect()
        };
        Self {
            public: values(config.public_origins),
            allowed: values(config.allowed_origins),
            require_proof: config.require_proof,
        }
    }

    /// Decides about one request; `host` is what it was sent to. Returns the allowed origin that it
    /// comes from, if it comes from one.
    ///
    /// # Errors
    /// It is another site's, or cannot be told from it.
    pub fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        host: &[u8],
    ) -> Result<Option<&HeaderValue>, CrossOriginRefusal> {
        let origin = single(headers, &ORIGIN)?;
        let site = single(headers, &SEC_FETCH_SITE)?;
        let allowed = origin.and_then(|origin| self.allowed(origin));
        if let Some(origin) = origin
            && allowed.is_none()
            && !self.is_public(origin, host)
        {
            return Err(CrossOriginRefusal::Origin(printable(origin)));
        }
        let Some(site) = site else {
            return match origin {
                Some(_) => Ok(allowed),
                None if self.require_proof => Err(CrossOriginRefusal::ProofRequired),
                None if could_be_a_form(method, headers) => Err(CrossOriginRefusal::Unproven),
                None => Ok(None),
            };
        };
        match (site.as_bytes(), allowed, origin) {
            (b"same-origin" | b"none", ..) | (b"same-site" | b"cross-site", Some(_), _) => {
                Ok(allowed)
            }
            (b"same-site" | b"cross-site", None, Some(origin)) => {
                Err(CrossOriginRefusal::PublicFromElsewhere {
                    origin: printable(origin),
                    sign: format!("Sec-Fetch-Site: {}", printable(site)),
                })
            }
            _ => Err(CrossOriginRefusal::Site(printable(site))),
        }
    }

    /// The allowed origin that `headers` name, whatever else they say: its pages may read why they
    /// are refused.
    #[must_use]
    pub fn reader(&self, headers: &HeaderMap) -> Option<&HeaderValue> {
        if self.allowed.is_empty() {
            return None;
        }
        let origin = single(headers, &ORIGIN).ok()??;
        self.allowed(origin)
    }

    /// Decides about a preflight, by its `Origin` alone; returns it, as it is allowed.
    ///
    /// # Errors
    /// The origin is not an allowed one. Pages on a public origin ask only of other hosts.
    pub fn check_preflight(&self, headers: &HeaderMap) -> Result<&HeaderValue, CrossOriginRefusal> {
        let origin = single(headers, &ORIGIN)?.ok_or(CrossOriginRefusal::Unproven)?;
        self.allowed(origin).ok_or_else(|| {
            if contains(&self.public, origin) {
                CrossOriginRefusal::PublicFromElsewhere {
                    origin: printable(origin),
                    sign: "a preflight".to_owned(),
                }
            } else {
                CrossOriginRefusal::Origin(printable(origin))
            }
        })
    }

    /// The configured origin that `origin` is, byte for byte.
    fn allowed(&self, origin: &HeaderValue) -> Option<&HeaderValue> {
        self.allowed.iter().find(|known| *known == origin)
    }

    fn is_public(&self, origin: &HeaderValue, host: &[u8]) -> bool {
        if !self.public.is_empty() {
            return contains(&self.public, origin);
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
    let by_forms_never = [
        Method::GET, // changes nothing here, and its answer cannot be read across sites
        Method::HEAD,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    !by_forms_never.contains(method) && !is_json(headers)
}

/// Whether the one `Content-Type` is `application/json`. Of two lines, or of two values in one
/// (`application/json;,text/plain`), nobody knows which the next reader takes.
fn is_json(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return false;
    };
    let Ok(text) = line.to_str() else {
        return false;
    };
    let (media_type, _) = text.split_once(';').unwrap_or((text, ""));
    media_type.trim().eq_ignore_ascii_case("application/json") && !text.contains(',')
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

fn contains(origins: &[HeaderValue], origin: &HeaderValue) -> bool {
    origins.iter().any(|known| known == origin)
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
    fn only_one_content_type_that_is_json_is_taken_for_json() {
        let post = |types: &[&str]| {
            let headers: Vec<_> = types.iter().map(|value| ("content-type", *value)).collect();
            decide(&configured(), "POST", &headers)
        };
        for json in [
            "application/json",
            "APPLICATION/JSON",
            "application/json ; x=y",
        ] {
            assert!(post(&[json]), "{json}");
        }
        for other in [
            "",
            "application/jsonp",
            "application/json-patch+json",
            "application/problem+json",
            "text/plain; application/json",
            "text/plain;a=application/json",
            "application/json, text/plain",
            "application/json;,text/plain",
            "x application/json",
        ] {
            assert!(!post(&[other]), "{other}");
        }
        assert!(!post(&["application/json", "text/plain"]));
        assert!(!post(&["application/json", "application/json"]));
    }

    #[test]
    fn an_origin_that_is_public_and_allowed_may_cross_the_apps_hosts() {
        let mut config = configured();
        let crossing = [
            ("origin", "https://app.example"),
            ("sec-fetch-site", "same-site"),
        ];
        assert!(!decide(&config, "GET", &crossing));
        config.allowed_origins.push("https://app.example".into());
        assert!(decide(&config, "GET", &crossing));
    }

    #[test]
    fn what_no_browser_says_of_its_site_is_refused_also_of_an_allowed_origin() {
        for site in [
            "",
            "other",
            "same-origin, none",
            "SAME-ORIGIN",
            "cross-site ",
        ] {
            for origin in ["https://app.example", "https://chat.example"] {
                let headers = [("origin", origin), ("sec-fetch-site", site)];
                assert!(
                    !decide(&configured(), "POST", &headers),
                    "{origin} {site:?}"
                );
            }
        }
    }

    #[test]
    fn a_preflight_is_decided_by_its_origin_alone() {
        let decide = |origins: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
            for origin in origins {
                headers.append(ORIGIN, origin.parse().unwrap());
            }
            let cross_origin = CrossOrigin::new(configured());
            let verdict = cross_origin.check_preflight(&headers);
            verdict.map(|origin| origin.to_str().unwrap().to_owned())
        };
        let allowed = "https://chat.example";
        assert_eq!(decide(&[allowed]).as_deref(), Ok(allowed));
        assert_eq!(
            decide(&[allowed, allowed]),
            Err(CrossOriginRefusal::Repeated)
        );
        for other in ["https://app.example", "https://evil.example", "null", ""] {
            assert!(decide(&[other]).is_err(), "{other}");
        }
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
