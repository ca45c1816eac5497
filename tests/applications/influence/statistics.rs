//! Running statistics: those of a query at the training's parameters are the training's, or the query is refused.

use burn::{
    module::{Module, Param, RunningState},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    prelude::*,
};
use burn_curvature::{
    CaptureConfig, Error, Loss, Objective,
    errors::ObjectiveError,
    implicit::{HyperObjective, ImplicitConfig},
    influence::{Influence, InfluenceConfig, Query},
};

use crate::failure::failure;

#[derive(Module, Debug)]
struct Net {
    norm: BatchNorm,
    last: Linear,
}

fn net() -> Net {
    let device = Device::flex().autodiff();
    let norm = BatchNormConfig::new(2).init(&device);
    let mut last = LinearConfig::new(2, 1).with_bias(false).init(&device);
    last.weight = Param::from_tensor(Tensor::full([2, 1], 0.5, &device));
    Net { norm, last }
}

/// The same parameters with another running mean.
fn moved(model: &Net) -> Net {
    let mut moved = model.clone();
    let mean = Tensor::from_floats([0.25, 0.0], &Device::flex().autodiff());
    moved.norm.running_mean = RunningState::new(mean);
    moved
}

fn batch() -> Tensor<2> {
    Tensor::from_floats([[1.0, 0.0], [2.0, 1.0], [0.5, -1.0]], &Device::flex().autodiff())
}

fn losses(model: &Net, x: Tensor<2>) -> Tensor<1> {
    model.last.forward(model.norm.forward(x)).powi_scalar(2).sum_dim(1).squeeze_dim::<1>(1)
}

fn objective(model: &Net) -> Objective {
    let config = CaptureConfig::new().evaluation();
    let loss = |model: &Net, x| Loss::mean_of(losses(model, x));
    config.init(model, batch(), loss).unwrap().in_f64().unwrap()
}

fn refused<T: std::fmt::Debug>(found: &Result<T, Error>) {
    let buffers = vec!["norm.running_mean".to_string()];
    let expected = ObjectiveError::OtherStatistics { buffers };
    assert_eq!(failure(found), Some(&expected), "{found:?}");
}

#[test]
fn a_query_with_other_statistics_is_refused() {
    let model = net();
    let (training, other) = (objective(&model), objective(&moved(&model)));
    assert_eq!(training.parameters().to_vec().unwrap(), other.parameters().to_vec().unwrap());
    let config = InfluenceConfig::default().with_damping(0.5);
    let influence: Influence = config.init(&training).unwrap();
    refused(&influence.scores(&other));
    refused(&influence.scores(Query::Value(&other)));
    let step = training.parameters().clone();
    refused(&influence.change_along(&step, &other));
    // Taken to one model they are used, and so is a second recording of the same model.
    let together = other.at_model(&model).unwrap();
    let expected = influence.scores(&training).unwrap();
    for query in [&together, &objective(&model)] {
        assert_eq!(influence.scores(query).unwrap().values(), expected.values());
    }
    let moved = config.init(&training.at_model(&moved(&model)).unwrap()).unwrap();
    assert_ne!(moved.scores(&other).unwrap().values(), expected.values());
    refused(&moved.scores(&training));
}

#[test]
fn an_outer_objective_with_other_statistics_is_refused() {
    let (model, hyper) =
        (net(), LinearConfig::new(1, 1).with_bias(false).init(&Device::flex().autodiff()));
    let inner = |model: &Net| {
        let loss = |model: &Net, hyper: &Linear, x| {
            let decay = hyper.weight.val().squeeze_dim::<1>(1).exp();
            let weights = model.last.weight.val().powi_scalar(2).sum();
            losses(model, x).mean() + decay * weights
        };
        let config = CaptureConfig::new().evaluation();
        HyperObjective::capture_with(&config, (model, &hyper), batch(), loss).unwrap()
    };
    let inner_of = |model: &Net| inner(model).in_f64().unwrap();
    let function = ImplicitConfig::new().init(&inner_of(&model)).unwrap();
    let solver = burn_curvature::DirectConfig::new().init().unwrap();
    function.hypergradient(&objective(&model), &solver).unwrap();
    function.hypergradient(&inner_of(&model), &solver).unwrap();
    refused(&function.hypergradient(&objective(&moved(&model)), &solver));
    let found = function.hypergradient(&inner_of(&moved(&model)), &solver);
    let buffers = vec!["0.norm.running_mean".to_string()];
    assert_eq!(failure(&found), Some(&ObjectiveError::OtherStatistics { buffers }), "{found:?}");
}
