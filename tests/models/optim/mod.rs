//! The K-FAC optimizer on a small classifier and on least squares.

mod background;
mod corrected;
mod files;
mod frozen;
mod layers_by_hand;
mod light;
mod modes;
mod promises;
mod reference;
mod refusals;
mod resumed;

use burn::{
    backend::{Autodiff, Dispatch, Flex, NdArray},
    module::Module,
    prelude::*,
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    CaptureConfig, KfacOptimizer, KfacOptimizerConfig, Likelihood, Objective, ParamVector,
    Reduction, backend::ProgramBackend,
};

use crate::{B, Classifier, Samples, cross_entropy, samples, without_draws};

pub const TARGET: Likelihood = Likelihood::Categorical;

/// A model, a batch and its objective in f64.
pub fn problem<T: AutodiffBackend>(
    seed: u64,
    device: &Device,
) -> (Classifier, Samples, Objective<T>)
where
    T::InnerBackend: ProgramBackend,
{
    let model = Classifier::new(seed, device);
    let batch = samples(12, seed + 100, device);
    let objective =
        Objective::capture_with(&CaptureConfig::new(), &model, batch.clone(), cross_entropy);
    let objective = objective.unwrap().in_f64().unwrap();
    (model, batch, objective.reduced_by(Reduction::Mean).unwrap())
}

/// Martens & Grosse without drawn targets, with a λ for small problems.
pub fn exact_config() -> KfacOptimizerConfig {
    KfacOptimizerConfig::new().with_kfac(without_draws()).with_damping(0.5).with_weight_decay(1e-3)
}

pub fn optimizer<T: AutodiffBackend>(
    config: &KfacOptimizerConfig,
    objective: &Objective<T>,
) -> KfacOptimizer<T> {
    config.init(objective, TARGET).unwrap()
}

pub fn parameters<M: Module>(model: &M) -> Vec<f64> {
    ParamVector::<B>::from_module(model).unwrap().to_vec().unwrap()
}

/// Steps lower the objective on every backend, in f32 and in f64.
fn lowers<T: AutodiffBackend>(device: Device)
where
    T::InnerBackend: ProgramBackend,
{
    let (start, batch, in_f64) = problem::<T>(1, &device.autodiff());
    let in_f32 = in_f64.in_precision(burn_curvature::Precision::F32).unwrap();
    let mut ends = Vec::new();
    for objective in [in_f64, in_f32] {
        let mut optimizer = optimizer(&exact_config(), &objective);
        let (mut model, mut values) = (start.clone(), Vec::new());
        for _ in 0..30 {
            let step;
            (model, step) = optimizer.step(&model, batch.clone()).unwrap();
            assert!(step.taken);
            values.push(step.value);
        }
        assert!(values[29] < 0.5 * values[0], "{values:?}");
        ends.push(values[29]);
    }
    assert!((ends[0] - ends[1]).abs() < 1e-3, "{ends:?}");
}

#[test]
fn steps_lower_the_objective_on_ndarray() {
    lowers::<Autodiff<NdArray>>(Device::ndarray());
}

#[test]
fn steps_lower_the_objective_on_flex() {
    lowers::<Autodiff<Flex>>(Device::flex());
}

#[test]
fn steps_lower_the_objective_on_dispatch() {
    lowers::<Autodiff<Dispatch>>(Device::default());
}
