//! Curvature operators built from an objective. Knows objectives and operators, not solvers or what a product is
//! wanted for.

mod hessian;

pub use hessian::Hessian;
