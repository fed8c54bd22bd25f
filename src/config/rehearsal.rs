//! What is tried when somebody asks whether a configuration holds (`check`, `doctor`): all of it but the
//! places that one process alone may use, since a gateway may be running on them. Whether they can be
//! written was seen when the configuration was read.

use super::Config;
use crate::budget::StoreConfig;

impl Config {
    /// Without the journal, the file of records and the spool.
    #[must_use]
    pub fn for_rehearsal(mut self) -> Self {
        if let StoreConfig::Embedded(path) = &mut self.store {
            *path = None;
        }
        self.usage.file = None;
        if let Some((_, sent)) = &mut self.usage.webhook {
            sent.spool = None;
        }
        self
    }
}
