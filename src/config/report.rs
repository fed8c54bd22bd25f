//! Prints a configuration for a person: every key, its value and where it came from.
//!
//! Secrets are shown as their length only.

use std::fmt::Write;

use super::Loaded;
use super::fields::Setting;

/// The resolved configuration as aligned lines, then the warnings; for `check`.
#[must_use]
pub fn report(loaded: &Loaded) -> String {
    let mut text = String::new();
    let shown = || {
        loaded
            .provenance
            .iter()
            .filter(|setting| !is_template(setting))
    };
    let key_width = shown().map(|s| s.key.chars().count()).max().unwrap_or(0);
    let value_width = shown()
        .map(|s| value(s).chars().count())
        .filter(|width| *width <= 40)
        .max()
        .unwrap_or(0);
    let mut section = "";
    for setting in shown() {
        let now = setting.key.split('.').next().unwrap_or_default();
        if now != section && !section.is_empty() {
            text.push('\n');
        }
        section = now;
        let (key, value, origin) = (&setting.key, value(setting), &setting.origin);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key:key_width$}  {value:value_width$}  {origin}");
    }
    match loaded.warnings.len() {
        0 => return text,
        1 => text.push_str("\n1 warning:\n"),
        count => {
            let _ = writeln!(text, "\n{count} warnings:");
        }
    }
    for (index, warning) in loaded.warnings.iter().enumerate() {
        let _ = writeln!(text, "{}. {warning}", index + 1);
    }
    text
}

/// A key of a list that has no entry: known, but set nowhere.
fn is_template(setting: &Setting) -> bool {
    setting.key.contains("[]")
}

fn value(setting: &Setting) -> &str {
    if setting.shown.is_empty() {
        "-"
    } else {
        &setting.shown
    }
}
