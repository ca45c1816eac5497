//! How leaving samples out moves the parameters: by influence, and by a Newton step on what remains.

use burn_backend::AutodiffBackend;

use super::{
    Curvature, Estimator, Influence, InfluenceError, InfluenceReport, Query, Solves,
    losses::SampleLosses, matrix::Matrix, query::Gradients, scores::expect_group,
};
use crate::{
    error::Error, objective::Reduction, operator::LinearOperator, space::ParamVector,
    tensor::DefaultBackend,
};

/// The predicted movement Δθ of the parameters when some samples are left out of the training.
#[derive(Clone, Debug)]
pub struct Removal<B: AutodiffBackend = DefaultBackend> {
    /// Δθ. The parameters without the samples are θ + Δθ: [`Objective::at`](crate::Objective::at), or
    /// [`ParamVector::add_to`] for a model.
    pub step: ParamVector<B>,
    /// The report on it. That on a Newton step names the solver and the matrix of the step, where they are not those of the
    /// configuration.
    pub report: InfluenceReport,
}

impl<B: AutodiffBackend> Influence<B> {
    /// The movement of the parameters when a group S of samples is left out, to first order.
    ///
    /// ```text
    /// Δθ = c·A⁻¹ Σ_{n∈S} ∇ℓₙ
    /// ```
    ///
    /// With a `weight_decay` w and a mean, which does not include the penalty, w·θ is added to each ∇ℓₙ, except with
    /// [`Estimator::Identity`].
    ///
    /// # Cost
    /// A backward pass and a solve.
    ///
    /// # Errors
    /// [`InfluenceError::NoSuchSample`], [`InfluenceError::EmptyGroup`], [`InfluenceError::Repeated`]; those of the solver.
    #[inline(never)]
    pub fn influence_step(&self, group: &[usize]) -> Result<Removal<B>, Error> {
        expect_group(0, group, self.samples())?;
        let decay = match self.config.estimator {
            Estimator::Identity => 0.0,
            _ => self.config.weight_decay,
        };
        let gradient = self.gradient_of(group, decay)?;
        let (mut solved, solves) = self.inverse.solve(std::slice::from_ref(&gradient))?;
        let step = solved.pop().unwrap_or(gradient);
        let step = step.scale(self.reduction.factor(self.samples()));
        Ok(Removal { step, report: self.report(1, solves, 0) })
    }

