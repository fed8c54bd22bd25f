//! What is known of each kind of JWT beforehand, and what follows from its one own key.

use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use http::Uri;

use super::address::Address;
use crate::config::fields::{Fields, Key, key};
use crate::config::url::UpstreamUrl;
use crate::config::values::Value;
use crate::session::{Algorithm, ClaimRules, CookieName, ProviderKind, SignedDialect};

/// What holds for a kind of JWT unless it is written out.
pub(super) struct Preset {
    pub(super) dialect: SignedDialect,
    /// The algorithms that this kind can have.
    pub(super) may: &'static [Algorithm],
    /// Those that it has by default, where there are keys for them.
    pub(super) unless_told: &'static [Algorithm],
    pub(super) tolerance: Duration,
    pub(super) issuer: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) jwks_url: Option<Uri>,
    /// The key that says where keys are.
    pub(super) needs: &'static Key,
    /// What to do where there are none.
    pub(super) without_keys: &'static str,
}

/// Reads the own key of `kind`.
pub(super) fn read(
    fields: &mut Fields,
    kind: ProviderKind,
    cookie_names: &mut Vec<CookieName>,
) -> Preset {
    match kind {
        ProviderKind::Clerk => clerk(fields, cookie_names),
        ProviderKind::Firebase => firebase(fields),
        ProviderKind::Auth0Token => auth0(fields),
        ProviderKind::Supabase => supabase(fields, cookie_names),
        ProviderKind::Signed
        | ProviderKind::Bearer
        | ProviderKind::AuthjsV5
        | ProviderKind::NextauthV4
        | ProviderKind::Auth0V4
        | ProviderKind::BetterAuthCache
        | ProviderKind::IronSession
        | ProviderKind::AuthjsDatabase
        | ProviderKind::BetterAuth
        | ProviderKind::Kratos
        | ProviderKind::ExpressSession
        | ProviderKind::Lookup => GENERIC,
    }
}

/// Any issuer.
const GENERIC: Preset = Preset {
    dialect: SignedDialect::Plain,
    may: &Algorithm::ALL,
    unless_told: &[
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::EdDsa,
        Algorithm::Hs256,
    ],
    tolerance: Duration::ZERO,
    issuer: None,
    audiences: Vec::new(),
    jwks_url: None,
    needs: &super::sources::JWKS_URL,
    without_keys: "is missing, and so are jwks_file, pem_file and secrets. Set jwks_url to the \
                   issuer's key set (https://<issuer>/.well-known/jwks.json), or secrets where the \
                   app signs with HS256",
};

/// The publishable key holds the host of the issuer (`@clerk/shared`, `keys.ts`).
fn clerk(fields: &mut Fields, cookie_names: &mut Vec<CookieName>) -> Preset {
    const RSA: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512];
    let read: Option<String> = fields.optional(&PUBLISHABLE_KEY, |key: &String| {
        clerk_host(key).map(|_| ()).ok_or_else(|| {
            "must be the app's publishable key, pk_test_… or pk_live_…, whole".to_owned()
        })
    });
    let host = read.as_deref().and_then(clerk_host);
    if let Some(key) = read.as_deref()
        && cookie_names.is_empty()
    {
        let hash = BASE64URL.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes()));
        let suffix = hash.get(..8).unwrap_or_default();
        let names = [format!("__session_{suffix}"), "__session".to_owned()];
        cookie_names.extend(names.iter().filter_map(|name| CookieName::parse(name)));
    }
    Preset {
        dialect: SignedDialect::Clerk,
        may: &RSA,
        unless_told: &RSA,
        tolerance: Duration::from_secs(5),
        issuer: host.as_ref().map(|host| format!("https://{host}")),
        jwks_url: host.and_then(|host| jwks_of(&format!("https://{host}"))),
        needs: &PUBLISHABLE_KEY,
        without_keys: "is missing. Set it to the app's publishable key (pk_live_…), or set issuer and \
                       jwks_url",
        ..GENERIC
    }
}

/// The frontend API's host in a publishable key: base64 after the mark, and a `$` at its end.
fn clerk_host(key: &str) -> Option<String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let encoded = ["pk_test_", "pk_live_"]
        .iter()
        .find_map(|mark| key.strip_prefix(mark))?;
    let decoded = String::from_utf8(LENIENT.decode(encoded).ok()?).ok()?;
    host(decoded.strip_suffix('$')?)
}

/// `firebase-admin` 13 `token-verifier.ts`: session cookies have an issuer and keys of their own.
fn firebase(fields: &mut Fields) -> Preset {
    const RS256: [Algorithm; 1] = [Algorithm::Rs256];
    let project: Option<String> = fields.optional(&PROJECT_ID, |id: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let is_id = id.bytes().all(plain);
        is_id
            .then_some(())
            .ok_or_else(|| "must be the project's id, such as \"my-app-1234\"".to_owned())
    });
    let keys = "https://www.googleapis.com/identitytoolkit/v3/relyingparty/publicKeys";
    if project.is_none() && !fields.has_problem(&fields.label(&PROJECT_ID)) {
        let label = fields.label(&PROJECT_ID);
        fields.problem(label, "is missing. Set it to the Firebase project's id");
    }
    Preset {
        dialect: SignedDialect::Firebase,
        may: &RS256,
        unless_told: &RS256,
        issuer: project
            .as_ref()
            .map(|id| format!("https://session.firebase.google.com/{id}")),
        audiences: project.into_iter().collect(),
        jwks_url: Some(Uri::from_static(keys)),
        needs: &PROJECT_ID,
        ..GENERIC
    }
}

