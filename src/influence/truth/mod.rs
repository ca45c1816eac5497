//! Ground truth for influences: checks whether scores predict retrainings of a given model.
//!
//! | question | truth | call |
//! |---|---|---|
//! | how a test loss changes without a sample, or a group | training again without it | [`Retraining::leave_out`] |
//! | the same for a network that is not trained to convergence | the proximal Bregman response function | [`ProximalBregman`] |
//! | whether scores rank whole training sets | training on random subsets | [`DatamodelConfig::sample`] |
//! | whether scores find wrong labels | labels that were flipped on purpose | [`Detection`] |
//!
//! A retraining is a closure of yours. Its errors are passed through, and a panic in it is an error. Results can be
//! saved by serde: the truth is expensive, and serves for the scores of every estimator.
//!
//! It is based on Koh & Liang 2017, *Understanding black-box predictions via influence functions* (leave-one-out, section 4.1;
//! mislabeled samples, section 5.4); Bae et al. 2022, *If influence functions are the answer, then what is the
//! question?* (proximal Bregman response function, section 4); Ilyas et al. 2022, *Datamodels*, and Park et al. 2023,
//! *TRAK: attributing model behavior at scale*, section 2 (linear datamodeling score). This module does not train: the
//! closure decides how to train on the samples that it is given.

mod bregman;
mod changes;
mod correlation;
mod datamodel;
mod detection;
mod error;
mod response;
mod retraining;

pub use bregman::{BregmanObjective, ProximalBregman, ProximalBregmanConfig};
pub use changes::Changes;
pub use correlation::{Agreement, pearson, spearman};
pub use datamodel::{DatamodelConfig, DatamodelingScore, SubsetOutputs};
pub use detection::Detection;
pub use error::TruthError;
pub use response::Response;
pub use retraining::Retraining;