    /// The movement of the parameters when a group S of k samples is left out, by one Newton step with the curvature of those
    /// that remain: exact for losses that are quadratic in θ.
    ///
    /// ```text
    /// mean    Δθ = [N/(N−k)·(C − 1/N·Σ_{n∈S} Cₙ) + λI]⁻¹ · 1/(N−k)·Σ_{n∈S} ∇ℓₙ        C = 1/N·Σₙ Cₙ
    /// sum     Δθ = [C − Σ_{n∈S} Cₙ + λI]⁻¹ · Σ_{n∈S} ∇ℓₙ                              C = Σₙ Cₙ
    /// ```
    ///
    /// The training is assumed to be at a stationary point: what remains of its gradient does not move θ here. With a
    /// `weight_decay` w and a mean, w·θ is added to each ∇ℓₙ. The curvature is the configured one, for the Fisher
    /// matrix and K-FAC the Gauss-Newton matrix, which it equals; A⁻¹ is that of the estimator's solver, or of
    /// conjugate gradients for estimators without one.
    ///
    /// # Cost
    /// For each group one solve, and once the part of the products that does not depend on the vector.
    ///
    /// # Errors
    /// As [`influence_step`](Self::influence_step); [`InfluenceError::NothingLeft`].
    ///
    /// # Example
    /// The mean of three numbers without the third is the mean of two, exactly; to first order the mean moves by two
    /// thirds of that.
    ///
    /// ```
    /// # use burn::{module::Param, prelude::*};
    /// use burn_curvature::{Loss, Objective, influence::{InfluenceConfig}};
    ///
    /// # #[derive(Module, Debug)]
    /// # struct Mean {
    /// #     w: Param<Tensor<1>>,
    /// # }
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// # let device = Device::default().autodiff();
    /// # let model = Mean { w: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
    /// # let y = |y: &[f32]| Tensor::<1>::from_floats(y, &device);
    /// let training = Objective::capture(&model, y(&[1.0, 1.0, 4.0]), |model, y| {
    ///     Loss::mean_of((model.w.val() - y).powf_scalar(2.0) * 0.5)
    /// })?;
    /// let influence = InfluenceConfig::default().init(&training)?;
    /// let exact = influence.newton_step(&[2])?.step.to_vec()?[0];
    /// let first_order = influence.influence_step(&[2])?.step.to_vec()?[0];
    /// assert!((exact + 1.0).abs() < 1e-6 && (first_order + 2.0 / 3.0).abs() < 1e-6);
    /// # Ok(())
    /// # }
    /// ```
    #[inline(never)]
    pub fn newton_step(&self, group: &[usize]) -> Result<Removal<B>, Error> {
        let samples = self.samples();
        expect_group(0, group, samples)?;
        let left = samples - group.len();
        if left == 0 {
            return Err(InfluenceError::NothingLeft { group: 0, samples }.into());
        }
        let mut weights = vec![1.0; samples];
        group.iter().for_each(|&sample| weights[sample] = 0.0);
        let rest = self.training.weighing_losses(&weights)?;
        let matrix = Matrix::of_rest(self.config.curvature, &rest)?;
        let (scale, share) = match self.reduction {
            Reduction::Sum => (1.0, 1.0),
            Reduction::Mean => (samples as f64 / left as f64, 1.0 / left as f64),
        };
        let rhs = self.gradient_of(group, self.config.weight_decay)?;
        let operator = matrix.operator().scaled(scale)?.damped(self.config.total_damping())?;
        let solution = self.config.estimator.solver()?.solve(&operator, &rhs.scale(share))?;
        let mut report = self.report(1, Solves::of(&solution.report), 0);
        report.config.estimator = self.config.estimator.of_systems();
        report.config.curvature = matrix_of(report.config.curvature);
        // Those of the matrix with all samples, and of its estimate.
        report.preparing_products = 0;
        (report.estimated, report.drawn_targets) = (Vec::new(), None);
        Ok(Removal { step: solution.x, report })
    }

    /// Σ over a group of ∇ℓₙ, with its share of the penalty.
    fn gradient_of(&self, group: &[usize], decay: f64) -> Result<ParamVector<B>, Error> {
        let mut gradient = self.losses.gradient_of_sum(group)?;
        if self.reduction == Reduction::Mean && decay > 0.0 {
            gradient = gradient.axpy(decay * group.len() as f64, self.training.parameters())?;
        }
        gradient.expect_finite("the gradient of the group")?;
        Ok(gradient)
    }

    /// The change of each f along a step, to first order: ∇fᵀΔθ. By one forward-mode pass for all samples of a query.
    ///
    /// # Errors
    /// As [`visit_scores`](Self::visit_scores).
    pub fn change_along<'a>(
        &self,
        step: &ParamVector<B>,
        query: impl Into<Query<'a, B>>,
    ) -> Result<Vec<f64>, Error>
    where
        B: 'a,
    {
        let parameters = self.training.parameters();
        parameters.space().expect_same(step.space())?;
        step.expect_finite("the step")?;
        match Gradients::of(query.into(), &self.training)? {
            Gradients::Samples(losses) => one_row(&losses, step),
            Gradients::Value(objective) => Ok(vec![objective.gradient()?.dot_in_range(step)?]),
            Gradients::Vectors(vectors) => {
                let along = |vector: &ParamVector<B>| {
                    vector.expect_finite("the gradient of a query")?;
                    vector.dot_in_range(step)
                };
                Ok(vectors.iter().map(along).collect::<Result<_, _>>()?)
            }
        }
    }
}

/// The curvature that a Newton step takes.
fn matrix_of(curvature: Curvature) -> Curvature {
    match curvature {
        Curvature::Fisher(_) => Curvature::GaussNewton, // equal, and without draws
        other => other,
    }
}

fn one_row<B: AutodiffBackend>(
    losses: &SampleLosses<B>,
    step: &ParamVector<B>,
) -> Result<Vec<f64>, Error> {
    let products = losses.products(std::slice::from_ref(step))?;
    Ok(products.into_iter().next().unwrap_or_default())
}
