//! Which limits there are, and what one tier has of them.

/// One kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// Requests a minute: a rate (429).
    RequestsPerMinute,
    /// Requests at once: a rate (429).
    ConcurrentRequests,
    /// Requests a day (402).
    RequestsPerDay,
    /// Tokens a day (402).
    TokensPerDay,
    /// Tokens a month (402).
    TokensPerMonth,
    /// Nano-dollars a day (402).
    CostPerDay,
    /// Nano-dollars a month (402).
    CostPerMonth,
}

impl LimitKind {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// Every one, in the order in which they are looked at: rates first.
    pub const ALL: [Self; Self::COUNT] = [
        Self::RequestsPerMinute,
        Self::ConcurrentRequests,
        Self::RequestsPerDay,
        Self::TokensPerDay,
        Self::TokensPerMonth,
        Self::CostPerDay,
        Self::CostPerMonth,
    ];

    /// The word in configuration, records, metrics and errors.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::RequestsPerDay => "requests_per_day",
            Self::TokensPerDay => "tokens_per_day",
            Self::TokensPerMonth => "tokens_per_month",
            Self::CostPerDay => "usd_per_day",
            Self::CostPerMonth => "usd_per_month",
        }
    }

    /// Whether it is a rate, which passes by waiting a little (429), and not a budget (402).
    #[must_use]
    pub fn is_rate(self) -> bool {
        matches!(self, Self::RequestsPerMinute | Self::ConcurrentRequests)
    }

    /// Whether it counts nano-dollars.
    #[must_use]
    pub fn is_cost(self) -> bool {
        matches!(self, Self::CostPerDay | Self::CostPerMonth)
    }
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The user's, over all sessions.
    User,
    /// One session's.
    Session,
}

impl Scope {
    /// The word in errors and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
        }
    }
}

/// A limit of each kind, or none. Costs are in nano-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits([Option<u64>; LimitKind::COUNT]);

impl Limits {
    /// The limit of `kind`.
    #[must_use]
    pub fn of(&self, kind: LimitKind) -> Option<u64> {
        self.0.get(kind as usize).copied().flatten()
    }

    /// Sets the limit of `kind`.
    pub fn set(&mut self, kind: LimitKind, limit: Option<u64>) {
        if let Some(slot) = self.0.get_mut(kind as usize) {
            *slot = limit;
        }
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = (LimitKind, u64)> + '_ {
        let limit = |kind| self.of(kind).map(|limit| (kind, limit));
        LimitKind::ALL.into_iter().filter_map(limit)
    }
}

/// What one tier may spend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The tier, as errors call it; `default` where none is named.
    pub tier: String,
    /// Of one user, over all sessions.
    pub user: Limits,
    /// Of one session of a user.
    pub session: Limits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        let mut limits = Limits::default();
        for (number, kind) in (1..).zip(LimitKind::ALL) {
            limits.set(kind, Some(number));
        }
        let read: Vec<_> = limits.iter().map(|(_, limit)| limit).collect();
        assert_eq!(read, [1, 2, 3, 4, 5, 6, 7]);
    }
}
