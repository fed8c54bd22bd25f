//! One provider: where its session stands, how it is opened, and whose it is.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::better_auth::BetterAuthCache;
use super::claims::{self, Claims, Expiry, Tolerance};
use super::cookie::{self, Chunks, CookieName};
use super::error::{Carrier, InvalidReason, Refusal};
use super::iron::IronPasswords;
use super::lookup::{Lookup, LookupBuildError};
use super::sealed::Keyring;
use super::session_id::SessionIds;
use super::signed::{Signed, SignedBuildError};
use super::{
    ClaimRules, Dialect, FormatConfig, IssuerStatus, Look, ProviderConfig, ProviderKind, Session,
    SessionError, Visit,
};
use crate::client::Outbound;
use crate::clock::Now;
use crate::identity::Identity;

/// Why a checked provider still cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("session.providers[{index}] ({kind}): {fault}")]
pub struct SessionBuildError {
    index: usize,
    kind: &'static str,
    fault: BuildFault,
}

#[derive(Debug, thiserror::Error)]
enum BuildFault {
    #[error(transparent)]
    Signed(#[from] SignedBuildError),
    #[error(transparent)]
    Lookup(#[from] LookupBuildError),
}

/// One provider, its keys derived.
pub(super) struct Provider {
    kind: ProviderKind,
    rules: ClaimRules,
    chunks: Chunks,
    /// One format for each cookie name, since a name may be part of its key.
    cookies: Vec<(CookieName, Format)>,
    /// Where there is no cookie.
    bearer: Option<Format>,
}

/// How a session is opened.
enum Format {
    Sealed(Keyring),
    BetterAuthCache(Box<BetterAuthCache>),
    IronSession(Arc<IronPasswords>),
    Signed(Arc<Signed>),
    Lookup(Arc<Lookup>),
}

/// What a format makes of a session.
pub(super) struct Opened {
    /// A JSON object whose authenticity is certain.
    pub(super) payload: Bytes,
    /// How its end is known.
    pub(super) expiry: Expiry,
}

/// A session that was found and decides: where, how it is opened, and its value or what is wrong
/// with it.
pub(super) struct Found<'a> {
    carrier: Carrier,
    format: &'a Format,
    value: Result<Cow<'a, [u8]>, InvalidReason>,
}

impl Provider {
    /// The provider that stands at `index` of the configuration.
    pub(super) fn new(
        index: usize,
        config: &ProviderConfig,
        outbound: &Outbound,
    ) -> Result<Self, SessionBuildError> {
        let kind = config.kind;
        let format = formats(config, outbound).map_err(|fault| SessionBuildError {
            index,
            kind: kind.label(),
            fault,
        })?;
        let names = match config.cookie_names.as_slice() {
            [] => kind.default_cookie_names(),
            names => names.to_vec(),
        };
        let cookies = names.into_iter().enumerate().map(|(at, name)| {
            let format = format(at, &name);
            (name, format)
        });
        Ok(Self {
            kind,
            rules: config.claims.clone(),
            chunks: kind.chunks(),
            bearer: (kind == ProviderKind::Bearer)
                .then(|| format(0, &CookieName::from_static("Authorization"))),
            cookies: cookies.collect(),
        })
    }

    /// The first of the provider's cookies that is present.
    pub(super) fn find<'a>(&'a self, headers: &'a HeaderMap) -> Option<Found<'a>> {
        self.cookies.iter().find_map(|(name, format)| {
            let value = cookie::find(headers, name, self.chunks).transpose()?;
            Some(Found {
                carrier: Carrier::Cookie(name.clone()),
                format,
                value,
            })
        })
    }

    /// Which of its cookies are there, up to the first that is.
    pub(super) fn look(&self, headers: &HeaderMap, looks: &mut Vec<Look>) -> bool {
        for (name, _) in &self.cookies {
            let is_there = !matches!(cookie::find(headers, name, self.chunks), Ok(None));
            looks.push(self.looked_at(Carrier::Cookie(name.clone()), is_there));
            if is_there {
                return true;
            }
        }
        false
    }

    /// That it looked at `carrier`.
    pub(super) fn looked_at(&self, carrier: Carrier, is_there: bool) -> Look {
        Look {
            provider: self.kind.label(),
            carrier,
            is_there,
        }
    }

    /// The cookie names that are looked for, with the provider's label, in order.
    pub(super) fn cookie_names(&self) -> impl Iterator<Item = (&'static str, &CookieName)> {
        let label = self.kind.label();
        self.cookies.iter().map(move |(name, _)| (label, name))
    }

    /// Whether it was this provider that recognised `session`.
    pub(super) fn recognised(&self, session: &Session) -> bool {
        let is_named = match &session.carrier {
            Carrier::Cookie(cookie) => self.cookies.iter().any(|(name, _)| name == cookie),
            Carrier::Authorization => self.bearer.is_some(),
        };
        is_named && self.kind.label() == session.provider
    }

    /// The app that is asked, where one is.
    pub(super) fn lookup(&self) -> Option<&Lookup> {
        // One for all cookie names.
        match &self.cookies.first()?.1 {
            Format::Lookup(lookup) => Some(lookup),
            Format::Sealed(_)
            | Format::BetterAuthCache(_)
            | Format::IronSession(_)
            | Format::Signed(_) => None,
        }
    }

    /// Where the user id is looked for.
    pub(super) fn user_claim(&self) -> &[String] {
        &self.rules.paths.user
    }

