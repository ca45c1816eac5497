//! From Burn to our own programs: imports what Burn recorded. Knows Burn's recording format, nothing of running or
//! differentiating.

mod error;
mod import;

pub use error::ImportError;
#[allow(unused_imports)] // The recording side of this room uses it.
pub(crate) use import::graph;
