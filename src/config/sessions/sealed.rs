//! Reads what opens encrypted and sealed sessions.

use super::{Shared, judge, judged};
use crate::config::bounds::any;
use crate::config::fields::{Fields, Key, key};
use crate::config::sources::Origin;
use crate::config::values::{Value, quoted};
use crate::secret::Secret;
use crate::session::{CacheStrategy, CookieName, Dialect, FormatConfig, ProviderKind};

/// The format of a sealed `kind`; `None` if there is a problem with it.
pub(super) fn format(
    fields: &mut Fields,
    kind: ProviderKind,
    cookie_names: &[CookieName],
    shared: &Shared,
) -> Option<FormatConfig> {
    let sealed = |dialect, secrets| FormatConfig::Sealed { dialect, secrets };
    Some(match kind {
        ProviderKind::AuthjsV5 => sealed(Dialect::AuthjsV5, app_secrets(fields, shared)),
        ProviderKind::NextauthV4 => sealed(Dialect::NextauthV4, app_secrets(fields, shared)),
        ProviderKind::Auth0V4 => sealed(Dialect::Auth0V4, own_secrets(fields)),
        ProviderKind::BetterAuthCache => better_auth_cache(fields, cookie_names),
        ProviderKind::IronSession => iron_session(fields),
        ProviderKind::Clerk
        | ProviderKind::Firebase
        | ProviderKind::Auth0Token
        | ProviderKind::Supabase
        | ProviderKind::Signed
        | ProviderKind::Bearer
        | ProviderKind::AuthjsDatabase
        | ProviderKind::BetterAuth
        | ProviderKind::Kratos
        | ProviderKind::ExpressSession
        | ProviderKind::Lookup => return None,
    })
}

/// Every key of a provider that this file reads.
pub(super) const KEYS: &[&Key] = &[&OWN_SECRETS, &PASSWORDS, &STRATEGY, &TOKEN_COOKIE_NAMES];

pub(super) const OWN_SECRETS: Key = key(
    "session.providers[].secrets",
    "The app's secrets, newest first, for kinds that have some; authjs-v5 and nextauth-v4: default session.secrets.",
)
.file_only()
.example("[{ file = \"/run/secrets/auth_secret\" }]");
const PASSWORDS: Key = key(
    "session.providers[].passwords",
    "iron-session: passwords by their ids; a single one has the id 1 in the app.",
)
.file_only()
.example("{ 1 = { file = \"/run/secrets/session_password\" } }");
const STRATEGY: Key = key(
    "session.providers[].strategy",
    "better-auth-cache: \"compact\", \"jwt\" or \"jwe\", as the app's session.cookieCache; default \"compact\".",
)
.file_only()
.example("\"compact\"");
const TOKEN_COOKIE_NAMES: Key = key(
    "session.providers[].token_cookie_names",
    "better-auth-cache: the token cookie of each cookie name, in their order; default: …session_token for …session_data.",
)
.file_only()
.example("[\"__Secure-better-auth.session_token\"]");

/// The provider's own secrets, else those of all.
fn app_secrets(fields: &mut Fields, shared: &Shared) -> Vec<Secret> {
    let before = fields.problems.len();
    let own = judged(fields, &OWN_SECRETS, &[]);
    if !own.is_empty() {
        return own;
    }
    if shared.secrets.is_empty() && !shared.unread && fields.problems.len() == before {
        let label = fields.label(&OWN_SECRETS);
        let text = "is missing, and so is session.secrets. Set one of them, or AUTH_SECRET.";
        fields.problem(label, text);
    }
    shared.secrets.clone()
}

/// The provider's own secrets.
fn own_secrets(fields: &mut Fields) -> Vec<Secret> {
    let before = fields.problems.len();
    let own = judged(fields, &OWN_SECRETS, &[]);
    if own.is_empty() && fields.problems.len() == before {
        let label = fields.label(&OWN_SECRETS);
        let text = "is missing. Set it to the app's own secret: [{ env = \"…\" }].";
        fields.problem(label, text);
    }
    own
}

fn better_auth_cache(fields: &mut Fields, cookie_names: &[CookieName]) -> FormatConfig {
    let secrets = own_secrets(fields);
    let strategy = fields.read(&STRATEGY, CacheStrategy::Compact, any);
    let names = match cookie_names {
        [] => ProviderKind::BetterAuthCache.default_cookie_names(),
        names => names.to_vec(),
    };
    let given: Option<Vec<CookieName>> = fields.optional(&TOKEN_COOKIE_NAMES, any);
    let token_cookie_names = given.or_else(|| names.iter().map(token_cookie).collect());
    let count = token_cookie_names.as_ref().map_or(0, Vec::len);
    if count != names.len() {
        let label = fields.label(&TOKEN_COOKIE_NAMES);
        let text = "must have one name for each of cookie_names: the token cookie of that cache";
        fields.problem(label, text);
    }
    FormatConfig::BetterAuthCache {
        secrets,
        strategy,
        token_cookie_names: token_cookie_names.unwrap_or_default(),
    }
}

/// The token cookie beside the cache cookie `name`, where the app has not renamed one of them.
fn token_cookie(name: &CookieName) -> Option<CookieName> {
    let prefix = name.as_str().strip_suffix("session_data")?;
    CookieName::parse(&format!("{prefix}session_token"))
}

fn iron_session(fields: &mut Fields) -> FormatConfig {
    let before = fields.problems.len();
    let passwords = fields.secret_table(&PASSWORDS);
    for (_, password) in &passwords {
        judge(fields, &PASSWORDS, password, &Origin::File);
    }
    if passwords.is_empty() && fields.problems.len() == before {
        let label = fields.label(&PASSWORDS);
        let text = "is missing. Set it to the app's own: { 1 = { env = \"SESSION_PASSWORD\" } }.";
        fields.problem(label, text);
    }
    FormatConfig::IronSession { passwords }
}

impl Value for CacheStrategy {
    fn from_text(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|strategy| strategy.label() == text);
        found.ok_or_else(|| "must be \"compact\", \"jwt\" or \"jwe\"".to_owned())
    }

    fn to_toml(&self) -> String {
        quoted(self.label())
    }
}
