//! What sinks are made of: a bounded queue, a thread that empties it, and what becomes of its lines.

mod backoff;
mod counts;
mod delivery;
mod file;
mod queue;
mod receiver;
mod rotation;
mod spool;
mod spool_folder;
mod thread;
mod webhook;

pub use self::counts::SinkCounts;
pub use self::file::FileConfig;
pub use self::receiver::{Receiver, ReceiverError};
pub use self::spool_folder::SpoolConfig;
pub use self::webhook::WebhookConfig;

pub(super) use self::delivery::{Delivery, Packing};
pub(super) use self::queue::Line;
pub(super) use self::thread::SinkThread;
pub(super) use self::{file::start as start_file, webhook::start as start_webhook};
