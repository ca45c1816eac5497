//! The figures of the examples, over several seeds, each in its range. They take minutes in release:
//! `cargo test --release --test reproduce -- --ignored --show-output`.
#![allow(clippy::print_stdout, reason = "figures are printed")]

mod data_cleaning;
mod data_set;
#[path = "../support/digits.rs"]
mod digits;
mod distilled;
mod few_shot;
#[path = "../support/figures.rs"]
mod figures;
mod hessian_free;
mod hyperparameters;
mod influence;
mod kfac_autoencoder;
mod kfac_batch_norm;
mod kfac_classifier;
#[path = "../support/letters.rs"]
mod letters;
mod lissa_newton;
#[path = "../support/logistic.rs"]
mod logistic;
mod meta_gradients;
#[path = "../support/mnist.rs"]
mod mnist;
mod omniglot;
mod preconditioners;
#[path = "../support/random.rs"]
mod random;
#[path = "../../examples/mislabeled/spam.rs"]
mod spam;
mod spectral_density;
#[path = "../support/trained.rs"]
mod trained;

/// The outcome of one program: an error, or a figure out of its range.
type Outcome = Result<(), Box<dyn std::error::Error>>;
