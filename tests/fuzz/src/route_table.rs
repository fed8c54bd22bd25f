//! Which paths and methods are offered, and what is asked upstream for them.
//!
//! Input: a byte that chooses the method, a line with the path, and lines of routes to be configured.

use std::sync::LazyLock;

use http::Method;

use super::gateway::admission::routes::{DEFAULT_ROUTES, Route, RouteError, RouteTable};
use super::input::{choice, line};

const METHODS: [&str; 9] = [
    "GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "get",
];

static DEFAULT: LazyLock<RouteTable> = LazyLock::new(|| RouteTable::new(&[]));

/// The default routes, as methods and patterns.
static PAIRS: LazyLock<[(&str, &str); 20]> =
    LazyLock::new(|| DEFAULT_ROUTES.map(|route| route.split_once(' ').unwrap()));

/// Checks one request's method and path.
pub fn check(data: &[u8]) {
    let Some((choice, rest)) = choice(data) else {
        return;
    };
    let (path, rest) = line(rest);
    let Ok(path) = std::str::from_utf8(path) else {
        return;
    };
    let method = METHODS[usize::from(choice) % METHODS.len()];
    let (extra, texts): (Vec<Route>, Vec<&str>) = configured(rest).into_iter().unzip();
    let made;
    let table = if extra.is_empty() {
        &DEFAULT
    } else {
        made = RouteTable::new(&extra);
        &made
    };
    check_path(table, &texts, method, path);
}

/// The lines that can be routes; each is inside the API, outside what is Behest's, and says what it
/// was read from.
fn configured(lines: &[u8]) -> Vec<(Route, &str)> {
    let mut routes = Vec::new();
    for text in lines.split(|byte| *byte == b'\n').take(20) {
        let Ok(text) = std::str::from_utf8(text) else {
            continue;
        };
        let Ok(route) = text.parse::<Route>() else {
            continue;
        };
        assert_eq!(route.to_string(), text);
        let (_, path) = text.split_once(' ').unwrap();
        check_form(&path.replace("{id}", "x"));
        assert!(!path.starts_with("/v1/{id}"), "{path} reaches everything");
        routes.push((route, text));
    }
    routes
}

fn check_path(table: &RouteTable, extra: &[&str], method: &str, path: &str) {
    let wanted = if method == "HEAD" { "GET" } else { method };
    let offered = offered(extra, path);
    match table.find(&method.parse::<Method>().unwrap(), path) {
        Ok(found) => {
            assert_eq!(*found.path, *path, "not the bytes that were asked for");
            check_form(path);
            assert!(offered.contains(&wanted), "{path}");
            assert!(RouteTable::labels().any(|label| label == found.label));
        }
        Err(RouteError::Method { allow, .. }) => {
            assert!(!offered.contains(&wanted), "{path}");
            let allowed: Vec<&str> = allow.split(", ").collect();
            assert!(offered.iter().all(|method| allowed.contains(method)));
            assert!(!allowed.contains(&method), "{method} of {allow}");
        }
        Err(_) => assert!(offered.is_empty(), "{path} is offered"),
    }
}

/// The methods of the routes for `path`: those that name it, else those of the first pattern that has
/// it.
fn offered<'r>(extra: &[&'r str], path: &str) -> Vec<&'r str> {
    let routes = || {
        let extra = extra.iter().map(|route| route.split_once(' ').unwrap());
        PAIRS.iter().copied().chain(extra)
    };
    let mut named = routes().filter(|(_, pattern)| *pattern == path && !pattern.contains("{id}"));
    let mut having = routes().filter(|(_, pattern)| matches(pattern, path));
    let Some((_, decides)) = named.next().or_else(|| having.next()) else {
        return Vec::new();
    };
    routes()
        .filter(|(_, pattern)| *pattern == decides)
        .map(|(method, _)| method)
        .collect()
}

/// What holds for every path that goes upstream.
fn check_form(path: &str) {
    let mut segments = path.split('/');
    assert_eq!((segments.next(), segments.next()), (Some(""), Some("v1")));
    let segments: Vec<&str> = segments.collect();
    assert!(!segments.is_empty(), "{path}");
    for segment in &segments {
        assert!((1..=128).contains(&segment.len()), "{path}");
        assert!(*segment != "." && *segment != "..", "{path}");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
        assert!(segment.chars().all(is_plain), "{path}");
    }
    let first = segments[0].to_ascii_lowercase();
    assert!(first != "auth" && first != "admin", "{path}");
}

/// Whether a path is one of a pattern's.
fn matches(pattern: &str, path: &str) -> bool {
    let is_id = |text: &str| {
        !text.is_empty()
            && text.len() <= 128
            && text != "."
            && text != ".."
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c))
    };
    pattern.split('/').count() == path.split('/').count()
        && pattern
            .split('/')
            .zip(path.split('/'))
            .all(|(wanted, given)| match wanted {
                "{id}" => is_id(given),
                literal => literal == given,
            })
}
