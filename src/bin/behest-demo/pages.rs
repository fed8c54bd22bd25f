//! The page and its parts, and the answers of the demo's own endpoints.
//!
//! Guarantees: every answer forbids framing, sniffing and scripts of any other origin, and is stored
//! by no cache.

use std::path::Path;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

const INDEX: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const APP: &str = include_str!("app.js");
const WIRE: &str = include_str!("wire.js");
const ICON: &str = include_str!("icon.svg");
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Nothing but this origin's own files; no inline script or style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// An answer that is held whole.
pub(crate) type Page = Response<Full<Bytes>>;

/// What the browser loads.
pub(crate) struct Pages {
    openai: Bytes,
}

impl Pages {
    /// Reads the bundled `openai` package from `assets`.
    ///
    /// # Errors
    /// A text that says how to build it.
    pub(crate) fn load(assets: &Path) -> Result<Self, String> {
        let path = assets.join("openai.js");
        match std::fs::read(&path) {
            Ok(openai) => Ok(Self {
                openai: openai.into(),
            }),
            Err(error) => Err(format!(
                "{path} cannot be read ({error}).\n\
                 It is the openai package, bundled for the page. `make demo` builds it and starts \
                 this; by hand:\n  (cd src/bin/behest-demo && npm ci)\n  \
                 node src/bin/behest-demo/build.mjs {assets}",
                path = path.display(),
                assets = assets.display(),
            )),
        }
    }

    /// The file at this path; `None` if there is none.
    pub(crate) fn file(&self, path: &str) -> Option<Page> {
        let (kind, content) = match path {
            "/" => ("text/html; charset=utf-8", INDEX),
            "/style.css" => ("text/css; charset=utf-8", STYLE),
            "/app.js" => (SCRIPT, APP),
            "/wire.js" => (SCRIPT, WIRE),
            "/icon.svg" => ("image/svg+xml", ICON),
            "/openai.js" => return Some(answer(StatusCode::OK, SCRIPT, self.openai.clone())),
            _ => return None,
        };
        let content = Bytes::from_static(content.as_bytes());
        Some(answer(StatusCode::OK, kind, content))
    }
}

/// 200 with JSON.
pub(crate) fn found(value: &Value) -> Page {
    let body = Bytes::from(value.to_string());
    answer(StatusCode::OK, "application/json", body)
}

/// 200 with JSON and a cookie.
pub(crate) fn found_with_cookie(value: &Value, cookie: HeaderValue) -> Page {
    let mut page = found(value);
    page.headers_mut().insert(SET_COOKIE, cookie);
    page
}

/// A refusal in words.
pub(crate) fn refused(status: StatusCode, why: &str) -> Page {
    let body = Bytes::from(json!({ "error": why }).to_string());
    answer(status, "application/json", body)
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Page {
    let mut page = Response::new(Full::new(body));
    *page.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        page.headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_bundle_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let Err(text) = Pages::load(folder.path()) else {
            panic!("there is no openai.js in an empty folder");
        };
        assert!(
            text.contains("make demo") && text.contains("build.mjs"),
            "{text}"
        );
    }

    #[test]
    fn the_page_loads_nothing_inline_and_only_files_that_exist() {
        let pages = Pages {
            openai: Bytes::new(),
        };
        assert!(!INDEX.contains("style=") && !INDEX.contains("<script>"));
        let attributes = INDEX
            .split(['"', '\''])
            .chain(APP.split('"'))
            .chain(WIRE.split('"'));
        let files: Vec<_> = attributes
            .filter(|text| text.starts_with('/') && text.contains('.'))
            .filter(|text| !text.contains(char::is_whitespace))
            .collect();
        assert!(files.len() >= 5, "{files:?}");
        for file in files {
            assert!(pages.file(file).is_some(), "{file}");
        }
    }
}
