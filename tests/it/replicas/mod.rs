//! Three gateways behind the real nginx, with a real Redis between them.

mod budget;
mod ends;
mod fleet;
mod load;
