//! What `doctor` finds in front of a gateway: buffers, compressors, cuts, and answers of somebody else's.

use behest_gateway::clock::Clock;
use behest_gateway::emulator::{Action, Fault, On};

use super::front::Manner;
use super::{Scene, examine, text};
use crate::support::{sources, start};

#[tokio::test]
async fn a_front_that_buffers_is_recognised() {
    let scene = Scene::new(Manner::Buffers, 10, &[]).await;
    let examined = scene.examine(&[]).await;
    assert_eq!(examined.faults(), ["stream"], "{:#}", examined.report);
    assert_eq!(examined.outcome.code, Some(2));
    let finding = examined.one("stream", "error");
    assert!(text(finding, "what").contains("buffered"), "{finding}");
    assert!(
        text(finding, "fix").contains("proxy_buffering off"),
        "{finding}"
    );
}

#[tokio::test]
async fn a_front_that_compresses_is_recognised() {
    let scene = Scene::new(Manner::Compresses, 10, &[]).await;
    let examined = scene.examine(&[]).await;
    assert_eq!(examined.faults(), ["compression"], "{:#}", examined.report);
    assert_eq!(examined.outcome.code, Some(1));
    let finding = examined.one("compression", "warning");
    assert!(text(finding, "what").contains("gzip"), "{finding}");
}

#[tokio::test]
async fn a_front_that_cuts_streams_is_recognised() {
    let scene = Scene::new(Manner::CutsAfter(8 * 1024), 15, &[]).await;
    let examined = scene.examine(&[]).await;
    assert_eq!(examined.faults(), ["stream"], "{:#}", examined.report);
    let finding = examined.one("stream", "error");
    assert!(text(finding, "what").contains("broke off"), "{finding}");
    assert!(
        text(finding, "fix").contains("proxy_read_timeout"),
        "{finding}"
    );
}

#[tokio::test]
async fn too_few_frames_are_no_verdict() {
    let scene = Scene::new(Manner::Honest, 10, &[]).await;
    let action = Action::Status {
        code: 200,
        headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        body: "data: {}\n\ndata: [DONE]\n\n".to_owned(),
    };
    let chat = On::Path("/v1/chat/completions".to_owned());
    scene
        .stage
        .emulator
        .faults()
        .push(Fault::once(chat, action));
    let examined = scene.examine(&["--model", "brief"]).await;
    let finding = examined.one("stream", "warning");
    assert!(
        text(finding, "what").contains("no verdict: brief gave 2 frames"),
        "{finding}"
    );
}

#[tokio::test]
async fn a_cookie_that_is_no_session_is_told_and_not_shown() {
    let scene = Scene::new(Manner::Honest, 5, &[]).await;
    let origin = scene.front.origin();
    let arguments = ["--public-url", &origin, "--cookie-file", "-"];
    let cookie = "authjs.session-token=hunter2hunter2";
    let examined = examine(&arguments, &scene.env, cookie).await;
    let finding = examined.one("stream", "error");
    assert!(
        text(finding, "what").contains("session_invalid"),
        "{finding}"
    );
    assert!(text(finding, "fix").contains("inspect"), "{finding}");
    assert!(!format!("{:?}", examined.outcome).contains("hunter2"));
    let arguments = [
        "--public-url",
        &origin,
        "--cookie-file",
        "/nonexistent/cookie",
    ];
    let examined = examine(&arguments, &scene.env, "").await;
    assert_eq!(examined.faults(), ["cookie-file"]);
}

#[tokio::test]
async fn a_front_that_answers_itself_is_recognised() {
    for (manner, check, level, word) in [
        (
            Manner::SignsIn,
            "public-session",
            "error",
            "https://login.example",
        ),
        (Manner::ShowsPage, "public-session", "error", "HTML"),
        (Manner::Strips, "public-session", "warning", "x-gateway-*"),
        (Manner::GrantsAll, "preflight", "error", "every page (*)"),
        (
            Manner::HasLostApp,
            "sign-in",
            "warning",
            "http://localhost:3000",
        ),
    ] {
        let examined = Scene::new(manner, 5, &[]).await.look().await;
        assert_eq!(
            examined.faults(),
            [check],
            "{manner:?}: {:#}",
            examined.report
        );
        let finding = examined.one(check, level);
        assert!(text(finding, "what").contains(word), "{finding}");
    }
}

#[tokio::test]
async fn an_origin_that_the_gateway_does_not_know_is_an_error_with_the_setting() {
    let scene = Scene::new(Manner::Honest, 5, &[]).await;
    let other = [("GATEWAY_PUBLIC_ORIGIN", "https://app.example")];
    let base = scene.stage.emulator.base_url();
    let (server, _process) = start(sources(&base, &other), Clock::system());
    scene.front.lead_to(server.address());
    let examined = scene.look().await;
    assert_eq!(
        examined.faults(),
        ["public-origin"],
        "{:#}",
        examined.report
    );
    let finding = examined.one("public-origin", "error");
    let fix = text(finding, "fix");
    assert!(
        fix.contains(&format!("GATEWAY_PUBLIC_ORIGIN={}", scene.front.origin())),
        "{fix}"
    );
}
