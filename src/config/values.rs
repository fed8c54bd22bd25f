//! How each kind of value is written: in the file, in the environment, and when it is shown.
//!
//! What is refused is never repeated in the error: it may be a secret in the wrong place.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use http::HeaderName;

use super::model::LogFormat;
use super::url::UpstreamUrl;
use crate::admission::routes::{Route, RouteParseError};
use crate::admission::trusted_proxies::{AddressBlock, AddressBlockError};
use crate::identity::Tier;
use crate::metering::Cost;
use crate::session::SessionIdSource;

/// A value that the configuration can hold under one key.
///
/// The errors complete the sentence that begins with the key: `must be …`.
pub(super) trait Value: Sized {
    /// Reads it from the command line or an environment variable.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads it from the file; by default the same text in quotes.
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) => Self::from_text(text),
            None => Err("must be a text in quotes".to_owned()),
        }
    }

    /// Writes it as the file holds it.
    fn to_toml(&self) -> String;
}

/// A number of bytes, written `32 KiB`.
#[derive(Clone, Copy)]
pub(super) struct Size(pub(super) usize);

impl Value for Size {
    fn from_text(text: &str) -> Result<Self, String> {
        let size: ByteSize = text
            .parse()
            .map_err(|_| "must be a size such as \"256 KiB\"".to_owned())?;
        usize::try_from(size.as_u64())
            .map(Self)
            .map_err(|_| "is larger than this machine can count".to_owned())
    }

    fn to_toml(&self) -> String {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let unit = units
            .iter()
            .find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        match unit {
            Some((name, bytes)) => format!("\"{} {name}\"", self.0 / bytes),
            None => format!("\"{} B\"", self.0),
        }
    }
}

/// US dollars, held in billionths.
#[derive(Clone, Copy)]
pub(super) struct Usd(pub(super) u64);

impl Value for Usd {
    fn from_text(text: &str) -> Result<Self, String> {
        let fault = || "must be US dollars such as 1.50, with 9 decimals at most".to_owned();
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > 9 {
            return Err(fault());
        }
        let billionths = format!("{whole}{decimals:0<9}");
        let billionths: u64 = billionths.parse().map_err(|_| fault())?;
        // A billion dollars.
        (billionths <= 1_000_000_000_000_000_000)
            .then_some(Self(billionths))
            .ok_or_else(fault)
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        if value.is_integer() || value.is_float() {
            return Self::from_text(&value.to_string());
        }
        Err("must be US dollars such as 1.50, without quotes".to_owned())
    }

    fn to_toml(&self) -> String {
        Cost(self.0).to_string()
    }
}

impl Value for Duration {
    fn from_text(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map_err(|_| "must be a duration such as \"30s\" or \"5m\"".to_owned())
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let text = value.as_str();
        text.map_or_else(|| Self::from_text(""), Self::from_text)
    }

    fn to_toml(&self) -> String {
        format!("\"{}\"", humantime::format_duration(*self))
    }
}

impl Value for usize {
    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.ok_or_else(|| "must be a whole number".to_owned())
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let number = value.as_integer().and_then(|n| Self::try_from(n).ok());
        number.ok_or_else(|| "must be a whole number without quotes".to_owned())
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be true or false".to_owned())
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let flag = value.as_bool();
        flag.ok_or_else(|| "must be true or false, without quotes".to_owned())
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("must not hold a control character".to_owned());
        }
        Ok(text.to_owned())
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl Value for PathBuf {
    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text).map(Self::from)
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Value for SocketAddr {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            "must be an address and a port such as \"0.0.0.0:8080\" or \"[::]:8080\"".to_owned()
        })
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for UpstreamUrl {
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for HeaderName {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "must be the name of a header such as \"x-request-tag\"".to_owned())
    }

    fn to_toml(&self) -> String {
        quoted(self.as_str())
    }
}