    /// What a JWT in `Authorization` is, unless this provider reads cookies.
    pub(super) fn found_bearer<'a>(
        &'a self,
        token: Result<&'a [u8], InvalidReason>,
    ) -> Option<Found<'a>> {
        Some(Found {
            carrier: Carrier::Authorization,
            format: self.bearer.as_ref()?,
            value: token.map(Cow::Borrowed),
        })
    }

    /// The provider's check of JWTs, which all of its cookies share.
    fn signed(&self) -> Option<&Signed> {
        let mut formats = self.cookies.iter().map(|(_, format)| format);
        match formats.next().or(self.bearer.as_ref())? {
            Format::Signed(signed) => Some(signed),
            Format::Sealed(_)
            | Format::BetterAuthCache(_)
            | Format::IronSession(_)
            | Format::Lookup(_) => None,
        }
    }

    /// Fetches the issuer's keys, where it is time for that.
    pub(super) fn tend(&self, now: Now) {
        if let Some(signed) = self.signed() {
            signed.tend(now);
        }
    }

    /// Takes over what `previous` knows of the same issuer.
    pub(super) fn adopt(&self, previous: &Self) {
        if let (Some(signed), Some(previous)) = (self.signed(), previous.signed()) {
            signed.adopt(previous);
        }
    }

    /// How it stands with the issuer's keys, with the provider's label.
    pub(super) fn issuer(&self) -> Option<(&'static str, IssuerStatus)> {
        Some((self.kind.label(), self.signed()?.status()?))
    }

    /// Opens what was found and reads its claims.
    pub(super) async fn open(
        &self,
        found: Found<'_>,
        session_ids: &SessionIds,
        visit: &Visit<'_>,
    ) -> Result<Session, SessionError> {
        let Found {
            carrier,
            format,
            value,
        } = found;
        let opened = match value {
            Ok(value) => format.open(&value, &carrier, visit).await,
            Err(reason) => Err(Refusal::Invalid(reason)),
        };
        match opened.and_then(|opened| self.read(opened, &carrier, session_ids, visit)) {
            Ok(session) => Ok(session),
            Err(refusal) => Err(refusal.of(self.kind.label(), carrier)),
        }
    }

    /// Reads the claims of what was opened.
    fn read(
        &self,
        opened: Opened,
        carrier: &Carrier,
        session_ids: &SessionIds,
        visit: &Visit<'_>,
    ) -> Result<Session, Refusal> {
        let Opened { payload, expiry } = opened;
        let claims = Claims::read(&payload, &self.rules, expiry, visit.now)?;
        let session = claims.session.as_deref();
        let session_id = session_ids.derive(&claims.user, session, visit.headers);
        Ok(Session {
            provider: self.kind.label(),
            carrier: carrier.clone(),
            expires_at: claims.expires_at,
            issued_at: claims.issued_at,
            claim: session.map(Arc::from),
            identity: Identity {
                user: claims.user,
                tier: claims::tier(&claims.tier),
                session_id,
            },
            tier: claims.tier,
        })
    }
}

/// Makes the format of the cookie that stands at some place of the names, and has some name.
type Formats<'c> = Box<dyn Fn(usize, &CookieName) -> Format + 'c>;

/// One format for each cookie; what they have in common is made once.
fn formats<'c>(
    provider: &'c ProviderConfig,
    outbound: &Outbound,
) -> Result<Formats<'c>, BuildFault> {
    Ok(match &provider.format {
        FormatConfig::Sealed { dialect, secrets } => Box::new(|_, name| {
            Format::Sealed(match dialect {
                Dialect::AuthjsV5 => Keyring::authjs_v5(secrets, name),
                Dialect::NextauthV4 => Keyring::nextauth_v4(secrets),
                Dialect::Auth0V4 => Keyring::auth0_v4(secrets),
            })
        }),
        FormatConfig::BetterAuthCache {
            secrets,
            strategy,
            token_cookie_names,
        } => Box::new(|at, _| {
            let token_cookie = token_cookie_names.get(at).cloned();
            Format::BetterAuthCache(Box::new(BetterAuthCache::new(
                secrets,
                *strategy,
                token_cookie,
            )))
        }),
        FormatConfig::IronSession { passwords } => {
            let passwords = Arc::new(IronPasswords::new(passwords));
            Box::new(move |_, _| Format::IronSession(Arc::clone(&passwords)))
        }
        FormatConfig::Signed(config) => {
            let signed = Arc::new(Signed::new(config, outbound)?);
            Box::new(move |_, _| Format::Signed(Arc::clone(&signed)))
        }
        FormatConfig::Lookup(config) => {
            let user = &provider.claims.paths.user;
            let lookup = Arc::new(Lookup::new(provider.kind, config, user, outbound)?);
            Box::new(move |_, _| Format::Lookup(Arc::clone(&lookup)))
        }
    })
}

impl Format {
    /// What the session says, once its authenticity is certain.
    async fn open(
        &self,
        value: &[u8],
        carrier: &Carrier,
        visit: &Visit<'_>,
    ) -> Result<Opened, Refusal> {
        match self {
            Self::Sealed(keys) => Ok(Opened {
                payload: keys.open(value)?.into(),
                expiry: Expiry::Claims(Tolerance::OF_SEALED),
            }),
            Self::BetterAuthCache(cache) => cache.open(value, visit),
            Self::IronSession(passwords) => passwords.open(value, visit.now),
            Self::Signed(signed) => signed.open(value, visit.now).await,
            Self::Lookup(lookup) => lookup.open(value, carrier, visit).await,
        }
    }
}
