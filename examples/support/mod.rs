//! What examples share: the digits, random numbers, figures. Knows Burn; does not know this library.
//!
//! Each program mounts it at its root as `support`.
#![allow(dead_code, reason = "each program uses its own part")]

#[path = "../../tests/support/digits.rs"]
pub mod digits;
pub mod figures;
#[path = "../../tests/support/random.rs"]
pub mod random;
