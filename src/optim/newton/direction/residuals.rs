//! Whether a loss is a sum of squares of its outputs.

use burn_backend::AutodiffBackend;

use crate::{error::Error, objective::Objective, optim::OptimizerError};

/// Refuses a loss that is not c·‖r‖² of its outputs r: at the objective's parameters, ∂ℒ/∂r must be 2c·r with c = ℒ/‖r‖²,
/// batch weights aside. In θ both sides vanish at a fit, but for rounding.
pub(super) fn expect_least_squares<B: AutodiffBackend>(
    objective: &Objective<B>,
) -> Result<(), Error> {
    // Over a data set c may differ from batch to batch; the first one stands for all.
    if objective.batches() > 1 {
        return Ok(());
    }
    let residuals = objective.outputs()?;
    let square = residuals.dot(&residuals)?;
    let value = objective.value()?;
    if square == 0.0 {
        return if value == 0.0 { Ok(()) } else { Err(refused(f64::INFINITY)) };
    }
    let found = objective.output_gradient(&residuals)?;
    let expected = residuals.scale(2.0 * value / square);
    let norm = expected.norm()?.max(found.norm()?);
    let difference = found.sub(&expected)?.norm()?;
    let tolerance = objective.precision().epsilon().sqrt();
    if difference <= tolerance * norm { Ok(()) } else { Err(refused(difference / norm)) }
}

fn refused(difference: f64) -> Error {
    OptimizerError::NotLeastSquares { difference }.into()
}
