//! The operators' page: public files without any data, which ask for `admin.token` in the browser.
//!
//! Guarantees: every file is part of the program; the page may run nothing but these files, load
//! nothing from elsewhere, send nothing elsewhere, and be framed by nobody.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response};
use http_body_util::Full;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Paths, media types and contents.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/page/page.css", CSS, include_str!("page/page.css")),
    ("/page/page.js", JS, include_str!("page/page.js")),
    ("/page/charts.js", JS, include_str!("page/charts.js")),
    ("/page/format.js", JS, include_str!("page/format.js")),
    ("/page/panels.js", JS, include_str!("page/panels.js")),
    (
        "/page/vendor/uPlot.min.css",
        CSS,
        include_str!("page/vendor/uPlot.min.css"),
    ),
    (
        "/page/vendor/uPlot.iife.min.js",
        JS,
        include_str!("page/vendor/uPlot.iife.min.js"),
    ),
    (
        "/page/vendor/LICENSE",
        "text/plain; charset=utf-8",
        include_str!("page/vendor/LICENSE"),
    ),
];

/// The file at `path`, if it is one of the page's.
pub(super) fn file(path: &str) -> Option<Response<Full<Bytes>>> {
    let (_, media, content) = FILES.iter().find(|(known, ..)| *known == path)?;
    Some(answer(media, content))
}

/// Whether there is a token that the page can ask for.
pub(super) fn token(is_set: bool) -> Response<Full<Bytes>> {
    let told = if is_set {
        r#"{"is_set":true}"#
    } else {
        r#"{"is_set":false}"#
    };
    answer("application/json", told)
}

fn answer(media: &'static str, content: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(content.as_bytes())));
    let headers = response.headers_mut();
    let same_origin = "same-origin";
    for (name, value) in [
        (CONTENT_TYPE, media),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // An upgraded gateway's page must not meet an older one's scripts.
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            same_origin,
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            same_origin,
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_names_is_there_and_nothing_is_from_elsewhere() {
        let ours = FILES.iter().filter(|(path, ..)| !path.contains("vendor"));
        for (path, _, content) in ours {
            let quoted = content.split(['"', '\'', '`']);
            for name in quoted.filter(|text| text.starts_with("/page/")) {
                let is_there = file(name).is_some() || name == "/page/token";
                assert!(is_there, "{path} names {name}");
            }
            // A namespace is a name: nothing is fetched from it.
            let content = content.replace("http://www.w3.org/2000/svg", "");
            for strange in ["http://", "https://", "innerHTML", "eval(", "localStorage"] {
                assert!(!content.contains(strange), "{path} has {strange}");
            }
        }
        assert!(file("/page/../admin.rs").is_none());
    }

    #[test]
    fn no_script_or_style_stands_in_the_page_itself() {
        let page = include_str!("page/index.html");
        for inline in ["<style", "style=", "onclick", "onload", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        for script in page.split("<script").skip(1) {
            assert!(script.contains("src=\"/page/"), "{script}");
        }
    }
}
