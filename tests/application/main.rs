//! Applications: against independent references in dense f64, closed forms and laws.
#![allow(deprecated)] // Burn deprecates NdArray but still ships it.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)]

#[path = "../failure/mod.rs"]
mod failure;
mod kfac_optimizer;
#[path = "../../examples/support/mod.rs"]
mod support;
