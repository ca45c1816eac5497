//! From a Burn closure to a program: parameters, batch and buffers become inputs.
//! Depends on Burn's recording device and graphs; refuses what cannot be recorded faithfully.
//!
//! Everything of Burn's that belongs to recording (its operation format, its capturing backend) is touched in this
//! room and named in `derive` only.

mod batch;
mod closure;
mod draws;
mod error;
mod guards;
mod import;
mod inputs;
mod lock;
mod loss;
mod moved;
mod place;
mod record;
mod refusal;
mod scope;
mod stops;
mod supplied;

pub use batch::{Batch, BatchMapper};
pub(crate) use closure::{Closure, Run};
pub use error::{CaptureError, ImportError};
pub(crate) use guards::{Guards, Truths};
#[cfg(test)]
pub(crate) use import::graph;
pub(crate) use inputs::{ModelInputs, in_f64};
pub(crate) use lock::is_recording;
pub(crate) use loss::Divisor;
pub use loss::{Captured, Loss};
pub(crate) use record::{Choices, Recording, record_loss};
pub(crate) use scope::{Scope, record};
