//! The size of a step: by the quadratic model of the objective around θ, where it is lowest along one or two directions,
//! or by a learning rate and its limit.

use burn_backend::AutodiffBackend;

use super::{
    KfacOptimizer, KfacStep, Progress,
    step::{Candidate, Slope, first},
};
use crate::{
    curvature::Fisher,
    error::Error,
    objective::{Objective, ObjectiveError},
    operator::LinearOperator,
    optim::OptimizerError,
    space::{DeviceScalar, ParamVector},
};

/// Determinants of the two-by-two system below this, in units of the product of its diagonal, count as zero.
const DEPENDENT: f64 = 1e-10;

/// M(δ) = ½ δᵀ(F + cI)δ + ∇hᵀδ
struct QuadraticModel<'a, B: AutodiffBackend> {
    fisher: Fisher<B>,
    gradient: &'a ParamVector<B>,
    /// c = λ + η
    damping: f64,
}

/// A direction with its product (F + cI)v.
struct Direction<B: AutodiffBackend> {
    vector: ParamVector<B>,
    product: ParamVector<B>,
}

/// The lowest point αΔ + μδ₀.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lowest {
    alpha: f64,
    momentum: f64,
    /// M there, which is half the slope towards it.
    value: f64,
}

impl<B: AutodiffBackend> QuadraticModel<'_, B> {
    fn direction(&self, vector: ParamVector<B>) -> Result<Direction<B>, Error> {
        let product = self.fisher.apply(&vector)?.axpy(self.damping, &vector)?;
        Ok(Direction { vector, product })
    }

    /// Where M is lowest among the multiples of Δ, or the sums of multiples of Δ and δ₀. One read-back.
    fn lowest(
        &self,
        delta: &Direction<B>,
        previous: Option<&Direction<B>>,
    ) -> Result<Lowest, Error> {
        let mut scalars = vec![
            self.gradient.dot_device(&delta.vector)?,
            delta.vector.dot_device(&delta.product)?,
        ];
        if let Some(previous) = previous {
            scalars.extend([
                self.gradient.dot_device(&previous.vector)?,
                previous.vector.dot_device(&delta.product)?,
                previous.vector.dot_device(&previous.product)?,
            ]);
        }
        let scalars: Vec<_> = scalars.iter().collect();
        let numbers = DeviceScalar::read_many(&scalars)?;
        if let Some(&found) = numbers.iter().find(|number| !number.is_finite()) {
            for direction in [delta].into_iter().chain(previous) {
                direction.vector.expect_finite("the direction of the step")?;
                direction.product.expect_finite("its product with the Fisher matrix")?;
            }
            return Err(OptimizerError::StepRange { found }.into());
        }
        Ok(match numbers.as_slice() {
            [slope, curvature, other_slope, mixed, other] => {
                pair([*slope, *other_slope], [*curvature, *mixed, *other])
                    .unwrap_or_else(|| along(*slope, *curvature))
            }
            [slope, curvature, ..] => along(*slope, *curvature),
            _ => along(0.0, 0.0),
        })
    }
}

/// The lowest point of ½ c α² + s α.
fn along(slope: f64, curvature: f64) -> Lowest {
    let alpha = if curvature > 0.0 { -slope / curvature } else { 0.0 };
    Lowest { alpha, momentum: 0.0, value: 0.5 * alpha * slope }
}

/// The lowest point of ½ xᵀCx + sᵀx, C = [[a, b], [b, c]]; `None` if C is not clearly positive definite.
fn pair([first, second]: [f64; 2], [a, b, c]: [f64; 3]) -> Option<Lowest> {
    let determinant = a * c - b * b;
    if !(a > 0.0 && c > 0.0 && determinant > DEPENDENT * a * c) {
        return None;
    }
    let alpha = (b * second - c * first) / determinant;
    let momentum = (b * first - a * second) / determinant;
    Some(Lowest { alpha, momentum, value: 0.5 * (alpha * first + momentum * second) })
}

