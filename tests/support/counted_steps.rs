//! What a step of a solver hands to a device besides its product, counted.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn::backend::Autodiff;
use burn_backend::ops::FloatTensorOps;
use burn_curvature::{
    Error, LinearOperator, LinearSolver, ParamLayout, ParamSpace, ParamVector, Precision,
    SelfAdjoint, SolveOptions, StopReason, operator::Diagonal,
};

use crate::counting::{Counting, CountingDevice, Counts};

/// A diagonal matrix whose product is one operation per block, as a program's: it takes blocks and returns new ones.
struct PerBlock(ParamVector<Autodiff<Counting>>);

impl LinearOperator<Autodiff<Counting>> for PerBlock {
    fn domain(&self) -> &ParamSpace<Autodiff<Counting>> {
        self.0.space()
    }

    fn apply(
        &self,
        vector: &ParamVector<Autodiff<Counting>>,
    ) -> Result<ParamVector<Autodiff<Counting>>, Error> {
        let blocks = vector.blocks().iter().zip(self.0.blocks());
        let blocks = blocks.map(|(block, own)| Counting::float_mul(block.clone(), own.clone()));
        Ok(vector.space().from_blocks(blocks.collect())?)
    }
}

impl SelfAdjoint<Autodiff<Counting>> for PerBlock {}

/// Makes a solver that takes a number of steps.
pub type Solver<'a> = &'a dyn Fn(usize) -> Box<dyn LinearSolver<Autodiff<Counting>>>;

/// What the step after the fifth of a solver hands to a device, on (A + λI) x = b, besides the product's own operations.
/// For λ = 0 nothing is added.
pub fn of_a_step(
    layout: &Arc<ParamLayout>,
    (damping, preconditioned): (f64, bool),
    solver: Solver<'_>,
) -> Counts {
    let [five, six] =
        [5, 6].map(|steps| of_steps(steps, layout, (damping, preconditioned), solver));
    let mut step = six - five;
    step.operations -= layout.blocks().len();
    step
}

fn of_steps(
    steps: usize,
    layout: &Arc<ParamLayout>,
    (damping, preconditioned): (f64, bool),
    solver: Solver<'_>,
) -> Counts {
    let device = CountingDevice::fresh();
    let space = ParamSpace::new(layout, &device, Precision::F64).unwrap();
    let vector = |element: fn(usize) -> f64| {
        let elements: Vec<f64> = (0..space.len()).map(element).collect();
        space.vector(&elements).unwrap()
    };
    let operator = PerBlock(vector(|index| 1.0 + (index % 1009) as f64)).damped(damping).unwrap();
    let inverse = Diagonal::new(vector(|index| 1.0 + (index % 3) as f64)).unwrap();
    let rhs = space.normal(1);
    let mut options = SolveOptions::new();
    if preconditioned {
        options = options.with_preconditioner(&inverse);
    }
    let before = device.counts();
    let solution = solver(steps).solve_with(&operator, &rhs, options).unwrap();
    assert_eq!(solution.report.stop, StopReason::IterationLimit);
    assert_eq!(solution.report.iterations, steps);
    device.counts() - before
}
