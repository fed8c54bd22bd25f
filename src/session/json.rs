//! Picks single members out of JSON text without building the whole of it.
//!
//! Guarantees what `JSON.parse` does: of a repeated key the last counts, and escapes in keys are
//! decoded. Text that is not one JSON object is refused; what no one asks for is skipped unread, so
//! depth costs no stack, and a broken surrogate in a user's name ends nobody's session.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The values of `keys` in `text`; `None` if `text` is not a JSON object.
pub(super) fn members<'t, const N: usize>(
    text: &'t str,
    keys: [&str; N],
) -> Option<[Option<&'t RawValue>; N]> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = (&mut json).deserialize_map(Members { keys }).ok()?;
    json.end().ok()?;
    Some(found)
}

/// The value at the end of `path`, beginning at the object `text`.
pub(super) fn at_path<'t>(text: &'t str, path: &[String]) -> Option<&'t RawValue> {
    let (first, rest) = path.split_first()?;
    let [value] = members(text, [first])?;
    follow(value, rest)
}

/// The value at the end of `path`, beginning at `value`; `value` itself if the path is empty.
pub(super) fn follow<'t>(value: Option<&'t RawValue>, path: &[String]) -> Option<&'t RawValue> {
    let value = value?;
    if path.is_empty() {
        return Some(value);
    }
    at_path(value.get(), path)
}

/// A JSON string's text; `None` for any other type, and for text that is not Unicode.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(value.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// A JSON integer within ±(2^53 − 1), where JavaScript's numbers are exact.
pub(super) fn integer(value: &RawValue) -> Option<i64> {
    const EXACT: i64 = (1 << 53) - 1;
    let number: i64 = value.get().parse().ok()?;
    (-EXACT..=EXACT).contains(&number).then_some(number)
}

/// Collects the values of some keys of one object.
struct Members<'k, const N: usize> {
    keys: [&'k str; N],
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(wanted) = map.next_key_seed(Wanted { keys: &self.keys })? {
            if !wanted.contains(&true) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<&RawValue>()?;
            for (slot, wanted) in found.iter_mut().zip(wanted) {
                if wanted {
                    *slot = Some(value);
                }
            }
        }
        Ok(found)
    }
}

/// Compares a key with those that are looked for: several may be the same.
struct Wanted<'k, const N: usize> {
    keys: &'k [&'k str; N],
}

impl<'de, const N: usize> DeserializeSeed<'de> for Wanted<'_, N> {
    type Value = [bool; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for Wanted<'_, N> {
    type Value = [bool; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.keys.map(|wanted| wanted == key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(keys: &[&str]) -> Vec<String> {
        keys.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn assert_at(json: &str, keys: &[&str], expected: Option<&str>) {
        let found = at_path(json, &path(keys)).map(RawValue::get);
        assert_eq!(found, expected, "{json} {keys:?}");
    }

    #[test]
    fn paths_are_arrays_of_keys_and_keys_may_hold_anything() {
        assert_at(r#"{"a":{"b":[1, 2]}}"#, &["a", "b"], Some("[1, 2]"));
        assert_at(r#"{"a.b":1,"a":{"b":2}}"#, &["a.b"], Some("1"));
        assert_at(r#"{"https://x/t":"y"}"#, &["https://x/t"], Some("\"y\""));
        assert_at(r#"{"a":1}"#, &["a", "b"], None);
        assert_at(r#"{"a":["b"]}"#, &["a", "0"], None);
        assert_at(r#"{"":1}"#, &[], None);
        assert_at(r#"{"a": null }"#, &["a"], Some("null"));
    }

    #[test]
    fn the_last_of_a_repeated_key_counts_and_escapes_are_decoded() {
        assert_at(r#"{"a":1,"a":2}"#, &["a"], Some("2"));
        assert_at(r#"{"a":1,"\u0061":3}"#, &["a"], Some("3"));
        assert_at(r#"{"a":{"b":1},"a":{}}"#, &["a", "b"], None);
    }

    #[test]
    fn one_value_may_be_asked_for_twice() {
        let found = members(r#"{"a":1}"#, ["a", "b", "a"]).unwrap();
        assert_eq!(
            found.map(|v| v.map(RawValue::get)),
            [Some("1"), None, Some("1")]
        );
    }

    #[test]
    fn only_one_whole_object_is_read() {
        for text in [
            "",
            "[]",
            "1",
            "null",
            "\"a\"",
            "{",
            "{}{}",
            "{} x",
            "{\"a\"}",
            "{\"a\":1,}",
        ] {
            assert!(members(text, ["a"]).is_none(), "{text}");
        }
        assert!(members(" {} ", ["a"]).is_some());
    }

    #[test]
    fn what_nobody_asks_for_may_be_deep_or_broken_text() {
        let deep = format!(
            r#"{{"x":{}{},"a":1}}"#,
            "[".repeat(50_000),
            "]".repeat(50_000)
        );
        assert_at(&deep, &["a"], Some("1"));
        assert_at(r#"{"name":"\ud83d","a":1}"#, &["a"], Some("1"));
    }

    #[test]
    fn text_and_integers_are_told_apart() {
        let read = |json: &str| -> (Option<String>, Option<i64>) {
            let value: Box<RawValue> = serde_json::from_str(json).unwrap();
            (text(&value).map(Cow::into_owned), integer(&value))
        };
        assert_eq!(read(r#""a\u00e9""#), (Some("aé".to_owned()), None));
        assert_eq!(read(r#""42""#), (Some("42".to_owned()), None));
        assert_eq!(read(r#""\ud800""#), (None, None));
        assert_eq!(read("-42"), (None, Some(-42)));
        assert_eq!(
            read("9007199254740991"),
            (None, Some(9_007_199_254_740_991))
        );
        for other in [
            "9007199254740992",
            "1e3",
            "4.5",
            "true",
            "null",
            "[1]",
            "{}",
        ] {
            assert_eq!(read(other), (None, None), "{other}");
        }
    }
}