impl<B: AutodiffBackend> KfacOptimizer<B> {
    /// The lowest point of the quadratic model over all candidates.
    pub(super) fn by_model(
        &self,
        next: &Progress<B>,
        objective: &Objective<B>,
        (slope, momentum): (&Slope<'_, B>, bool),
        candidates: Vec<Candidate<B>>,
        report: &mut KfacStep,
    ) -> Result<Candidate<B>, Error> {
        let fisher = Fisher::exact(objective, self.likelihood)?;
        let damping = next.damping + self.config.weight_decay;
        let model = QuadraticModel { fisher, gradient: &slope.point.gradient, damping };
        let previous = next.previous.clone().filter(|_| momentum);
        let previous = previous.map(|previous| model.direction(previous)).transpose()?;
        let mut best: Option<(Candidate<B>, Lowest)> = None;
        for candidate in candidates {
            let direction = model.direction(candidate.direction.clone())?;
            let lowest = model.lowest(&direction, previous.as_ref())?;
            if best.as_ref().is_none_or(|(_, best)| lowest.value < best.value) {
                best = Some((candidate, lowest));
            }
        }
        let (mut chosen, lowest) = best.ok_or(ObjectiveError::NoBatches)?;
        chosen.direction = chosen.direction.scale(lowest.alpha);
        if let Some(previous) = &previous {
            chosen.direction = chosen.direction.axpy(lowest.momentum, &previous.vector)?;
        }
        (report.alpha, report.momentum) = (lowest.alpha, lowest.momentum);
        // M(δ) = s∇hᵀδ + ½ δᵀ(F + cI)δ = ½ s∇hᵀδ is that of the gradient shortened to s∇h. What the step changes is h.
        report.predicted = Some(lowest.value * (2.0 / slope.share - 1.0));
        Ok(chosen)
    }
}

/// rate·ν·Δ + momentum·δ₀
pub(super) fn by_rate<B: AutodiffBackend>(
    next: &Progress<B>,
    slope: &Slope<'_, B>,
    (rate, momentum, limit): (f64, f64, Option<f64>),
    candidates: Vec<Candidate<B>>,
    report: &mut KfacStep,
) -> Result<Candidate<B>, Error> {
    let (mut chosen, change) = first(candidates, slope)?;
    let nu = limit.map_or(1.0, |limit| (limit / (rate * rate * change)).sqrt().min(1.0));
    // A rate of zero, at the end of a schedule, is no step.
    let momentum = if rate > 0.0 { momentum } else { 0.0 };
    (report.alpha, report.limited) = (rate * nu, report.limited || nu < 1.0);
    chosen.direction = chosen.direction.scale(report.alpha);
    if let Some(previous) = next.previous.as_ref().filter(|_| momentum > 0.0) {
        report.momentum = momentum;
        chosen.direction = chosen.direction.axpy(momentum, previous)?;
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn the_lowest_point_has_no_slope() {
        let (slopes, [a, b, c]) = ([-2.0, 0.7], [3.0, 1.0, 0.5]);
        let lowest = pair(slopes, [a, b, c]).expect("a definite matrix");
        let (x, y) = (lowest.alpha, lowest.momentum);
        assert_relative_eq!(a * x + b * y, 2.0, epsilon = 1e-12);
        assert_relative_eq!(b * x + c * y, -0.7, epsilon = 1e-12);
        let value = 0.5 * (a * x * x + 2.0 * b * x * y + c * y * y) - 2.0 * x + 0.7 * y;
        assert_relative_eq!(lowest.value, value, epsilon = 1e-12);
    }

    #[test]
    fn dependent_directions_leave_the_first() {
        assert_eq!(pair([-1.0, -2.0], [1.0, 2.0, 4.0]), None);
        assert_eq!(along(-1.0, 2.0).alpha, 0.5);
        assert_eq!(along(-1.0, 2.0).value, -0.25);
        assert_eq!(along(-1.0, 0.0).alpha, 0.0);
    }
}
