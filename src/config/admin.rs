//! Reads `[admin]`: where health and metrics are served, and what an operator proves to be one with.

use std::net::{Ipv4Addr, SocketAddr};

use super::bounds::any;
use super::fields::{Fields, Key, key};
use super::model::AdminConfig;
use super::sources::Origin;
use crate::secret::Secret;
use crate::session::{SecretWeakness, secret_weakness};

/// Fewer bytes could be guessed over the network.
const LEAST_TOKEN: usize = 16;

/// `[admin]`; `public` is where the API is served, which must be another port.
pub(super) fn admin(fields: &mut Fields, public: SocketAddr) -> AdminConfig {
    let listen = listen(fields);
    let origin = fields.last_origin();
    if overlap(listen, public) {
        let text = format!(
            "is {listen}, and server.listen (GATEWAY_LISTEN) is {public}: health and metrics need a \
             port of their own, which is not public"
        );
        fields.problem_at(&LISTEN, &origin, text);
    }
    let token = fields.secret(&TOKEN);
    if let Some((token, origin)) = &token {
        check_token(fields, token, origin);
    }
    AdminConfig {
        listen,
        token: token.map(|(token, _)| token),
    }
}

/// `admin.listen` alone.
pub(super) fn listen(fields: &mut Fields) -> SocketAddr {
    fields.read(&LISTEN, SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)), any)
}

const LISTEN: Key = key(
    "admin.listen",
    "Address of the listener of /livez, /readyz and /metrics. Only a restart changes it.",
)
.named(&["GATEWAY_ADMIN_LISTEN"]);
const TOKEN: Key = key(
    "admin.token",
    "Opens /appz, /config, /revocations and /usage there, as Authorization: Bearer; default: they do not exist.",
)
.named(&["GATEWAY_ADMIN_TOKEN"])
.example("{ file = \"/run/secrets/admin_token\" }");

/// Whether both cannot be listened on, or would be the same to a caller.
fn overlap(admin: SocketAddr, public: SocketAddr) -> bool {
    let same_host =
        admin.ip() == public.ip() || admin.ip().is_unspecified() || public.ip().is_unspecified();
    admin.port() != 0 && admin.port() == public.port() && same_host
}

fn check_token(fields: &mut Fields, token: &Secret, origin: &Origin) {
    let bytes = token.expose();
    let fault = if bytes.len() < LEAST_TOKEN {
        "is too short: 16 bytes are the least; make one with `openssl rand -base64 33`"
    } else if !bytes.iter().all(u8::is_ascii_graphic) {
        "must be visible ASCII without spaces: it is sent in a header"
    } else if secret_weakness(bytes) == Some(SecretWeakness::Sample) {
        "is a sample value that everybody knows; make one with `openssl rand -base64 33`"
    } else {
        return;
    };
    fields.problem_at(&TOKEN, origin, fault);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_where_one_socket_would_hide_the_other() {
        let overlaps =
            |admin: &str, public: &str| overlap(admin.parse().unwrap(), public.parse().unwrap());
        assert!(overlaps("127.0.0.1:8080", "0.0.0.0:8080"));
        assert!(overlaps("0.0.0.0:8080", "127.0.0.1:8080"));
        assert!(overlaps("[::]:8080", "0.0.0.0:8080"));
        assert!(overlaps("10.0.0.1:8080", "10.0.0.1:8080"));
        assert!(!overlaps("10.0.0.1:8080", "10.0.0.2:8080"));
        assert!(!overlaps("127.0.0.1:9090", "0.0.0.0:8080"));
        assert!(!overlaps("127.0.0.1:0", "127.0.0.1:0"), "any free ports");
    }
}
