//! Architectures as their authors write them in Burn, each judged by the public check.
//!
//! One file per family. A test captures the model's loss as it is trained and asserts that every line of the report
//! passes, apart from those that the test names as not applying.
#![allow(clippy::unwrap_used, clippy::panic)]

mod alignment;
mod applied;
mod caught;
#[path = "../support/compare.rs"]
mod compare;
mod contrastive;
mod data_sets;
#[path = "../support/dense.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod dense;
#[path = "../support/models/deterministic.rs"]
mod deterministic;
mod first_day;
mod generative;
mod graphs;
mod images;
mod likelihoods;
mod llama;
mod losses;
#[path = "../support/networks/mod.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod networks;
#[path = "../support/oracle.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod oracle;
mod parts;
mod physics;
#[path = "../support/random.rs"]
mod random;
mod recurrent;
mod reinforcement;
mod sets;
mod stranger;
mod tables;
mod tasks;
mod text;
mod weights;
mod windows;
