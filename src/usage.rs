//! Who used what: one [`UsageRecord`] a request, where it goes, and what is kept of it to look at.
//!
//! Guarantees: no prompt, answer, token or cookie is in a record; the user stands in it as
//! configuration wants it; nothing here makes a request wait or fail.

mod privacy;
mod record;

pub use self::privacy::UserPrivacy;
pub use self::record::UsageRecord;