impl Value for Route {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|error: RouteParseError| error.to_string())
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for AddressBlock {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|error: AddressBlockError| error.to_string())
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for LogFormat {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("must be \"json\" or \"text\"".to_owned()),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

impl Value for SessionIdSource {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "claim" => Ok(Self::Claim),
            "user" => Ok(Self::User),
            "minted" => Ok(Self::Minted),
            _ => Err("must be \"claim\", \"user\" or \"minted\"".to_owned()),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Claim => "claim",
            Self::User => "user",
            Self::Minted => "minted",
        })
    }
}

/// In the environment `1` is the number, `"1"` (with quotes) and `free` are texts.
impl Value for Tier {
    fn from_text(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse::<i64>() {
            return Ok(Self::Number(number.into()));
        }
        let quoted = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        tier_name(quoted.unwrap_or(text))
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match (value.as_integer(), value.as_str()) {
            (Some(number), _) => Ok(Self::Number(number.into())),
            (None, Some(text)) => tier_name(text),
            (None, None) => Err("must be a whole number or a text".to_owned()),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => quoted(text),
        }
    }
}

fn tier_name(text: &str) -> Result<Tier, String> {
    let text = String::from_text(text)?;
    if text.len() > 64 {
        return Err("must be at most 64 bytes".to_owned());
    }
    Ok(Tier::Text(text.into()))
}

/// A list: in the environment its items are separated by commas.
impl<T: Value> Value for Vec<T> {
    fn from_text(text: &str) -> Result<Self, String> {
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        items
            .enumerate()
            .map(|(index, item)| T::from_text(item).map_err(|fault| in_item(index, &fault)))
            .collect()
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let items = value.as_array().ok_or("must be a list: [\"…\", \"…\"]")?;
        items
            .iter()
            .enumerate()
            .map(|(index, item)| T::from_toml(item).map_err(|fault| in_item(index, &fault)))
            .collect()
    }

    fn to_toml(&self) -> String {
        let items: Vec<String> = self.iter().map(Value::to_toml).collect();
        format!("[{}]", items.join(", "))
    }
}

fn in_item(index: usize, fault: &str) -> String {
    format!("has a wrong entry: number {} {fault}", index + 1)
}

/// `text` as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_largest_whole_unit() {
        assert_eq!(Size(32 << 20).to_toml(), "\"32 MiB\"");
        assert_eq!(Size(8 << 10).to_toml(), "\"8 KiB\"");
        assert_eq!(Size(1500).to_toml(), "\"1500 B\"");
        assert_eq!(Size::from_text("1500 B").map(|size| size.0), Ok(1500));
        assert_eq!(Size::from_text("1 MiB").map(|size| size.0), Ok(1 << 20));
    }

    #[test]
    fn numbers_are_neither_floats_nor_negative_nor_texts() {
        for value in ["-1", "1.5", "\"5\"", "1e3", "true"] {
            let value: toml::Value =
                format!("n = {value}").parse::<toml::Table>().unwrap()["n"].clone();
            assert!(usize::from_toml(&value).is_err(), "{value}");
        }
        for text in ["-1", "+1", "1.5", "", "99999999999999999999999"] {
            assert!(usize::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(Duration::from_text("5m"), Ok(Duration::from_mins(5)));
        for value in [toml::Value::Integer(30), toml::Value::String("30".into())] {
            assert!(Duration::from_toml(&value).unwrap_err().contains("\"30s\""));
        }
        assert!(Duration::from_text("-3s").is_err());
    }

    #[test]
    fn a_tier_keeps_its_type() {
        assert_eq!(Tier::from_text("1"), Ok(Tier::Number(1.into())));
        assert_eq!(Tier::from_text("\"1\""), Ok(Tier::Text("1".into())));
        assert_eq!(Tier::from_text("free"), Ok(Tier::Text("free".into())));
        assert!(Tier::from_toml(&toml::Value::Float(1.5)).is_err());
        assert!(Tier::from_toml(&toml::Value::Boolean(true)).is_err());
    }
}
