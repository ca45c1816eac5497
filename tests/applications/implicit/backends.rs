//! Hypergradients on typed backends, and what a mixed product computes.

use burn_curvature::{
    CaptureConfig, ConjugateGradientConfig, StopReason,
    implicit::{HyperObjective, ImplicitConfig},
};

use super::world::{World, inner_loss, outer_loss};
use crate::{backends::TestBackend, compare::relative_error};

fn hypergradients_on_a_backend<B: TestBackend>() {
    let world = World::new(11, (12, 4));
    let device = B::user_device().autodiff();
    let (model, hyper) = (world.model(&device), world.hyper(&device));
    let (config, modules) = (CaptureConfig::new(), (&model, &hyper));
    let training = world.training(&device);
    let inner = HyperObjective::<B>::capture_with(&config, modules, training, inner_loss);
    let validation = world.validation(&device);
    let outer = HyperObjective::<B>::capture_with(&config, modules, validation, outer_loss);
    let inner = inner.unwrap().in_f64().unwrap();
    let minimizer = world.minimizer(&world.eta);
    let theta = inner.parameters().space().vector(&minimizer).unwrap();
    let inner = inner.at(&theta, &inner.hyperparameters()).unwrap();
    let outer = outer.unwrap().in_f64().unwrap();
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-10).init().unwrap();
    let function = ImplicitConfig::new().init(&inner).unwrap();
    let found = function.hypergradient(&outer, &solver).unwrap();
    assert_eq!(found.report.solve.stop, StopReason::Converged);
    assert!(found.report.is_sound(), "{}", found.report);
    let gradient = found.gradient.to_vec().unwrap();
    let error = relative_error(&gradient, &world.by_differences());
    assert!(error < 1e-8, "{error:e}");
}

on_backends!(hypergradients_on_a_backend: ndarray, flex);

/// 4 parameters, 604 hyperparameters: a mixed product has no more matrix products than one with the Hessian, and no loop.
#[test]
fn a_mixed_product_costs_no_more_than_a_hessian_product() {
    let count = |rows: usize| {
        let world = World::new(12, (rows, 4));
        let (inner, _) = world.captured(&[0.1; 4]).unwrap();
        let function = ImplicitConfig::new().init(&inner).unwrap();
        let operations = |(once, again): (burn_curvature::program::Graph, _)| {
            let of = |graph: &burn_curvature::program::Graph| {
                let counts = graph.operations();
                (counts.get("Matmul").copied().unwrap_or(0), graph.len())
            };
            (of(&once), of(&again))
        };
        let mixed = operations(function.mixed().adjoint_programs().unwrap());
        (mixed, operations(inner.joint().hessian_programs().unwrap()))
    };
    let (mixed, hessian) = count(600);
    assert!(mixed.0.0 + mixed.1.0 <= hessian.0.0 + hessian.1.0, "{mixed:?} {hessian:?}");
    assert!(mixed.0.1 + mixed.1.1 <= hessian.0.1 + hessian.1.1, "{mixed:?} {hessian:?}");
    assert_eq!(count(20).0, mixed, "the program does not depend on the number of hyperparameters");
}
