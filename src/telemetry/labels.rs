//! The closed sets that metric labels come from, where no other module has one.

/// Declares an enum whose variants each have one label.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Every label.
            pub const LABELS: &[&'static str] = &[$($label,)+];

            /// The label's value.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

pub(crate) use labels;

labels! {
    /// What a look into the token cache found.
    CacheOutcome {
        /// A fresh token.
        Hit = "hit",
        /// No usable token: a mint was begun or joined.
        Miss = "miss",
        /// A usable token that is being renewed in the background.
        Refresh = "refresh",
        /// A failure remembered from a moment ago.
        Negative = "negative",
    }
}

labels! {
    /// How one mint ended.
    MintOutcome {
        /// A token came back and was good.
        Ok = "ok",
        /// Behest refused: the key, the path or this user.
        Refused = "refused",
        /// Unreachable, 429 or 5xx.
        Unavailable = "unavailable",
        /// An answer that is no usable token.
        Invalid = "invalid",
        /// No answer in time.
        Timeout = "timeout",
        /// No place among the mints in flight in time.
        Overloaded = "overloaded",
    }
}

labels! {
    /// What the app said of a session.
    LookupOutcome {
        /// Whose it is.
        Known = "known",
        /// That it is nobody's, or has ended.
        Refused = "refused",
        /// Nothing: its session URL answers with an error.
        Status = "status",
        /// Nothing: there is no connection, or no whole answer.
        Unreachable = "unreachable",
        /// Nothing in time.
        Timeout = "timeout",
        /// It was not asked: too many other questions were under way.
        Overloaded = "overloaded",
    }
}

labels! {
    /// What a look for an earlier answer of the app found.
    LookupCacheOutcome {
        /// Whose session it is.
        Hit = "hit",
        /// That it is nobody's.
        Negative = "negative",
        /// A failure of a moment ago.
        Failed = "failed",
        /// The same question under way.
        Joined = "joined",
        /// Nothing: the app is asked.
        Miss = "miss",
    }
}

labels! {
    /// When a caller left.
    DisconnectPhase {
        /// Before the head of the answer.
        BeforeHead = "before_head",
        /// After the head, before the first byte of the body.
        BeforeFirstByte = "before_first_byte",
        /// In the middle of the body.
        MidStream = "mid_stream",
    }
}

labels! {
    /// How a call for an issuer's keys ended.
    KeyRefresh {
        /// Keys came.
        Ok = "ok",
        /// None came; those that were held stay.
        Failed = "failed",
    }
}

labels! {
    /// How a reload of the configuration ended.
    ReloadOutcome {
        /// The new one is running.
        Swapped = "swapped",
        /// The new one does not hold; the old one stays.
        Refused = "refused",
    }
}
