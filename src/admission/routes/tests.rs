//! Which paths are offered, how, and under which labels.

use super::*;

fn find(method: &str, path: &str) -> Result<RouteMatch, RouteError> {
    let extra = ["POST /v1/rerank".parse().unwrap()];
    RouteTable::new(&extra).find(&method.parse().unwrap(), path)
}

#[test]
fn every_default_route_is_well_formed_and_found() {
    for text in DEFAULT_ROUTES {
        assert!(text.parse::<Route>().is_ok(), "{text}");
        let (method, pattern) = text.split_once(' ').unwrap();
        let path = pattern.replace("{id}", "a_B.9:-");
        let found = find(method, &path).unwrap();
        assert_eq!((&*found.path, found.label), (&*path, pattern));
    }
}

#[test]
fn paths_that_could_mean_something_else_upstream_match_nothing() {
    for path in [
        "/v1/models/..",
        "/v1/models/.",
        "/v1/models/%2e%2e",
        "/v1/models/a%2fb",
        "/v1/models/{id}",
        "/v1//models",
        "/v1/models/",
        "/v1/models;x",
        "/V1/models",
        "/v1/models\\",
        "/v1/auth/mint",
        "/auth/v1/auth/mint",
        "/v1",
        "/",
    ] {
        let refused = find("GET", path).unwrap_err();
        assert!(matches!(refused, RouteError::Unknown { .. }), "{path}");
    }
    let long = find("GET", &format!("/v1/models/{}", "a".repeat(129)));
    assert!(matches!(long, Err(RouteError::Unknown { .. })));
}

#[test]
fn a_wrong_method_is_told_which_are_offered() {
    let RouteError::Method { allow, .. } = find("PUT", "/v1/threads/t1").unwrap_err() else {
        panic!("expected a method error");
    };
    assert_eq!(allow, "DELETE");
    assert!(find("HEAD", "/v1/models").is_ok());
}

#[test]
fn a_refusal_names_what_was_asked_in_bounds() {
    let refused = find("POST", "/v1/a\u{e9}\u{1b}[2J").unwrap_err();
    let text = "POST /v1/{?} is no route: routes.extra adds routes under /v1";
    assert_eq!(refused.to_string(), text);
    let refused = find("GET", "/v1/files/usr_4711/lines-of/x").unwrap_err();
    let text = "GET /v1/files/{id}/lines-of/x is no route: routes.extra adds routes under /v1";
    assert_eq!(refused.to_string(), text);
    let refused = find(&"M".repeat(900), &format!("/{}", "a".repeat(9000))).unwrap_err();
    assert!(refused.to_string().len() < 256, "{refused}");
    let refused = find("PUT", "/v1/models").unwrap_err();
    let text = "PUT /v1/models is no route, but GET, HEAD is: routes.extra adds routes under /v1";
    assert_eq!(refused.to_string(), text);
}

#[test]
fn a_path_tells_its_methods_whatever_is_asked() {
    let table = RouteTable::new(&["PUT /v1/threads".parse().unwrap()]);
    let told = |path| table.methods(&Method::OPTIONS, path);
    let threads = ("GET, PUT, HEAD".to_owned(), "/v1/threads");
    assert_eq!(told("/v1/threads"), Ok(threads));
    let response = ("GET, DELETE, HEAD".to_owned(), "/v1/responses/{id}");
    assert_eq!(told("/v1/responses/r1"), Ok(response));
    assert!(matches!(
        told("/v1/auth/mint"),
        Err(RouteError::Unknown { .. })
    ));
}

#[test]
fn configured_routes_stay_inside_the_api_and_outside_auth() {
    assert_eq!(find("POST", "/v1/rerank").unwrap().label, "extra");
    for (text, error) in [
        ("/v1/rerank", RouteParseError::Form),
        ("", RouteParseError::Form),
        ("TRACE /v1/rerank", RouteParseError::Method),
        ("OPTIONS /v1/rerank", RouteParseError::Method),
        ("get /v1/files", RouteParseError::Method),
        ("POST /v2/rerank", RouteParseError::Path),
        ("GET /v1", RouteParseError::Path),
        ("GET /v1/", RouteParseError::Path),
        ("GET  /v1/files", RouteParseError::Path),
        ("POST /v1/../admin", RouteParseError::Path),
        ("POST /v1/a%2fb", RouteParseError::Path),
        ("GET /v1/a//b", RouteParseError::Path),
        ("GET /v1/a?b", RouteParseError::Path),
        ("GET /v1/{a}{b}", RouteParseError::Path),
        ("POST /v1/auth/mint", RouteParseError::Reserved),
        ("POST /v1/Auth/mint", RouteParseError::Reserved),
        ("GET /v1/{id}/mint", RouteParseError::Reserved),
        ("GET /v1/admin/keys", RouteParseError::Reserved),
    ] {
        assert_eq!(text.parse::<Route>().unwrap_err(), error, "{text}");
    }
}
