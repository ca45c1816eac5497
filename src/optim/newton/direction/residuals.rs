//! Whether a loss is a sum of squares of its outputs.

use burn_backend::AutodiffBackend;

use crate::{
    curvature::Jacobian, error::Error, objective::Objective, operator::Adjoint,
    optim::OptimizerError,
};

/// Refuses a loss that is not c·‖r‖² of its outputs r: at the objective's parameters, ∇ℒ must be 2c·Jᵀr with c = ℒ/‖r‖²,
/// batch weights aside.
pub(super) fn expect_least_squares<B: AutodiffBackend>(
    objective: &Objective<B>,
) -> Result<(), Error> {
    // Over a data set c may differ from batch to batch; the first one stands for all.
    if objective.batches() > 1 {
        return Ok(());
    }
    let residuals = objective.outputs()?;
    let square = residuals.dot(&residuals)?;
    let found = objective.value_and_gradient()?;
    if square == 0.0 {
        return if found.value == 0.0 { Ok(()) } else { Err(refused(f64::INFINITY)) };
    }
    let factor = found.value / square;
    let expected = Jacobian::new(objective)?.apply_adjoint(&residuals)?.scale(2.0 * factor);
    let norm = expected.norm()?.max(found.gradient.norm()?);
    let difference = found.gradient.sub(&expected)?.norm()?;
    let tolerance = objective.precision().epsilon().sqrt();
    if difference <= tolerance * norm { Ok(()) } else { Err(refused(difference / norm)) }
}

fn refused(difference: f64) -> Error {
    OptimizerError::NotLeastSquares { difference }.into()
}
