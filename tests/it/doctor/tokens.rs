//! What `doctor --mint` finds: the key, the mint, and whether Behest takes the token.

use std::collections::BTreeMap;

use behest_gateway::emulator::{Action, FIXTURE_PROJECT, FIXTURE_TENANT, Fault, On, SigningKey};

use super::{examine, text};
use crate::support::Stage;
use crate::support::program::environment;

#[tokio::test]
async fn a_wrong_key_is_named_and_never_shown() {
    let stage = Stage::new().await;
    let wrong = "behest_sk_live_ffffffffffffffffffffffffffffffff";
    let env = environment(&stage.emulator.base_url(), &[("BEHEST_KEY", wrong)]);
    let examined = examine(&["--mint"], &env, "").await;
    assert_eq!(examined.outcome.code, Some(2));
    let finding = examined.one("mint", "error");
    assert!(text(finding, "what").contains("401"), "{finding}");
    assert!(text(finding, "fix").contains("BEHEST_KEY"), "{finding}");
    assert!(!format!("{:?}", examined.outcome).contains("ffffffff"));
    // Unless asked for, nothing is minted.
    let before = stage.emulator.log().read(|seen| seen.total_requests);
    let quiet = examine(&[], &env, "").await;
    assert_eq!(quiet.of("mint")[0]["level"], "info");
    // Only the one GET without a token.
    assert_eq!(
        stage.emulator.log().read(|seen| seen.total_requests),
        before + 1
    );
}

#[tokio::test]
async fn what_a_mint_answers_is_told() {
    let stage = Stage::new().await;
    let env = environment(&stage.emulator.base_url(), &[]);
    for (action, what) in [
        (status(429), "429"),
        (status(402), "402"),
        (status(503), "503"),
        (Action::Garbage, "not the expected JSON"),
        (
            Action::WrongUser {
                user_id: "mallory".to_owned(),
            },
            "another user",
        ),
    ] {
        stage.emulator.faults().push(Fault::once(On::Mint, action));
        let examined = examine(&["--mint"], &env, "").await;
        let finding = examined.one("mint", "error");
        assert!(text(finding, "what").contains(what), "{finding}");
    }
    let late = Action::StallBeforeHead;
    stage.emulator.faults().push(Fault::once(On::Mint, late));
    let mut env = env;
    env.insert("GATEWAY_MINT__TIMEOUT".to_owned(), "300ms".to_owned());
    let examined = examine(&["--mint"], &env, "").await;
    let finding = examined.one("mint", "error");
    assert!(text(finding, "what").contains("within 300ms"), "{finding}");
}

fn status(code: u16) -> Action {
    Action::Status {
        code,
        headers: Vec::new(),
        body: String::new(),
    }
}

/// The environment of a gateway that signs.
fn signing(base_url: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let key = SigningKey::of_this_process().unwrap();
    let behest_key = key.to_behest_key().unwrap();
    let mut all = vec![
        ("BEHEST_KEY", behest_key.as_str()),
        ("BEHEST_KID", key.kid()),
        ("BEHEST_TENANT_ID", FIXTURE_TENANT),
        ("BEHEST_PROJECT_ID", FIXTURE_PROJECT),
    ];
    all.extend_from_slice(more);
    environment(base_url, &all)
}

#[tokio::test]
async fn a_signed_token_is_tried_and_the_name_that_behest_does_not_know_is_told() {
    let stage = Stage::new().await;
    let base = stage.emulator.base_url();
    let examined = examine(&["--mint"], &signing(&base, &[]), "").await;
    assert!(text(examined.one("key", "ok"), "what").contains("2048 bits"));
    examined.one("mint", "ok");
    examined.one("token", "ok");
    let other = signing(&base, &[("BEHEST_KID", "kid-of-nobody")]);
    let finding_of = async |env| {
        let examined = examine(&["--mint"], &env, "").await;
        assert_eq!(examined.outcome.code, Some(2));
        text(examined.one("token", "error"), "fix")
    };
    assert!(finding_of(other).await.contains("BEHEST_KID"));
    let other = signing(&base, &[("BEHEST_TENANT_ID", "tnt_other")]);
    assert!(finding_of(other).await.contains("BEHEST_TENANT_ID"));
}

#[tokio::test]
async fn a_tier_that_the_token_does_not_hold_is_noticed() {
    let stage = Stage::new().await;
    let env = environment(
        &stage.emulator.base_url(),
        &[("GATEWAY_MINT__DEFAULT_TIER", "pro")],
    );
    let examined = examine(&["--mint"], &env, "").await;
    assert!(text(examined.one("mint", "ok"), "what").contains("the tier pro"));
    // A token for the same user that says nothing of a tier.
    let claims = "eyJ1aWQiOiJiZWhlc3QtZ2F0ZXdheS1kb2N0b3IifQ";
    let body = format!(r#"{{"jwt":"eyJhbGciOiJSUzI1NiJ9.{claims}.c2ln","ttl":900}}"#);
    let action = Action::Status {
        code: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body,
    };
    stage.emulator.faults().push(Fault::once(On::Mint, action));
    let examined = examine(&["--mint"], &env, "").await;
    let finding = examined.one("mint", "warning");
    assert!(
        text(finding, "fix").contains("mint.default_tier"),
        "{finding}"
    );
}
