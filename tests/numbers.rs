#![allow(clippy::unwrap_used, clippy::panic, deprecated, dead_code, unused)]
#[path = "support/classifier.rs"]
mod classifier;
#[path = "support/models/mod.rs"]
mod models;
#[path = "support/random.rs"]
mod random;
#[path = "models/curvature/several.rs"]
mod several;
use burn_backend::AutodiffBackend;
use burn_curvature::ParamVector;
use classifier::{Classifier, Samples, cross_entropy, samples, summed_cross_entropy};
type B = burn::backend::Autodiff<burn::backend::Flex>;
fn relative_error<B: AutodiffBackend>(a: &ParamVector<B>, b: &ParamVector<B>) -> f64 {
    a.clone().sub(b).unwrap().norm().unwrap() / b.norm().unwrap()
}
