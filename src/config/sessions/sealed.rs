//! Reads what opens encrypted and sealed sessions.

use super::{Shared, judged};
use crate::config::fields::{Fields, Key, key};
use crate::secret::Secret;
use crate::session::{CookieName, Dialect, FormatConfig, ProviderKind};

/// The format of a sealed `kind`; `None` if there is a problem with it.
pub(super) fn format(
    fields: &mut Fields,
    kind: ProviderKind,
    _cookie_names: &[CookieName],
    shared: &Shared,
) -> Option<FormatConfig> {
    let dialect = match kind {
        ProviderKind::NextauthV4 => Dialect::NextauthV4,
        ProviderKind::Auth0V4 => Dialect::Auth0V4,
        ProviderKind::AuthjsV5 => Dialect::AuthjsV5,
        ProviderKind::BetterAuthCache
        | ProviderKind::IronSession
        | ProviderKind::Clerk
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
    };
    let secrets = secrets(fields, dialect, shared);
    Some(FormatConfig::Sealed { dialect, secrets })
}

/// Every key of a provider that this file reads.
pub(super) const KEYS: &[&Key] = &[&OWN_SECRETS];

pub(super) const OWN_SECRETS: Key = key(
    "session.providers[].secrets",
    "The app's secrets, newest first; authjs-v5 and nextauth-v4: default session.secrets.",
)
.file_only()
.example("[{ file = \"/run/secrets/auth_secret\" }]");

/// The provider's own secrets, else those of all.
fn secrets(fields: &mut Fields, dialect: Dialect, shared: &Shared) -> Vec<Secret> {
    let before = fields.problems.len();
    let own = judged(fields, &OWN_SECRETS, &[]);
    let may_share = matches!(dialect, Dialect::AuthjsV5 | Dialect::NextauthV4);
    let secrets = if own.is_empty() && may_share {
        shared.secrets.clone()
    } else {
        own
    };
    if secrets.is_empty() && !(may_share && shared.unread) && fields.problems.len() == before {
        let label = fields.label(&OWN_SECRETS);
        let text = if may_share {
            "is missing, and so is session.secrets. Set one of them, or AUTH_SECRET."
        } else {
            "is missing. Set it to the app's own secret: [{ env = \"…\" }]."
        };
        fields.problem(label, text);
    }
    secrets
}
