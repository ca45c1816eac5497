//! A guide, by the questions that come up in this order: which matrix, which solver, what the report says, and what to do
//! about precision, memory, data sets, devices, applications and errors. Its code is compiled and run.
//!
//! | page | question |
//! |---|---|
//! | [`curvature`] | Which curvature matrix do I want? |
//! | [`solvers`] | How do I get A⁻¹b? |
//! | [`reports`] | Can I trust this result? |
//! | [`precision_and_damping`] | f32 or f64? How large is λ, and in which units? |
//! | [`data_sets`] | My data is more than one batch. |
//! | [`memory`] | What is kept, and how do I keep less? |
//! | [`several_vectors`] | I have many right-hand sides. |
//! | [`gpu`] | What changes on a GPU? |
//! | [`ranks`] | My data is on several machines or devices. |
//! | [`applications`] | Influence, hyperparameters, training: what can I do with A⁻¹b? |
//! | [`from_python`] | What is it called in PyTorch and JAX? |
//! | [`errors`] | What does this error mean? |

/// Choosing a curvature matrix.
///
#[doc = include_str!("../docs/guide/curvature.md")]
pub mod curvature {}

/// Choosing a solver.
///
#[doc = include_str!("../docs/guide/solvers.md")]
pub mod solvers {}

/// Reading a report.
///
#[doc = include_str!("../docs/guide/reports.md")]
pub mod reports {}

/// Precision, damping and scale.
///
#[doc = include_str!("../docs/guide/precision_and_damping.md")]
pub mod precision_and_damping {}

/// Data sets.
///
#[doc = include_str!("../docs/guide/data_sets.md")]
pub mod data_sets {}

/// Memory.
///
#[doc = include_str!("../docs/guide/memory.md")]
pub mod memory {}

/// Several vectors at once.
///
#[doc = include_str!("../docs/guide/several_vectors.md")]
pub mod several_vectors {}

/// GPUs.
///
#[doc = include_str!("../docs/guide/gpu.md")]
pub mod gpu {}

/// Several machines or devices.
///
#[doc = include_str!("../docs/guide/ranks.md")]
pub mod ranks {}

/// The uses of A⁻¹b.
///
#[doc = include_str!("../docs/guide/applications.md")]
pub mod applications {}

/// Coming from PyTorch or JAX.
///
#[doc = include_str!("../docs/guide/from_python.md")]
pub mod from_python {}

/// Every error, with its cure.
///
#[doc = include_str!("../docs/guide/errors.md")]
pub mod errors {}