fn auth0(fields: &mut Fields) -> Preset {
    let domain: Option<String> = fields.optional(&DOMAIN, |domain: &String| {
        host(domain).map(|_| ()).ok_or_else(|| {
            "must be the tenant's domain without https://, such as \"tenant.eu.auth0.com\""
                .to_owned()
        })
    });
    let domain = domain.as_deref().and_then(host);
    Preset {
        unless_told: &[Algorithm::Rs256, Algorithm::Hs256],
        issuer: domain.as_ref().map(|domain| format!("https://{domain}/")),
        jwks_url: domain.and_then(|domain| jwks_of(&format!("https://{domain}"))),
        needs: &DOMAIN,
        without_keys: "is missing. Set it to the tenant's domain (tenant.eu.auth0.com), or set issuer \
                       and jwks_url",
        ..GENERIC
    }
}

/// `@supabase/supabase-js` 2: the cookie is called after the first label of the project's host.
fn supabase(fields: &mut Fields, cookie_names: &mut Vec<CookieName>) -> Preset {
    let url: Option<UpstreamUrl> = fields.optional(&PROJECT_URL, |url: &UpstreamUrl| {
        let is_safe = url.is_tls() || url.is_loopback();
        is_safe
            .then_some(())
            .ok_or_else(|| "must begin with https:// unless the host is loopback".to_owned())
    });
    if let Some(url) = &url
        && cookie_names.is_empty()
    {
        let project = url.host().split('.').next().unwrap_or_default();
        cookie_names.extend(CookieName::parse(&format!("sb-{project}-auth-token")));
    }
    let issuer = url.map(|url| format!("{url}/auth/v1"));
    Preset {
        dialect: SignedDialect::Supabase,
        unless_told: &[Algorithm::Es256, Algorithm::Rs256, Algorithm::Hs256],
        // The public anon key is signed like a session, and has no audience.
        audiences: vec!["authenticated".to_owned()],
        jwks_url: issuer.as_deref().and_then(jwks_of),
        issuer,
        needs: &PROJECT_URL,
        without_keys: "is missing. Set it to the project's URL (https://<ref>.supabase.co), or set \
                       issuer and jwks_url, jwks_file, pem_file or secrets",
        ..GENERIC
    }
}

/// Supabase's users can write into their `user_metadata` what they like.
pub(super) fn refuse_user_metadata(fields: &mut Fields, claims: &ClaimRules) {
    let required = claims.required.iter().map(|one| ("required", &one.claim));
    let paths = [
        ("tier_claim", &claims.paths.tier),
        ("user_claim", &claims.paths.user),
        ("session_claim", &claims.paths.session),
        ("issued_claim", &claims.paths.issued),
    ];
    for (key, path) in paths.into_iter().chain(required) {
        if path.first().is_some_and(|first| first == "user_metadata") {
            let label = fields.label(&PROJECT_URL).replace("project_url", key);
            let text = "must not look into user_metadata, which users of Supabase write themselves \
                        (auth.updateUser): keep it in app_metadata, which only the server writes";
            fields.problem(label, text);
        }
    }
}

/// `text` as a host and maybe a port, lower case.
fn host(text: &str) -> Option<String> {
    if text.contains('/') {
        return None;
    }
    let url = UpstreamUrl::parse(&format!("https://{text}")).ok()?;
    Some(url.authority().to_owned())
}

/// Where the key set of an issuer is.
fn jwks_of(issuer: &str) -> Option<Uri> {
    let address = Address::from_text(&format!("{issuer}/.well-known/jwks.json")).ok()?;
    Some(address.uri().clone())
}

pub(super) const PUBLISHABLE_KEY: Key = key(
    "session.providers[].publishable_key",
    "clerk: gives issuer, jwks_url and cookie names.",
)
.file_only()
.example("\"pk_test_ZXhhbXBsZS5jbGVyay5hY2NvdW50cy5kZXYk\"");
pub(super) const PROJECT_ID: Key = key(
    "session.providers[].project_id",
    "firebase: gives issuer, audience and jwks_url. Required there.",
)
.file_only()
.example("\"my-app-1234\"");
pub(super) const DOMAIN: Key = key(
    "session.providers[].domain",
    "auth0-token: gives issuer and jwks_url.",
)
.file_only()
.example("\"tenant.eu.auth0.com\"");
pub(super) const PROJECT_URL: Key = key(
    "session.providers[].project_url",
    "supabase: gives cookie name, issuer and jwks_url.",
)
.file_only()
.example("\"https://abcdefghijklmnop.supabase.co\"");
