//! Every layer, activation and loss of Burn's, in a small model, against central differences in f64.
//!
//! Each row of a table traces one model, and checks in f64: the Hessian product against differences of the gradient,
//! the gradient against differences of the loss, one engine against the other, symmetry, and f32 against f64. What
//! cannot be covered must be refused by name.
//!
//! Set `LAYERS` to print the figures of every row (`LAYERS=1 cargo test --test layers -- --nocapture`).
#![allow(deprecated)] // Burn deprecates NdArray but still ships it.
#![allow(clippy::neg_cmp_op_on_partial_ord)] // A figure that is NaN must not pass.

mod activations;
mod attention;
mod check;
#[path = "../support/compare.rs"]
mod compare;
mod convolutions;
mod cross_entropies;
mod edges;
mod figures;
mod losses;
mod norms;
mod pools;
mod probe;
mod recurrent;
mod refusals;
mod sequences;
mod shapes;
mod transformers;
