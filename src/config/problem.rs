//! What is wrong with a configuration: every problem at once, each with its key and the fix.
//!
//! No text here ever holds a value that was given: it may be a secret in the wrong place.

use std::fmt;

use super::secrets::WatchedFile;

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, and in brackets where its value came from.
    pub key: String,
    /// The rest of the sentence: what is wrong, and what to write.
    pub text: String,
}

/// Why there is no configuration: at least one [`Problem`].
#[derive(Debug)]
pub struct ConfigProblems {
    /// In the order of the sections.
    pub problems: Vec<Problem>,
    /// What else looks wrong.
    pub warnings: Vec<String>,
    /// What had been read: a change in one of these is worth another try.
    pub watched_files: Vec<WatchedFile>,
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.problems.len() == 1 {
            "problem"
        } else {
            "problems"
        };
        write!(f, "{} {noun} in the configuration:", self.problems.len())?;
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "\n{}. {} {}", index + 1, problem.key, problem.text)?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigProblems {}

/// The one of `known` that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + word.len() / 5;
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in bytes, by one row of the table.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, a) in left.bytes().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right.bytes()) {
            let replace = diagonal + usize::from(a != b);
            diagonal = *cell;
            *cell = replace.min(diagonal + 1).min(before + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_with_the_fewest_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let known = ["upstream.idle_timeout", "server.idle_timeout"];
        let found = nearest("upstream.idle_timout", known.into_iter());
        assert_eq!(found, Some("upstream.idle_timeout"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }

    #[test]
    fn problems_are_a_numbered_list() {
        let problem = |key: &str| Problem {
            key: key.to_owned(),
            text: "is missing.".to_owned(),
        };
        let problems = ConfigProblems {
            problems: vec![problem("a.b"), problem("c.d")],
            warnings: Vec::new(),
            watched_files: Vec::new(),
        };
        let shown = "2 problems in the configuration:\n1. a.b is missing.\n2. c.d is missing.";
        assert_eq!(problems.to_string(), shown);
    }
}
