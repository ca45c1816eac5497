//! The ways to solve the notebook's problem that are compared.

use std::error::Error;

use burn_curvature::{
    ConjugateGradientConfig, Direct, GaussNewton, Hessian, LinearOperator, LinearSolver,
    MinresConfig, NeumannConfig, NystromConfig, Objective, OnNegativeCurvature, SelfAdjoint,
    Solution,
};

use super::notebook::Train;

const PARAMETERS: usize = 26;
/// At 0.1 about one seed in a hundred is definite; at 1 all are.
const DAMPING: f64 = 1.0;

/// Which matrix is inverted.
#[derive(Clone, Copy, PartialEq)]
pub enum Matrix {
    Hessian,
    DampedHessian,
    DampedGaussNewton,
}

/// One way to compute A⁻¹∇ℒ.
pub struct Way {
    pub name: &'static str,
    pub f64: bool,
    matrix: Matrix,
    solver: Box<dyn LinearSolver<Train>>,
}

impl Way {
    /// A⁻¹∇ℒ by this way.
    pub fn solve(&self, objective: &Objective<Train>) -> Result<Solution<Train>, Box<dyn Error>> {
        let operator = self.matrix.of(objective)?;
        Ok(self.solver.solve(operator.as_ref(), &objective.gradient()?)?)
    }

    /// A⁻¹∇ℒ by the dense matrix.
    pub fn exact(
        &self,
        direct: &Direct,
        objective: &Objective<Train>,
    ) -> Result<Solution<Train>, Box<dyn Error>> {
        let operator = self.matrix.of(objective)?;
        Ok(direct.solve(operator.as_ref(), &objective.gradient()?)?)
    }
}

impl Matrix {
    fn of(
        self,
        objective: &Objective<Train>,
    ) -> Result<Box<dyn SelfAdjoint<Train>>, Box<dyn Error>> {
        Ok(match self {
            Self::Hessian => Box::new(Hessian::new(objective)?),
            Self::DampedHessian => Box::new(Hessian::new(objective)?.damped(DAMPING)?),
            Self::DampedGaussNewton => Box::new(GaussNewton::new(objective)?.damped(DAMPING)?),
        })
    }
}

type Ways = Result<Vec<Way>, Box<dyn Error>>;

/// All ways, in the order of the table.
pub fn all() -> Ways {
    let mut ways = conjugate_gradients()?;
    ways.extend(minimum_residuals()?);
    ways.extend(damped()?);
    Ok(ways)
}

fn way(
    name: &'static str,
    f64: bool,
    matrix: Matrix,
    solver: impl LinearSolver<Train> + 'static,
) -> Way {
    Way { name, f64, matrix, solver: Box::new(solver) }
}

/// On the Hessian as it is.
fn conjugate_gradients() -> Ways {
    let plain = plain();
    let carried = plain.clone().with_on_negative_curvature(OnNegativeCurvature::Continue);
    let orthogonal =
        carried.clone().with_reorthogonalization(true).with_max_iterations(Some(PARAMETERS));
    let on = Matrix::Hessian;
    Ok(vec![
        way("CG on H, as the notebook ran it, f64", true, on, plain.init()?),
        way("CG on H, as the notebook ran it, f32", false, on, plain.init()?),
        way("CG on H, 40 steps carried through, f64", true, on, carried.init()?),
        way("CG on H, 40 steps carried through, f32", false, on, carried.init()?),
        way("CG on H, reorthogonalized, 26 steps, f64", true, on, orthogonal.init()?),
        way("CG on H, reorthogonalized, 26 steps, f32", false, on, orthogonal.init()?),
    ])
}

fn plain() -> ConjugateGradientConfig {
    ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-12)
        .with_max_iterations(Some(40))
        .with_stagnation_window(None)
}

/// On the Hessian as it is, which need not be definite for these.
fn minimum_residuals() -> Ways {
    let plain =
        MinresConfig::new().with_relative_tolerance(1e-15).with_max_iterations(Some(PARAMETERS));
    let orthogonal = plain.clone().with_reorthogonalization(true);
    let on = Matrix::Hessian;
    Ok(vec![
        way("MINRES on H, 26 steps, f64", true, on, plain.init()?),
        way("MINRES on H, reorthogonalized, 26 steps, f64", true, on, orthogonal.init()?),
        way("MINRES on H, reorthogonalized, 26 steps, f32", false, on, orthogonal.init()?),
    ])
}

/// On definite matrices, and the Neumann series on the one that is not.
fn damped() -> Ways {
    let (plain, single) = (plain(), plain().with_relative_tolerance(1e-5));
    let neumann = NeumannConfig::new().with_relative_tolerance(1e-12);
    // Ten residuals make a Gauss-Newton matrix of rank ten at most.
    let nystrom = NystromConfig::new(15, DAMPING).with_relative_tolerance(1e-9);
    let (hessian, newton) = (Matrix::DampedHessian, Matrix::DampedGaussNewton);
    Ok(vec![
        way("CG on H + I, f64", true, hessian, plain.init()?),
        way("CG on H + I, f32", false, hessian, single.init()?),
        way("CG on G + I, f64", true, newton, plain.init()?),
        way("Neumann on G + I, scale 1/λmax, f64", true, newton, neumann.init()?),
        way("Neumann on H, f64", true, Matrix::Hessian, neumann.init()?),
        way("Nyström on G + I, rank 15, f64", true, newton, nystrom.init()?),
    ])
}
