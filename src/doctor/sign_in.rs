//! Whether Auth.js, behind the public URL, believes that it is there: without `AUTH_URL` it sends users
//! to the app's own port after they have signed in.

use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::Value;

use super::call::{self, Server};
use super::finding::Finding;

const CHECK: &str = "sign-in";

/// Asks Auth.js for its providers and its sign-in page. Where something in front sends every request to
/// a sign-in of its own, a redirect says nothing of the app: then `front_redirects`.
pub(super) async fn look(server: &Server, front_redirects: bool) -> Finding {
    let (providers, page) = tokio::join!(
        server.ask(call::get("/api/auth/providers")),
        server.ask(call::get("/api/auth/signin")),
    );
    let own = &server.origin;
    if let Ok(origins) = providers.as_ref().map_or(Err(()), origins_of_providers) {
        let strangers: Vec<_> = origins.iter().filter(|origin| *origin != own).collect();
        return match strangers.first() {
            None => Finding::ok(CHECK, "Auth.js signs users in under the public URL"),
            Some(stranger) => leaves(own, stranger),
        };
    }
    match page {
        Ok(page) if page.status().is_redirection() && !front_redirects => {
            match leaving(page.headers(), own) {
                Some(stranger) => leaves(own, &stranger),
                None => Finding::ok(CHECK, "the app's sign-in stays under the public URL"),
            }
        }
        Ok(_) | Err(_) => Finding::info(
            CHECK,
            "not looked at: there is no Auth.js under the public URL",
        ),
    }
}

fn leaves(own: &str, stranger: &str) -> Finding {
    Finding::warning(
        CHECK,
        format!("the app sends users to {stranger} when they sign in: away from {own}"),
        format!("set AUTH_URL={own} (NextAuth v4: NEXTAUTH_URL) for the app"),
    )
}

/// The origins of the addresses in `/api/auth/providers`.
fn origins_of_providers(answer: &Response<Bytes>) -> Result<Vec<String>, ()> {
    let providers: Value = serde_json::from_slice(answer.body()).map_err(|_| ())?;
    let providers = providers.as_object().ok_or(())?;
    let urls = providers
        .values()
        .flat_map(|provider| ["signinUrl", "callbackUrl"].map(|key| provider.get(key)))
        .filter_map(|url| url?.as_str());
    let origins: Vec<_> = urls.filter_map(call::origin_of).collect();
    if answer.status().is_success() && !origins.is_empty() {
        Ok(origins)
    } else {
        Err(())
    }
}

/// Where a redirect leads, or sends back to afterwards, if that is not under `own`.
fn leaving(headers: &HeaderMap, own: &str) -> Option<String> {
    call::elsewhere(headers, own).or_else(|| {
        let location = call::text(headers, "location");
        let (_, back) = location.split_once("callbackUrl=")?;
        let back = back.split(['&', '#']).next()?;
        let back = back.replace("%3A", ":").replace("%3a", ":");
        let back = back.replace("%2F", "/").replace("%2f", "/");
        call::origin_of(&back).filter(|origin| origin != own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://app.example";

    fn redirect(location: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("location", location.parse().unwrap());
        leaving(&headers, OWN)
    }

    #[test]
    fn a_redirect_that_leaves_is_noticed_also_where_only_its_way_back_does() {
        let local = Some("http://localhost:3000".to_owned());
        assert_eq!(redirect("http://localhost:3000/login"), local);
        assert_eq!(
            redirect("/login?callbackUrl=http%3A%2F%2Flocalhost%3A3000%2Fhome&x=1"),
            local
        );
        assert_eq!(redirect("https://app.example/login"), None);
        assert_eq!(
            redirect("/login?callbackUrl=https%3A%2F%2Fapp.example%2F"),
            None
        );
        assert_eq!(redirect("/login"), None);
    }

    #[test]
    fn the_providers_addresses_are_read_where_they_are_some() {
        let read = |body: &'static str| origins_of_providers(&Response::new(Bytes::from(body)));
        let body = r#"{"github":{"id":"github","signinUrl":"http://localhost:3000/api/auth/signin/github",
            "callbackUrl":"https://app.example/api/auth/callback/github"}}"#;
        let origins = read(body).unwrap();
        assert_eq!(origins, ["http://localhost:3000", OWN]);
        for body in [
            "null",
            "{}",
            "[]",
            "<html>",
            r#"{"error":{"code":"route_unknown"}}"#,
        ] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
