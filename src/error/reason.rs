//! Why exactly the gateway answers itself: finer than the code word, for the metrics, and as closed a
//! set.

use crate::admission::AdmissionError;
use crate::admission::cross_origin::CrossOriginRefusal;
use crate::admission::framing::FramingError;
use crate::admission::limits::LimitError;
use crate::admission::routes::RouteError;
use crate::app::AppError;
use crate::budget::{LimitKind, OverBudget, Refused};
use crate::client::ClientError;
use crate::forward::ForwardError;
use crate::session::{Asked, InvalidReason, SessionError};
use crate::telemetry::labels::labels;
use crate::token::{Outage, TokenError};

use super::GatewayError;

labels! {
    /// The finer reason of a refusal; together with the code word it is a series of `refusals_total`.
    Reason {
        /// The request target is no plain path.
        Target = "target",
        /// Not exactly one plain Host.
        Host = "host",
        /// `Transfer-Encoding` is not a single `chunked`.
        TransferEncoding = "transfer_encoding",
        /// `Content-Length` is not one number.
        ContentLength = "content_length",
        /// No route has the path.
        Path = "path",
        /// The path is not offered with the method.
        Method = "method",
        /// No HTTP, or not by its rules: the HTTP library's own refusal.
        Unreadable = "unreadable",
        /// Two `Origin` or `Sec-Fetch-Site` lines.
        Repeated = "repeated",
        /// An origin that is neither public nor allowed.
        Origin = "origin",
        /// The browser names another site.
        Site = "site",
        /// Nothing says where the request comes from.
        Unproven = "unproven",
        /// Bytes of the head.
        HeadBytes = "head_bytes",
        /// Lines of the head.
        HeadLines = "head_lines",
        /// Bytes of path and query.
        Uri = "uri",
        /// Bytes of the body.
        Body = "body",
        /// Requests of one user.
        UserRequests = "user_requests",
        /// Requests a minute of this user's tier.
        RequestsPerMinute = "requests_per_minute",
        /// Requests at once of this user's tier.
        ConcurrentRequests = "concurrent_requests",
        /// Requests a day of this user's tier.
        RequestsPerDay = "requests_per_day",
        /// Tokens a day of this user's tier.
        TokensPerDay = "tokens_per_day",
        /// Tokens a month of this user's tier.
        TokensPerMonth = "tokens_per_month",
        /// Cost a day of this user's tier.
        CostPerDay = "usd_per_day",
        /// Cost a month of this user's tier.
        CostPerMonth = "usd_per_month",
        /// The store of budgets does not answer.
        Store = "store",
        /// No session cookie.
        NoCookie = "no_cookie",
        /// The session has ended.
        Expired = "expired",
        /// No configured secret opens the cookie.
        NoSecret = "no_secret",
        /// No key of the issuer's is for the token.
        NoKey = "no_key",
        /// The cookie was altered or cut.
        Altered = "altered",
        /// The cookie is larger than any session.
        TooLarge = "too_large",
        /// The cookie is no token of the app's library.
        Format = "format",
        /// The session lacks what it must say, or says it in another way.
        Claims = "claims",
        /// The session has no usable user id.
        User = "user",
        /// An operator has ended the session.
        Revoked = "revoked",
        /// Two sessions in one request.
        Ambiguous = "ambiguous",
        /// The issuer's keys cannot be had.
        Issuer = "issuer",
        /// The app's session URL does not answer.
        App = "app",
        /// The app knows no such session.
        SignedOut = "signed_out",
        /// The app's session URL answers with a redirect, or with no JSON.
        AppAnswer = "app_answer",
        /// Behest refuses this user (400, 422).
        MintUser = "mint_user",
        /// Behest refuses the key (401, 403).
        MintKey = "mint_key",
        /// Behest refuses for another cause: the plan, the path, a redirect.
        MintOther = "mint_other",
        /// 429 from the mint.
        MintLimited = "mint_limited",
        /// 5xx from the mint.
        MintError = "mint_error",
        /// The mint cannot be reached.
        MintUnreachable = "mint_unreachable",
        /// The mint's answer is no usable token.
        MintAnswer = "mint_answer",
        /// The mint is late.
        MintTimeout = "mint_timeout",
        /// No place for a mint.
        MintPlaces = "mint_places",
        /// One user asks for too many tokens.
        UserTokens = "user_tokens",
        /// The mint failed inside the gateway.
        Internal = "internal",
        /// No connection.
        Connect = "connect",
        /// No connection in time.
        ConnectTimeout = "connect_timeout",
        /// No answer in time.
        FirstByteTimeout = "first_byte_timeout",
        /// Closed without an answer.
        Closed = "closed",
        /// Not HTTP.
        NotHttp = "not_http",
        /// An answer that must not be passed on.
        Answer = "answer",
        /// An error's body that no page may read.
        Withheld = "withheld",
        /// An error's body that did not end in time.
        ErrorLate = "error_late",
        /// A token that Behest issued and refuses.
        Token = "token",
        /// The request's body comes too slowly.
        BodySlow = "body_slow",
        /// The request's body broke off.
        BodyBroken = "body_broken",
        /// The query fits no request target.
        Query = "query",
    }
}

