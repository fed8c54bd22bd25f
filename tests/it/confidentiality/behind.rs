//! The app behind the program: how its part of a request can end, and what it got to see.

use std::fmt::Write as _;

use http::HeaderValue;

use super::drive::Drive;
use crate::support::app::{App, Reply, answer, json};
use crate::support::caller::get;

/// An app that answers as its paths say.
pub async fn start() -> App {
    App::start(|head| match head.split(' ').nth(1).unwrap() {
        "/missing" => Reply::Text(answer("404 Not Found", "", "none")),
        "/failing" => Reply::Text(answer("500 Internal Server Error", "", "oh")),
        "/cut" => Reply::Text("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_owned()),
        "/closed" => Reply::Close,
        "/late" => Reply::Hang,
        "/odd" => Reply::Text("garbage\r\n\r\n".to_owned()),
        _ => json("{}"),
    })
    .await
}

/// Every way in which a request for it can end.
pub async fn all(drive: &mut Drive) {
    for (path, code) in [
        ("/", None),
        ("/missing", None),
        ("/failing", None),
        ("/cut", None),
        ("/closed", Some("app_unreachable")),
        ("/late", Some("app_timeout")),
        ("/odd", Some("app_invalid")),
    ] {
        for accept in ["application/json", "text/html"] {
            let cookie = drive.cookie();
            let mut request = get(drive.program.address, path, &cookie);
            let accept = HeaderValue::from_static(accept);
            request.headers_mut().insert("accept", accept);
            assert_eq!(drive.send(request).await.as_deref(), code, "{path}");
        }
    }
}

/// What the app got to see, but for the callers' own cookies.
pub fn seen(drive: &Drive) -> String {
    let mut seen = String::new();
    for head in drive.app.heads() {
        for line in head.lines().filter(|line| !line.starts_with("cookie: ")) {
            writeln!(seen, "{line}").unwrap();
        }
    }
    seen
}
