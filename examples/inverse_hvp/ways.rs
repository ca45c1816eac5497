//! The ways to solve the notebook's problem that are compared.

use std::error::Error;

use burn_curvature::{
    ConjugateGradientConfig, GaussNewton, Hessian, LinearOperator, LinearSolver, MinresConfig,
    NeumannConfig, Objective, SelfAdjoint, Solution,
    solver::{Direct, NystromConfig, OnNegativeCurvature},
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

/// What the results of a way must be over all seeds.
#[derive(Clone, Copy)]
pub enum Expected {
    /// It stops at negative curvature for every seed, with the iterate reached.
    NegativeCurvature,
    /// It stops at negative curvature for every seed, without a step.
    Refusal,
    /// Its largest error is noted without a range.
    Anything,
    /// The median of its errors lies between these.
    MedianError(f64, f64),
    /// Its largest error is at most this.
    LargestError(f64),
    /// It converges for every seed, with errors of at most this.
    Convergence(f64),
}

/// One way to compute A⁻¹∇ℒ.
pub struct Way {
    /// Its name in figures.
    pub key: &'static str,
    pub name: &'static str,
    /// Whether it runs in f64; if not, in f32.
    pub f64: bool,
    pub expected: Expected,
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

/// A way by its key and name; those of `_f64` run in f64.
fn way(
    (key, name): (&'static str, &'static str),
    matrix: Matrix,
    solver: impl LinearSolver<Train> + 'static,
    expected: Expected,
) -> Way {
    Way { key, name, f64: key.ends_with("_f64"), expected, matrix, solver: Box::new(solver) }
}

/// On the Hessian as it is.
fn conjugate_gradients() -> Ways {
    let plain = plain();
    let carried = plain.clone().with_on_negative_curvature(OnNegativeCurvature::Continue);
    let orthogonal =
        carried.clone().with_reorthogonalization(true).with_max_iterations(Some(PARAMETERS));
    let on = Matrix::Hessian;
    Ok(vec![
        way(
            ("cg_f64", "CG on H, as the notebook ran it, f64"),
            on,
            plain.init()?,
            Expected::NegativeCurvature,
        ),
        way(
            ("cg_f32", "CG on H, as the notebook ran it, f32"),
            on,
            plain.init()?,
            Expected::NegativeCurvature,
        ),
        way(
            ("cg_carried_f64", "CG on H, 40 steps carried through, f64"),
            on,
            carried.init()?,
            Expected::Anything,
        ),
        way(
            ("cg_carried_f32", "CG on H, 40 steps carried through, f32"),
            on,
            carried.init()?,
            Expected::MedianError(0.1, 1e3),
        ),
        way(
            ("cg_orthogonal_f64", "CG on H, reorthogonalized, 26 steps, f64"),
            on,
            orthogonal.init()?,
            Expected::LargestError(1e-10),
        ),
        way(
            ("cg_orthogonal_f32", "CG on H, reorthogonalized, 26 steps, f32"),
            on,
            orthogonal.init()?,
            Expected::MedianError(0.0, 1e-4),
        ),
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
        way(("minres_f64", "MINRES on H, 26 steps, f64"), on, plain.init()?, Expected::Anything),
        way(
            ("minres_orthogonal_f64", "MINRES on H, reorthogonalized, 26 steps, f64"),
            on,
            orthogonal.init()?,
            Expected::LargestError(1e-10),
        ),
        way(
            ("minres_orthogonal_f32", "MINRES on H, reorthogonalized, 26 steps, f32"),
            on,
            orthogonal.init()?,
            Expected::MedianError(0.0, 1e-3),
        ),
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
        way(
            ("cg_damped_f64", "CG on H + I, f64"),
            hessian,
            plain.init()?,
            Expected::Convergence(1e-10),
        ),
        way(
            ("cg_damped_f32", "CG on H + I, f32"),
            hessian,
            single.init()?,
            Expected::Convergence(1e-3),
        ),
        way(
            ("cg_gauss_newton_f64", "CG on G + I, f64"),
            newton,
            plain.init()?,
            Expected::Convergence(1e-10),
        ),
        way(
            ("neumann_gauss_newton_f64", "Neumann on G + I, scale 1/λmax, f64"),
            newton,
            neumann.init()?,
            Expected::Convergence(1e-10),
        ),
        way(
            ("neumann_hessian_f64", "Neumann on H, f64"),
            Matrix::Hessian,
            neumann.init()?,
            Expected::Refusal,
        ),
        way(
            ("nystrom_gauss_newton_f64", "Nyström on G + I, rank 15, f64"),
            newton,
            nystrom.init()?,
            Expected::Convergence(1e-8),
        ),
    ])
}
