//! Whether the configuration holds: what `check` says, a finding for each sentence.

use super::finding::Finding;
use crate::clock::Clock;
use crate::config::{ConfigProblems, Loaded};
use crate::generation::{Generation, Process};
use crate::telemetry;

const CHECK: &str = "configuration";

/// The problems for which there is no configuration.
pub(super) fn problems(problems: &ConfigProblems) -> Vec<Finding> {
    let mut findings: Vec<_> = problems
        .problems
        .iter()
        .map(|problem| {
            let sentence = format!("{} {}", problem.key, problem.text);
            match split(&sentence) {
                Some((what, fix)) => Finding::error(CHECK, what, fix),
                None => Finding::error(CHECK, sentence, format!("change {}", problem.key)),
            }
        })
        .collect();
    findings.extend(problems.warnings.iter().map(|text| warning(text)));
    findings.push(Finding::info(
        CHECK,
        "nothing else was looked at: everything else needs a configuration that holds",
    ));
    findings
}

/// What works and is probably not meant, and what keeps the gateway from starting nevertheless.
pub(super) fn look(loaded: &Loaded, clock: &Clock) -> Vec<Finding> {
    let mut findings: Vec<_> = loaded.warnings.iter().map(|text| warning(text)).collect();
    // As `check` does: certificates and keys are only looked into here.
    let built = Process::new(clock.clone()).and_then(|process| {
        Generation::build(loaded.config.clone().for_rehearsal(), &process, None)
    });
    match built {
        Err(error) => findings.push(Finding::error(
            CHECK,
            telemetry::chain(&error),
            "mend the file or the value that is named; `behest-gateway check` says whether it holds",
        )),
        Ok(_) if findings.is_empty() => {
            findings.push(Finding::ok(CHECK, "holds; `behest-gateway check` shows it whole"));
        }
        Ok(_) => findings.push(Finding::info(CHECK, "holds, but for these warnings")),
    }
    findings
}

fn warning(text: &str) -> Finding {
    match split(text) {
        Some((what, fix)) => Finding::warning(CHECK, what, fix),
        None => Finding::warning(CHECK, text, "see this key in config/reference.toml"),
    }
}

/// What is wrong and what to write: sentences about configuration end with the fix, after their last
/// semicolon or full stop.
fn split(sentence: &str) -> Option<(&str, &str)> {
    let sentence = sentence.strip_suffix('.').unwrap_or(sentence);
    let semicolon = sentence.rsplit_once("; ");
    let stop = sentence.rsplit_once(". ");
    let (what, fix) = match (semicolon, stop) {
        (Some(a), Some(b)) => {
            if a.1.len() < b.1.len() {
                a
            } else {
                b
            }
        }
        (found, None) | (None, found) => found?,
    };
    (!what.is_empty() && !fix.is_empty()).then_some((what, fix))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::config::{Config, Problem, Sources};

    #[test]
    fn the_last_clause_of_a_sentence_is_the_fix() {
        for (sentence, expected) in [
            ("a is b; set a = c", Some(("a is b", "set a = c"))),
            ("a is b; c; set d", Some(("a is b; c", "set d"))),
            (
                "a is missing. Set B=c (x).",
                Some(("a is missing", "Set B=c (x)")),
            ),
            ("a is b. Then; set c", Some(("a is b. Then", "set c"))),
            ("a must be b", None),
        ] {
            assert_eq!(split(sentence), expected, "{sentence}");
        }
    }

    #[test]
    fn every_problem_is_an_error_with_a_fix() {
        let none = Config::load(Sources::default()).unwrap_err();
        let mut found = problems(&none);
        assert_eq!(found.pop().unwrap().level, Level::Info);
        assert_eq!(found.len(), none.problems.len() + none.warnings.len());
        let errors = found.iter().filter(|f| f.level == Level::Error);
        assert_eq!(errors.count(), none.problems.len());
        assert!(found.iter().all(|finding| finding.fix.is_some()));
        assert!(
            found.iter().any(|f| f.what.contains("mint.key")),
            "{found:?}"
        );
        let bare = ConfigProblems {
            problems: vec![Problem {
                key: "mint.ttl (file)".to_owned(),
                text: "must be longer".to_owned(),
            }],
            warnings: vec!["mint.ttl is odd; set it to 15m".to_owned()],
            watched_files: Vec::new(),
        };
        let found = problems(&bare);
        assert_eq!(found[0].what, "mint.ttl (file) must be longer");
        assert_eq!(found[0].fix.as_deref(), Some("change mint.ttl (file)"));
        assert_eq!(found[1].fix.as_deref(), Some("set it to 15m"));
    }
}
