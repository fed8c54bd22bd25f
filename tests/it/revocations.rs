//! Sessions that an operator ends.