impl GatewayError {
    /// The finer reason: an exhaustive match, like the verdict's.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Admission(error) => admission(error),
            Self::Session(error) => session(error),
            Self::Revoked(_) => Reason::Revoked,
            Self::Limit(error) => limit(*error),
            Self::Budget(error) => budget(error),
            Self::Token(error) => token(error),
            Self::Forward(error) => forward(error),
            Self::App(error) => app(error),
        }
    }
}

fn admission(error: &AdmissionError) -> Reason {
    match error {
        AdmissionError::Framing(FramingError::Target) => Reason::Target,
        AdmissionError::Framing(FramingError::Host) => Reason::Host,
        AdmissionError::Framing(FramingError::TransferEncoding) => Reason::TransferEncoding,
        AdmissionError::Framing(FramingError::ContentLength) => Reason::ContentLength,
        AdmissionError::Route(RouteError::Unknown { .. }) => Reason::Path,
        AdmissionError::Route(RouteError::Method { .. }) => Reason::Method,
        AdmissionError::CrossOrigin(CrossOriginRefusal::Repeated) => Reason::Repeated,
        AdmissionError::CrossOrigin(CrossOriginRefusal::Origin(_)) => Reason::Origin,
        AdmissionError::CrossOrigin(
            CrossOriginRefusal::Site(_) | CrossOriginRefusal::PublicFromElsewhere { .. },
        ) => Reason::Site,
        AdmissionError::CrossOrigin(
            CrossOriginRefusal::Unproven | CrossOriginRefusal::ProofRequired,
        ) => Reason::Unproven,
        AdmissionError::Limit(error) => limit(*error),
    }
}

fn limit(error: LimitError) -> Reason {
    match error {
        LimitError::Head { .. } => Reason::HeadBytes,
        LimitError::Lines { .. } => Reason::HeadLines,
        LimitError::Uri { .. } => Reason::Uri,
        LimitError::Body { .. } => Reason::Body,
        LimitError::User(_) => Reason::UserRequests,
    }
}

fn session(error: &SessionError) -> Reason {
    match error {
        SessionError::Missing { .. } => Reason::NoCookie,
        SessionError::Expired { .. } => Reason::Expired,
        SessionError::Invalid { reason, .. } => invalid(*reason),
        SessionError::NeedsLookup { .. } => Reason::User,
        SessionError::NotAllowed { .. } => Reason::Claims,
        SessionError::Unavailable { asked, .. } => match asked {
            Asked::Issuer => Reason::Issuer,
            Asked::App { .. } => Reason::App,
        },
    }
}

