//! Whether a loss is a sum of squares of its outputs.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    objective::Objective,
    optim::OptimizerError,
    space::{ParamLayout, ParamVector},
};

/// Refuses a loss that is not c·‖r‖² of its outputs r, with a c > 0 of every batch: at the objective's parameters, ∂ℒ/∂r must
/// point along r, and its scalar product with r must be 2ℒ. In the parameters nothing can be said close to a minimum, where
/// Jᵀr is what rounding leaves of large terms. Collective.
pub(super) fn expect_least_squares<B: AutodiffBackend>(
    objective: &Objective<B>,
) -> Result<(), Error> {
    let residuals = objective.outputs()?;
    let gradient = objective.output_gradient(&residuals)?;
    let value = objective.value()?;
    let tolerance = objective.precision().epsilon().sqrt();
    let (mut slope, mut difference) = (0.0, 0.0f64);
    for (gradient, residuals) in by_batch(gradient)?.into_iter().zip(by_batch(residuals)?) {
        let [along, length] = [gradient.norm()?, residuals.norm()?];
        slope += along * length;
        if along > 0.0 && length > 0.0 {
            let unit = residuals.scale(length.recip());
            difference = difference.max(gradient.scale(along.recip()).sub(&unit)?.norm()?);
        } else if along > 0.0 {
            difference = f64::INFINITY;
        }
    }
    let expected = 2.0 * value;
    let relative = if slope == expected { 0.0 } else { (slope - expected).abs() / slope };
    let difference = if relative <= difference { difference } else { relative }; // NaN is refused
    if difference <= tolerance {
        Ok(())
    } else {
        Err(OptimizerError::NotLeastSquares { difference }.into())
    }
}

/// The blocks of a vector of the data, one for each batch.
fn by_batch<B: AutodiffBackend>(vector: ParamVector<B>) -> Result<Vec<ParamVector<B>>, Error> {
    let space = vector.space().clone();
    let shapes: Vec<_> = vector.layout().blocks().iter().map(|it| it.shape().to_vec()).collect();
    let alone = shapes.into_iter().zip(vector.into_blocks()).map(|(shape, block)| {
        let layout = ParamLayout::from_shapes([("outputs", shape)])?;
        Ok(space.with_layout(&layout).from_blocks(vec![block])?)
    });
    alone.collect()
}
