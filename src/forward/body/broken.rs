//! What ends an answer before its end: [`Broken`].

use crate::error::{self, Code};

/// Why a body that had begun did not reach its end. Its text is what an event stream's last event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Behest broke off.
    #[error("Behest broke off in the middle of the answer.")]
    Cut,
    /// Behest sent nothing for longer than the idle timeout.
    #[error("Behest sent nothing for longer than upstream.idle_timeout.")]
    Idle,
    /// The app broke off.
    #[error("The app broke off in the middle of its answer.")]
    AppCut,
    /// The app sent nothing for longer than its idle timeout.
    #[error("The app sent nothing for longer than app.idle_timeout.")]
    AppIdle,
    /// The gateway is shutting down and its drain limit has passed.
    #[error("The gateway is restarting: send the request again.")]
    Drained,
    /// The stream has used a budget up (`budgets.on_exhausted`).
    #[error("This user's budget is used up: the answer ends here.")]
    Exhausted,
    /// An operator has ended the session.
    #[error("{}", error::SESSION_REVOKED)]
    Revoked,
}

impl Broken {
    /// Its code word.
    pub(super) fn code(self) -> Code {
        match self {
            Self::Cut => Code::UpstreamCut,
            Self::Idle => Code::UpstreamIdle,
            Self::AppCut | Self::AppIdle => Code::AppCut,
            Self::Drained => Code::Drained,
            Self::Exhausted => Code::QuotaExceeded,
            Self::Revoked => Code::SessionRevoked,
        }
    }
}
