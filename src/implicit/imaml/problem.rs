//! The inner problem of a task, and the derivative of a test loss through its minimizer.

use burn_backend::AutodiffBackend;

use super::{
    super::{InnerCurvature, InnerReport, InnerSolver, Verdict, inner::Inner},
    TaskReport,
};
use crate::{
    curvature::{GaussNewton, Hessian},
    error::Error,
    objective::{Objective, ValueAndGradient},
    operator::{LinearOperator, SelfAdjoint},
    solver::LinearSolver,
    space::ParamVector,
    tensor::DefaultBackend,
};

/// Distances of φ from the minimizer above this, relative to ‖φ − θ‖, are a verdict.
const FAR: f64 = 0.1;

/// The inner problem of a task: L̂(φ) + λ/2·‖φ − θ‖².
#[derive(Clone, Debug)]
pub struct ProximalProblem<B: AutodiffBackend = DefaultBackend> {
    loss: Objective<B>,
    regularization: f64,
    curvature: InnerCurvature,
}

impl<B: AutodiffBackend> ProximalProblem<B> {
    pub(super) fn new(loss: Objective<B>, regularization: f64, curvature: InnerCurvature) -> Self {
        Self { loss, regularization, curvature }
    }

    /// L̂, at θ.
    pub fn loss(&self) -> &Objective<B> {
        &self.loss
    }

    /// θ, to which φ is tied, and where a minimization starts.
    pub fn center(&self) -> &ParamVector<B> {
        self.loss.parameters()
    }

    /// λ
    pub fn regularization(&self) -> f64 {
        self.regularization
    }

    /// The value and gradient at φ, the proximal term included.
    ///
    /// # Errors
    /// A vector of another space; a loss or gradient that is NaN or infinite.
    pub fn value_and_gradient(&self, phi: &ParamVector<B>) -> Result<ValueAndGradient<B>, Error> {
        let found = self.loss.at_keeping_buffers(phi)?.value_and_gradient()?;
        let apart = phi.clone().sub(self.center())?;
        Ok(ValueAndGradient {
            value: found.value + 0.5 * self.regularization * apart.dot(&apart)?,
            gradient: found.gradient.axpy(self.regularization, &apart)?,
        })
    }

    /// φ by an inner solver, from θ.
    ///
    /// # Errors
    /// Those of [`InnerSolver::minimize`].
    pub fn minimize(&self, solver: &InnerSolver) -> Result<(ParamVector<B>, InnerReport), Error> {
        solver.run(self, self.center().clone())
    }

    /// (I + H/λ)⁻¹ of the gradient of a test loss at φ.
    pub(super) fn pull_back(
        &self,
        phi: &ParamVector<B>,
        test: &Objective<B>,
        solver: &dyn LinearSolver<B>,
    ) -> Result<(ParamVector<B>, TaskReport), Error> {
        let slope = test.value_and_gradient()?;
        let there = self.loss.at_keeping_buffers(phi)?;
        let at = there.value_and_gradient()?;
        let apart = phi.clone().sub(self.center())?;
        let stationarity = at.gradient.axpy(self.regularization, &apart)?.norm()?;
        let system = self.curvature_at(&there)?.scaled(1.0 / self.regularization)?.damped(1.0)?;
        let solution = solver.solve(&system, &slope.gradient)?;
        let spectrum = solution.report.spectrum.map(|spectrum| spectrum.smallest);
        let negative = solution.report.negative_curvature;
        let smallest = [spectrum, negative].into_iter().flatten().reduce(f64::min);
        let report = TaskReport {
            training_loss: at.value,
            test_loss: slope.value,
            stationarity,
            moved: apart.norm()?,
            smallest_eigenvalue: smallest,
            solve: solution.report,
            verdict: Verdict::Sound,
        };
        Ok((solution.x, report.judged(self.regularization, FAR)))
    }

    fn curvature_at(&self, there: &Objective<B>) -> Result<Box<dyn SelfAdjoint<B>>, Error> {
        Ok(match self.curvature {
            InnerCurvature::Hessian => Box::new(Hessian::new(there)?),
            InnerCurvature::GaussNewton => Box::new(GaussNewton::new(there)?),
        })
    }
}

impl<B: AutodiffBackend> Inner<B> for ProximalProblem<B> {
    fn slope(&self, at: &ParamVector<B>) -> Result<(f64, ParamVector<B>), Error> {
        let found = self.value_and_gradient(at)?;
        Ok((found.value, found.gradient))
    }

    fn matrix(&self, at: &ParamVector<B>) -> Result<Box<dyn SelfAdjoint<B>>, Error> {
        let there = self.loss.at_keeping_buffers(at)?;
        Ok(Box::new(self.curvature_at(&there)?.damped(self.regularization)?))
    }
}
