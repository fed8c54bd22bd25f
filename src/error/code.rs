//! The code words: how every request ends, in one closed set.

use crate::telemetry::labels::labels;

labels! {
    /// The code word of how a request ended: in the body, the header, the metrics and the log.
    Code {
        /// Passed on, below 400.
        Ok = "ok",
        /// Passed on, 4xx.
        Upstream4xx = "upstream_4xx",
        /// Passed on, 5xx.
        Upstream5xx = "upstream_5xx",
        /// 204: a browser's question before a page's request (CORS), answered here.
        Preflight = "preflight",
        /// The caller left before the end (499 in the log).
        ClientGone = "client_gone",
        /// Behest broke off after the head.
        UpstreamCut = "upstream_cut",
        /// Behest fell silent within an answer.
        UpstreamIdle = "upstream_idle",
        /// Cut by the gateway's own shutdown.
        Drained = "drained",
        /// 401: no cookie.
        SessionMissing = "session_missing",
        /// 401: the session has ended.
        SessionExpired = "session_expired",
        /// 401: the cookie is no session.
        SessionInvalid = "session_invalid",
        /// 401: an operator has ended the session; also an answer that was cut for it.
        SessionRevoked = "session_revoked",
        /// 403: the session lacks a claim that is required.
        SessionNotAllowed = "session_not_allowed",
        /// 503: whoever must say whose session it is does not answer.
        SessionUnavailable = "session_unavailable",
        /// 403: another site's page.
        CrossOriginRefused = "cross_origin_refused",
        /// 404: no such path.
        RouteUnknown = "route_unknown",
        /// 405: not with this method.
        MethodNotAllowed = "method_not_allowed",
        /// 400: malformed.
        RequestInvalid = "request_invalid",
        /// 408: the body came more slowly than `limits.min_body_rate`.
        RequestTimeout = "request_timeout",
        /// 413: over `limits.max_body`.
        BodyTooLarge = "body_too_large",
        /// 431: over `limits.max_head` or `limits.max_headers`.
        HeadersTooLarge = "headers_too_large",
        /// 414: over `limits.max_uri`.
        UriTooLong = "uri_too_long",
        /// 429: over a limit of this user.
        UserBusy = "user_busy",
        /// 502: the mint refused.
        MintRefused = "mint_refused",
        /// 503: the mint is down or answers nonsense.
        MintUnavailable = "mint_unavailable",
        /// 504: the mint is late.
        MintTimeout = "mint_timeout",
        /// 502: Behest refuses the token, and a new one too.
        TokenRejected = "token_rejected",
        /// 503: the token was renewed, but the body cannot be sent again.
        TokenRenewed = "token_renewed",
        /// 502: no connection, or closed without an answer.
        UpstreamUnreachable = "upstream_unreachable",
        /// 504: a timeout before the answer's head.
        UpstreamTimeout = "upstream_timeout",
        /// 502: an answer that cannot be passed on.
        UpstreamInvalid = "upstream_invalid",
        /// Passed on from the app, 4xx.
        App4xx = "app_4xx",
        /// Passed on from the app, 5xx.
        App5xx = "app_5xx",
        /// The app broke off or fell silent after the head.
        AppCut = "app_cut",
        /// 502: no connection to the app, or closed without an answer.
        AppUnreachable = "app_unreachable",
        /// 504: a timeout before the head of the app's answer.
        AppTimeout = "app_timeout",
        /// 502: an answer of the app's that cannot be passed on.
        AppInvalid = "app_invalid",
        /// 402: a budget of this user's is used up (`[budgets]`); also a stream that was cut for it.
        QuotaExceeded = "quota_exceeded",
        /// 429: over a rate of this user's (`[budgets]`).
        RateLimited = "rate_limited",
        /// 503: the store of budgets does not answer, and they are to hold also then.
        StoreUnavailable = "store_unavailable",
        /// 503: too much under way.
        Overloaded = "overloaded",
    }
}
