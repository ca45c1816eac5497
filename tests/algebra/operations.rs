//! What a step of a solver hands to a device besides its product: a number of operations that does not depend on how many
//! tensors the parameters are, and one wait.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn_curvature::{
    ConjugateGradientConfig, LinearSolver, MinresConfig, NeumannConfig, ParamLayout,
    solver::NeumannScale,
};

use crate::{counted_steps::of_a_step, counting::Counting};

/// Weights and biases.
fn layout(blocks: usize) -> Arc<ParamLayout> {
    let shapes = (0..blocks).map(|index| {
        let shape = if index.is_multiple_of(2) { vec![3, 4] } else { vec![4] };
        (format!("block{index}"), shape)
    });
    ParamLayout::from_shapes(shapes).unwrap()
}

type Boxed = Box<dyn LinearSolver<Autodiff<Counting>>>;

/// Makes a solver of a number of steps.
type Made = fn(usize) -> Boxed;

fn conjugate_gradient(steps: usize) -> Boxed {
    let config = ConjugateGradientConfig::new()
        .with_max_iterations(Some(steps))
        .with_residual_replacement(None)
        .with_relative_tolerance(1e-30);
    Box::new(config.init().unwrap())
}

fn minres(steps: usize) -> Boxed {
    let config =
        MinresConfig::new().with_max_iterations(Some(steps)).with_relative_tolerance(1e-30);
    Box::new(config.init().unwrap())
}

fn neumann(steps: usize) -> Boxed {
    let config = NeumannConfig::new()
        .with_scale(NeumannScale::Fixed(1e-3))
        .with_max_iterations(steps)
        .with_relative_tolerance(1e-30);
    Box::new(config.init().unwrap())
}

#[test]
fn a_step_hands_over_as_many_operations_for_twenty_blocks_as_for_two() {
    let solvers: [(&str, Made, (f64, bool), usize); 6] = [
        ("conjugate gradients", conjugate_gradient, (0.0, false), 13),
        ("conjugate gradients, damped", conjugate_gradient, (0.5, false), 15),
        ("conjugate gradients, preconditioned", conjugate_gradient, (0.0, true), 16),
        ("MINRES", minres, (0.0, false), 18),
        ("MINRES, preconditioned", minres, (0.0, true), 29),
        ("Neumann", neumann, (0.0, false), 12),
    ];
    for (name, solver, problem, most) in solvers {
        let [two, twenty] = [2, 20].map(|blocks| of_a_step(&layout(blocks), problem, &solver));
        assert_eq!(two.operations, twenty.operations, "{name}");
        // Nine matrices more, each a slice and a reshape there and one back, and nine vectors, each a slice.
        assert_eq!(twenty.views - two.views, 9 * 3 + 9, "{name}");
        assert!(twenty.operations <= most, "{name}: {twenty:?}");
        assert_eq!(twenty.waits, 1, "{name}");
        assert_eq!(twenty.uploads, 0, "{name}");
    }
}

/// A scalar product adds up in rounds of up to 256 elements: one for 160 parameters, three for 90,000.
#[test]
fn a_scalar_product_takes_an_operation_more_for_each_round() {
    let shapes = [("weight", vec![300, 299]), ("bias", vec![300])];
    let large = ParamLayout::from_shapes(shapes).unwrap();
    let solvers: [(&str, Made, (f64, bool), usize); 3] = [
        ("conjugate gradients", conjugate_gradient, (0.0, false), 2),
        ("conjugate gradients, preconditioned", conjugate_gradient, (0.0, true), 3),
        ("MINRES", minres, (0.0, false), 2),
    ];
    for (name, solver, problem, scalar_products) in solvers {
        let [small, large] =
            [&layout(20), &large].map(|layout| of_a_step(layout, problem, &solver));
        assert_eq!(large.operations, small.operations + 2 * scalar_products, "{name}");
        assert_eq!((large.waits, large.uploads), (1, 0), "{name}");
    }
}
