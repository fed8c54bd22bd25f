//! The address of a key set: an origin as Behest's is written, and a path.

use http::Uri;

use crate::config::url::UpstreamUrl;
use crate::config::values::{Value, quoted};

/// An `https` or `http` address that is called as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    uri: Uri,
    /// Whether what comes from there can be changed on the way.
    pub(super) is_open: bool,
}

impl Address {
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl Value for Address {
    fn from_text(text: &str) -> Result<Self, String> {
        let text = String::from_text(text)?;
        let form = "must be an address such as \"https://issuer.example/.well-known/jwks.json\"";
        if text.contains('#') || !text.is_ascii() {
            return Err(form.to_owned());
        }
        let (scheme, rest) = text.split_once("://").ok_or(form)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or(form)?;
        let origin =
            UpstreamUrl::parse(&format!("{scheme}://{authority}")).map_err(|_| form.to_owned())?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        let uri: Uri = format!("{origin}{slash}{target}")
            .parse()
            .map_err(|_| form)?;
        Ok(Self {
            uri,
            is_open: !origin.is_tls() && !origin.is_loopback(),
        })
    }

    fn to_toml(&self) -> String {
        quoted(&self.uri.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_origin_and_a_path() {
        let shown = |text: &str| Address::from_text(text).map(|address| address.uri.to_string());
        for (text, expected) in [
            ("https://a.example/k?x=1", "https://a.example/k?x=1"),
            ("https://A.example:443", "https://a.example/"),
            ("http://127.0.0.1:81?x", "http://127.0.0.1:81/?x"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected));
        }
        for text in [
            "",
            "a.example",
            "ftp://a.example",
            "https://u@a.example/",
            "https://a.example/#x",
            "https://a.example/ä",
            "https://a.example/ x",
            "https:///x",
        ] {
            assert!(shown(text).is_err(), "{text}");
        }
        let open = |text: &str| Address::from_text(text).map(|address| address.is_open);
        assert_eq!(open("http://localhost:1/"), Ok(false));
        assert_eq!(open("http://10.0.0.1/"), Ok(true));
    }
}
