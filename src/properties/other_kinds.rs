//! JWTs, `Authorization`, and the sessions of the other libraries.

use super::*;

const JWT_CLAIMS: &[&str] = &[
    "{\"sub\":\"usr_ada\",\"aud\":\"app\",\"email_verified\":true,\"exp\":1795440000,",
    "{\"sub\":7,\"aud\":[\"api\"],\"iss\":\"https://id.example/\",\"exp\":1795440000,",
    "\"aud\":",
    "\"azp\":",
    "\"iss\":",
    "\"sts\":",
    "\"sub\":",
    "\"iat\":",
    "\"exp\":",
    "\"email_verified\":",
    "\"app\"",
    "\"https://app.example\"",
    "[\"app\",1]",
    "[true]",
    "\"pending\"",
    "\"\"",
    "1795430001",
    "1795430006",
    "1795429990",
    "true",
    ",",
    ",",
    "\"x\":1}",
    "}",
];

const JWT_HEADERS: &[&str] = &[
    "{\"alg\":\"EdDSA\"",
    "{\"alg\":\"ES256\"",
    "{\"alg\":\"HS256\"",
    "{\"alg\":\"none\"",
    "{\"alg\":null",
    ",\"kid\":\"ed\"",
    ",\"kid\":\"es\"",
    ",\"kid\":\"hs\"",
    ",\"kid\":1",
    ",\"typ\":\"JWT\"",
    ",\"typ\":\"at+jwt\"",
    ",\"crit\":[]",
    ",\"x5u\":\"http://127.0.0.1:1/\"",
    "}",
    "}",
    "}",
];

const NESTED: &[&str] = &[
    "{\"session\":{\"token\":\"tok\",\"id\":\"s1\",\"expiresAt\":1795440000},",
    "\"session\":{\"token\":\"tok\",\"expiresAt\":\"2026-11-24T10:33:20.000Z\"},",
    "\"session\":{\"token\":\"kot\",\"expiresAt\":1795440000000},",
    "\"session\":{\"token\":\"tok\",\"expiresAt\":\"2026-11-23T10:33:19.999Z\"},",
    "\"user\":{\"id\":\"ada\",\"sub\":\"auth0|ada\",\"tier\":2},",
    "\"user\":{\"id\":\"admin\",\"tier\":[]},",
    "\"sub\":\"ada\",\"aud\":\"authenticated\",\"app_metadata\":{\"tier\":\"pro\"},",
    "\"internal\":{\"sid\":\"s2\"},",
    "\"exp\":1795440000,",
    "\"exp\":1795429990,",
    "\"nbf\":1795430016,",
    "{",
    "\"x\":1}",
    "\"x\":1}",
];

const AUTHORIZATIONS: &[&str] = &[
    "Bearer $good",
    "bearer $cookie",
    "Bearer $ended",
    "Bearer unused",
    "Bearer ",
    "$good",
    "$cookie",
    "app=$cookie",
    "app=x",
    "Bearer e30.e30.",
    ".",
    "e30",
    "=",
    " ",
];

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn a_jwt_is_what_its_signer_may_say(
        first in (0_u8..4, 0_u8..5),
        claims in text(JWT_CLAIMS, 8),
    ) {
        let (stand, signer) = first;
        signed_session::check(&[&[stand + 16 * signer], claims.as_slice()].concat());
    }

    #[test]
    fn a_jwt_under_another_header_or_key_is_no_more_than_that(
        first in choice(),
        header in text(JWT_HEADERS, 6),
        claims in text(JWT_CLAIMS, 8),
    ) {
        signed_session::check(&[first, header, b"\n".to_vec(), claims].concat());
    }

    #[test]
    fn the_other_kinds_of_sessions_are_what_they_say_or_nothing(
        data in joined(vec![
            choice().boxed(),
            choice().boxed(),
            choice().boxed(),
            prop::sample::select(&[
                "1795440000000", "1795429999999", "1795429940000", "", "{\"sub\":\"eve\"}", "a.b",
            ][..]).prop_map(|line| line.as_bytes().to_vec()).boxed(),
            Just(b"\n".to_vec()).boxed(),
            text(NESTED, 8).boxed(),
        ])
    ) {
        other_sessions::check(&data);
    }

    #[test]
    fn what_is_no_jwt_in_authorization_is_as_if_it_were_not_there(
        data in header_lines(&["authorization", "authorization", "cookie"], AUTHORIZATIONS)
    ) {
        authorization::check(&data);
    }
}
