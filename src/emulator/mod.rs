//! The Behest API as a double.
