//! What a check found, and the report that all of them make.
//!
//! Guarantees: a warning and an error always come with their fix; what other servers wrote cannot
//! control a terminal; both forms of a report, text and JSON, say the same.

use std::fmt::Write as _;

use serde::Serialize;

/// Where a line of the text form ends.
const WIDTH: usize = 100;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Looked at, and as it should be.
    Ok,
    /// Worth knowing; nothing to mend.
    Info,
    /// It works, but probably not as meant.
    Warning,
    /// Users will meet it.
    Error,
}

impl Level {
    /// Its word in both forms of the report.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The exit code of a program whose worst finding this is: 0, 1 for a warning, 2 for an error.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok | Self::Info => 0,
            Self::Warning => 1,
            Self::Error => 2,
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check found it.
    pub check: &'static str,
    /// How grave it is.
    pub level: Level,
    /// What was seen. Never a secret, a token or a cookie.
    pub what: String,
    /// What to do; every warning and error has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(super) fn ok(check: &'static str, what: impl AsRef<str>) -> Self {
        Self::new(check, Level::Ok, what.as_ref(), None)
    }

    /// Worth knowing.
    pub(super) fn info(check: &'static str, what: impl AsRef<str>) -> Self {
        Self::new(check, Level::Info, what.as_ref(), None)
    }

    /// Probably not as meant.
    pub(super) fn warning(
        check: &'static str,
        what: impl AsRef<str>,
        fix: impl AsRef<str>,
    ) -> Self {
        Self::new(check, Level::Warning, what.as_ref(), Some(fix.as_ref()))
    }

    /// Users will meet it.
    pub(super) fn error(check: &'static str, what: impl AsRef<str>, fix: impl AsRef<str>) -> Self {
        Self::new(check, Level::Error, what.as_ref(), Some(fix.as_ref()))
    }

    fn new(check: &'static str, level: Level, what: &str, fix: Option<&str>) -> Self {
        Self {
            check,
            level,
            what: harmless(what),
            fix: fix.map(harmless),
        }
    }
}

/// The text in one line, without control characters: parts of it came from other servers.
fn harmless(text: &str) -> String {
    let replaced = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    text.chars().map(replaced).collect()
}

/// Everything that was found, in the order of the checks.
#[derive(Debug)]
pub struct Report {
    /// At least one.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The gravest level.
    #[must_use]
    pub fn worst(&self) -> Level {
        let levels = self.findings.iter().map(|finding| finding.level);
        levels.max().unwrap_or(Level::Ok)
    }

    /// For machines: one object with `findings` and `worst`.
    #[must_use]
    pub fn json(&self) -> String {
        let object = serde_json::json!({ "findings": self.findings, "worst": self.worst() });
        format!("{object:#}\n")
    }

    /// For people: a paragraph for each finding, and what they come to.
    #[must_use]
    pub fn text(&self) -> String {
        let checks = self.findings.iter().map(|finding| finding.check.len());
        let width = checks.max().unwrap_or_default();
        // "warning" is the longest word of a level.
        let margin = 7 + 2 + width + 2;
        let mut text = String::new();
        for finding in &self.findings {
            let level = finding.level.label();
            // Writing to a String cannot fail.
            let _ = write!(text, "{level:7}  {:width$}  ", finding.check);
            paragraph(&mut text, &finding.what, margin);
            if let Some(fix) = &finding.fix {
                let _ = write!(text, "{:margin$}", "");
                paragraph(&mut text, &format!("fix: {fix}"), margin);
            }
        }
        let _ = writeln!(text, "\n{}", self.sum());
        text
    }

    fn sum(&self) -> String {
        let count = |level| self.findings.iter().filter(|f| f.level == level).count();
        let noun = |count: usize, noun: &str| {
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {noun}{plural}")
        };
        match (count(Level::Error), count(Level::Warning)) {
            (0, 0) => "Nothing to mend.".to_owned(),
            (0, warnings) => format!("{}.", noun(warnings, "warning")),
            (errors, 0) => format!("{}.", noun(errors, "error")),
            (errors, warnings) => {
                format!("{}, {}.", noun(errors, "error"), noun(warnings, "warning"))
            }
        }
    }
}

/// Appends `words`, broken into lines of which all but the first begin after `margin` spaces.
fn paragraph(text: &mut String, words: &str, margin: usize) {
    let mut column = margin;
    for (index, word) in words.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            let _ = write!(text, "\n{:margin$}", "");
            column = margin;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> Report {
        Report { findings }
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_finding() {
        let (ok, info) = (Finding::ok("a", "x"), Finding::info("a", "x"));
        let (warning, error) = (
            Finding::warning("a", "x", "y"),
            Finding::error("a", "x", "y"),
        );
        let code = |findings: &[&Finding]| {
            let findings = findings.iter().map(|finding| (*finding).clone()).collect();
            report(findings).worst().exit_code()
        };
        assert_eq!(code(&[&ok]), 0);
        assert_eq!(code(&[&info, &ok]), 0);
        assert_eq!(code(&[&ok, &warning, &info]), 1);
        assert_eq!(code(&[&error, &warning, &ok]), 2);
    }

    #[test]
    fn the_text_is_aligned_and_broken_and_says_what_it_comes_to() {
        let long = "word ".repeat(40);
        let text = report(vec![
            Finding::ok("key", "fine"),
            Finding::error("connection", long.trim(), "mend it"),
        ])
        .text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "ok       key         fine");
        assert!(lines[1].starts_with("error    connection  word word"));
        assert!(lines[2].starts_with("                     word word"));
        assert!(text.contains("\n                     fix: mend it\n"));
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.ends_with("\n\n1 error.\n"), "{text}");
    }

    #[test]
    fn json_holds_the_same_and_a_fix_only_where_there_is_one() {
        let report = report(vec![
            Finding::ok("key", "fine"),
            Finding::warning("connection", "slow", "mend it"),
        ]);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        let expected = serde_json::json!({
            "worst": "warning",
            "findings": [
                { "check": "key", "level": "ok", "what": "fine" },
                { "check": "connection", "level": "warning", "what": "slow", "fix": "mend it" },
            ],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_server_cannot_control_the_terminal() {
        let finding = Finding::error("http", "\u{1b}[31mred\r\n", "a\u{9b}b");
        assert_eq!(finding.what, " [31mred  ");
        assert_eq!(finding.fix.unwrap(), "a b");
    }
}
