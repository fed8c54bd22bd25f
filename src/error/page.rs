//! An error as a page: for a browser that was opening one of the app's.

use std::fmt::Write;

use super::Verdict;

/// A small page that says what a [`Verdict`] says. Nothing in it is the caller's.
#[must_use]
pub fn page(verdict: &Verdict, request_id: &str) -> String {
    let (message, code) = (verdict.message, verdict.code.label());
    let id: String = request_id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        .collect();
    let mut page = String::from(HEAD);
    // Writing to a String does not fail.
    let _ = writeln!(
        page,
        "<h1>{message}</h1>\n<p>Try again in a moment.</p>\n<p><small>{code}, request {id}</small></p>"
    );
    page
}

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>No answer from the app</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 20vh auto; padding: 0 1rem }
  h1 { font-size: 1.25rem }
  small { opacity: .7 }
</style>
";