fn invalid(reason: InvalidReason) -> Reason {
    match reason {
        InvalidReason::NoMatchingSecret
        | InvalidReason::NoSecretOpens
        | InvalidReason::PasswordId
        | InvalidReason::IronMac
        | InvalidReason::CacheSignature
        | InvalidReason::CookieSignature => Reason::NoSecret,
        InvalidReason::UnknownKey | InvalidReason::NoKeyId | InvalidReason::NoKeyFits => {
            Reason::NoKey
        }
        InvalidReason::Tampered
        | InvalidReason::Signature
        | InvalidReason::BaseAndChunks
        | InvalidReason::ChunkMissing
        | InvalidReason::TokenMissing
        | InvalidReason::TokenMismatch => Reason::Altered,
        InvalidReason::TooLarge | InvalidReason::TooManyChunks => Reason::TooLarge,
        InvalidReason::Malformed
        | InvalidReason::EncryptedKey
        | InvalidReason::Header
        | InvalidReason::Algorithm
        | InvalidReason::Compressed
        | InvalidReason::Critical
        | InvalidReason::NotJwt
        | InvalidReason::NotSigned
        | InvalidReason::NotIron
        | InvalidReason::NotCompact
        | InvalidReason::Payload
        | InvalidReason::Envelope
        | InvalidReason::SignedAlgorithm
        | InvalidReason::TokenType
        | InvalidReason::Claims => Reason::Format,
        InvalidReason::NoExpiry
        | InvalidReason::TimeNotNumber(_)
        | InvalidReason::NotYetValid
        | InvalidReason::IssuedInFuture
        | InvalidReason::Issuer
        | InvalidReason::Audience
        | InvalidReason::AuthorizedParty
        | InvalidReason::Pending => Reason::Claims,
        InvalidReason::BearerAndCookie | InvalidReason::RepeatedBearer => Reason::Ambiguous,
        InvalidReason::NoUser
        | InvalidReason::UserType
        | InvalidReason::User(_)
        | InvalidReason::Subject
        | InvalidReason::AppNamesNoUser => Reason::User,
        InvalidReason::AppKnowsNot | InvalidReason::AppRefuses => Reason::SignedOut,
        InvalidReason::AppRedirects | InvalidReason::AppNotJson => Reason::AppAnswer,
    }
}

fn budget(error: &OverBudget) -> Reason {
    match &error.refused {
        Refused::Unavailable => Reason::Store,
        Refused::Limit(standing) => match standing.kind {
            LimitKind::RequestsPerMinute => Reason::RequestsPerMinute,
            LimitKind::ConcurrentRequests => Reason::ConcurrentRequests,
            LimitKind::RequestsPerDay => Reason::RequestsPerDay,
            LimitKind::TokensPerDay => Reason::TokensPerDay,
            LimitKind::TokensPerMonth => Reason::TokensPerMonth,
            LimitKind::CostPerDay => Reason::CostPerDay,
            LimitKind::CostPerMonth => Reason::CostPerMonth,
        },
    }
}

fn token(error: &TokenError) -> Reason {
    match error {
        TokenError::Refused { .. } if error.is_about_user() => Reason::MintUser,
        TokenError::Refused { status } if matches!(status.as_u16(), 401 | 403) => Reason::MintKey,
        TokenError::Refused { .. } => Reason::MintOther,
        TokenError::Unavailable { cause, .. } => match cause {
            Outage::Status(status) if status.as_u16() == 429 => Reason::MintLimited,
            Outage::Status(_) => Reason::MintError,
            Outage::Unreachable(_) => Reason::MintUnreachable,
        },
        TokenError::Invalid(_) => Reason::MintAnswer,
        TokenError::Timeout => Reason::MintTimeout,
        TokenError::Overloaded => Reason::MintPlaces,
        TokenError::UserBusy { .. } => Reason::UserTokens,
        TokenError::RenewedRecently => Reason::Token,
        TokenError::Internal => Reason::Internal,
    }
}

fn forward(error: &ForwardError) -> Reason {
    match error {
        ForwardError::Client(error) => client(error),
        ForwardError::Answer(_) => Reason::Answer,
        ForwardError::Withheld { .. } => Reason::Withheld,
        ForwardError::ErrorLate => Reason::ErrorLate,
        ForwardError::TokenRejected | ForwardError::TokenRenewed => Reason::Token,
        ForwardError::BodyTooLarge(_) => Reason::Body,
        ForwardError::BodyTooSlow => Reason::BodySlow,
        ForwardError::BodyBroken => Reason::BodyBroken,
        ForwardError::Target => Reason::Query,
    }
}

fn app(error: &AppError) -> Reason {
    match error {
        AppError::Client(error) => client(error),
        AppError::Answer(_) => Reason::Answer,
        AppError::BodyBroken => Reason::BodyBroken,
        AppError::BodySlow => Reason::BodySlow,
        AppError::Target => Reason::Target,
    }
}

fn client(error: &ClientError) -> Reason {
    match error {
        ClientError::Connect(_) => Reason::Connect,
        ClientError::ConnectTimeout(_) => Reason::ConnectTimeout,
        ClientError::FirstByteTimeout(_) => Reason::FirstByteTimeout,
        ClientError::Closed(_) | ClientError::Cut(_) => Reason::Closed,
        ClientError::Invalid(_) => Reason::NotHttp,
        ClientError::TooLarge(_) => Reason::Answer,
    }
}
