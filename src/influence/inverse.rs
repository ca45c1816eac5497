//! A⁻¹ by any estimator, A = C + λI: what is computed once, and solves with several right-hand sides.

use std::sync::{Arc, Mutex, PoisonError};

use burn_backend::AutodiffBackend;

use super::{
    Curvature, Estimator, InfluenceConfig, InfluenceError, Solves, config::BoxedSolver,
    matrix::Matrix,
};
use crate::{
    derive::Likelihood,
    error::Error,
    kfac::KfacCoverage,
    objective::Objective,
    operator::{
        BlockDiagonal, DenseMatrix, Kronecker, LinearOperator, LowRank, SymmetricDense,
        materialize_up_to,
    },
    solver::{
        Direct, Iteration, KeptFactorization, LinearSolver, Lissa, NystromConfig, Solution,
        SolveOptions, StopReason,
    },
    space::ParamVector,
};

/// A function that is called after every iteration of a solve.
pub(super) type Observer<B> = Arc<dyn Fn(&Iteration<'_, B>) + Send + Sync>;

/// A⁻¹ with everything that is computed once.
pub(super) struct Inverse<B: AutodiffBackend> {
    method: Method<B>,
    observer: Option<Observer<B>>,
    damping: f64,
    /// Products with C that were made before the first solve.
    products: usize,
    estimated: Estimated,
}

/// What K-FAC estimates by random draws.
#[derive(Clone, Default)]
pub(super) struct Estimated {
    /// Parameters for which it has an estimate of a diagonal only.
    pub diagonals: Vec<String>,
    /// Targets that were drawn for each sample.
    pub draws: Option<usize>,
}

enum Method<B: AutodiffBackend> {
    Iterative { matrix: Matrix<B>, solver: BoxedSolver<B> },
    Dense { matrix: SymmetricDense<B>, solver: Direct, factors: Mutex<KeptFactorization> },
    Lissa { matrix: Matrix<B>, solver: Lissa },
    Nystrom { matrix: Matrix<B>, inverse: LowRank<B>, tolerance: f64 },
    Factored(BlockDiagonal<B, Kronecker<B>>),
    Identity,
}

impl<B: AutodiffBackend> Inverse<B> {
    #[inline(never)]
    pub fn new(config: &InfluenceConfig, training: &Objective<B>) -> Result<Self, Error> {
        let damping = config.total_damping();
        let matrix = || Matrix::new(config.curvature, training);
        let (mut products, mut estimated) = (0, Estimated::default());
        let mut listed = |coverage: &KfacCoverage| {
            let diagonals = coverage.diagonals().map(|entry| entry.parameter.clone());
            estimated = Estimated { diagonals: diagonals.collect(), draws: coverage.draws() };
        };
        let method = match &config.estimator {
            Estimator::ConjugateGradient(solver) => {
                Method::Iterative { matrix: matrix()?, solver: Box::new(solver.init()?) }
            }
            Estimator::Minres(solver) => {
                Method::Iterative { matrix: matrix()?, solver: Box::new(solver.init()?) }
            }
            Estimator::Dense(direct) => {
                let (solver, matrix) = (direct.init()?, matrix()?);
                let damped = matrix.operator().damped(damping)?;
                let dense = materialize_up_to(&damped, direct.max_size)?;
                dense.expect_symmetric(direct.symmetry_tolerance)?;
                products = dense.rows();
                let space = training.parameters().space();
                let matrix = SymmetricDense::new(&symmetric(&dense)?, space)?;
                Method::Dense { matrix, solver, factors: Mutex::default() }
            }
            Estimator::Lissa(lissa) => Method::Lissa { matrix: matrix()?, solver: lissa.init()? },
            Estimator::Nystrom(nystrom) => {
                let matrix = matrix()?;
                let (inverse, rank) = approximated(nystrom, &matrix, damping)?;
                products = rank;
                Method::Nystrom { matrix, inverse, tolerance: nystrom.relative_tolerance }
            }
            Estimator::Kfac(kfac) => {
                let kfac = kfac.init(training, likelihood(config)?)?;
                listed(kfac.coverage());
                Method::Factored(kfac.inverse(damping)?)
            }
            Estimator::Ekfac(kfac) => {
                let ekfac = kfac.init_ekfac(training, likelihood(config)?)?;
                listed(ekfac.coverage());
                Method::Factored(ekfac.inverse(damping)?)
            }
            Estimator::Identity => Method::Identity,
        };
        Ok(Self { method, observer: None, damping, products, estimated })
    }

    /// The same under observation.
    pub fn observed(self, observer: Observer<B>) -> Self {
        Self { observer: Some(observer), ..self }
    }
}

impl<B: AutodiffBackend> Inverse<B> {
    /// A⁻¹b for several b, with a summary of their solves.
    #[inline(never)]
    pub fn solve(&self, rhs: &[ParamVector<B>]) -> Result<(Vec<ParamVector<B>>, Solves), Error> {
        match &self.method {
            Method::Iterative { matrix, solver } => {
                let damped = matrix.operator().damped(self.damping)?;
                let alone = |rhs: &_, options: SolveOptions<'_, B>| {
                    solver.solve_with(&damped, rhs, options)
                };
                Ok(solved(self.solutions(rhs, alone, || solver.solve_many(&damped, rhs))?))
            }
            Method::Dense { matrix, solver, factors } => {
                let mut factors = factors.lock().unwrap_or_else(PoisonError::into_inner);
                let solutions = solver.solve_keeping(matrix, rhs, &mut factors)?;
                let (found, mut solves) = solved(solutions);
                solves.products = 0; // those with the dense matrix
                Ok((found, solves))
            }
            Method::Lissa { matrix, solver } => {
                let damped = matrix.operator().damped(self.damping)?;
                let alone = |rhs: &_, options: SolveOptions<'_, B>| {
                    solver.solve_with(&damped, rhs, options)
                };
                Ok(solved(self.solutions(rhs, alone, || solver.solve_many(&damped, rhs))?))
            }
            Method::Nystrom { matrix, inverse, tolerance } => {
                let damped = matrix.operator().damped(self.damping)?;
                let found = inverse.apply_many(rhs)?;
                let mut solves = Solves::default();
                for (product, rhs) in damped.apply_many(&found)?.into_iter().zip(rhs) {
                    let (norm, residual) = (rhs.norm()?, product.neg().add(rhs)?.norm()?);
                    let relative = if norm > 0.0 { residual / norm } else { 0.0 };
                    let accurate = relative <= *tolerance;
                    let stop =
                        if accurate { StopReason::Converged } else { StopReason::Approximated };
                    solves.add(stop, relative, 1);
                }
                Ok((found, solves))
            }
            Method::Factored(inverse) => Ok((inverse.apply_many(rhs)?, Solves::default())),
            Method::Identity => Ok((rhs.to_vec(), Solves::default())),
        }
    }

    /// Several systems share products and are not observed; a single one is.
    fn solutions(
        &self,
        rhs: &[ParamVector<B>],
        alone: impl FnOnce(&ParamVector<B>, SolveOptions<'_, B>) -> Result<Solution<B>, Error>,
        together: impl FnOnce() -> Result<Vec<Solution<B>>, Error>,
    ) -> Result<Vec<Solution<B>>, Error> {
        let (Some(observer), [rhs]) = (&self.observer, rhs) else { return together() };
        let mut see = |iteration: &Iteration<'_, B>| observer(iteration);
        Ok(vec![alone(rhs, SolveOptions::new().with_observer(&mut see))?])
    }

    /// The inverse as a Kronecker product for each layer, if it is one.
    pub fn factored(&self) -> Option<&BlockDiagonal<B, Kronecker<B>>> {
        match &self.method {
            Method::Factored(inverse) => Some(inverse),
            _ => None,
        }
    }

    /// C, if a solve takes products with it.
    pub fn matrix(&self) -> Option<&Matrix<B>> {
        match &self.method {
            Method::Iterative { matrix, .. }
            | Method::Lissa { matrix, .. }
            | Method::Nystrom { matrix, .. } => Some(matrix),
            Method::Dense { .. } | Method::Factored(_) | Method::Identity => None,
        }
    }

    /// What K-FAC estimates.
    pub fn estimated(&self) -> &Estimated {
        &self.estimated
    }

    /// Products with C before the first solve.
    pub fn products(&self) -> usize {
        self.products
    }

    /// Bytes that the first solve keeps, and those that it takes besides for as long as it factorizes.
    pub fn factorization_bytes(&self) -> (usize, usize) {
        match &self.method {
            Method::Dense { matrix, .. } if !self.is_factorized() => {
                let bytes = matrix.domain().len().pow(2) * size_of::<f64>();
                (bytes, (Direct::MATRICES - 1) * bytes)
            }
            _ => (0, 0),
        }
    }

    fn is_factorized(&self) -> bool {
        match &self.method {
            Method::Dense { factors, .. } => {
                factors.lock().unwrap_or_else(PoisonError::into_inner).is_made()
            }
            _ => false,
        }
    }

    /// Bytes kept between products; the factors of K-FAC and low-rank approximations are not counted.
    pub fn kept_bytes(&self) -> usize {
        match &self.method {
            Method::Iterative { matrix, .. }
            | Method::Lissa { matrix, .. }
            | Method::Nystrom { matrix, .. } => matrix.kept_bytes(),
            Method::Dense { matrix, .. } => {
                let space = matrix.domain();
                let factors = if self.is_factorized() { size_of::<f64>() } else { 0 };
                space.len().pow(2) * (space.precision().bytes() + factors)
            }
            Method::Factored(_) | Method::Identity => 0,
        }
    }
}

/// The likelihood whose Fisher matrix K-FAC approximates.
fn likelihood(config: &InfluenceConfig) -> Result<Likelihood, InfluenceError> {
    let (estimator, curvature) = (config.estimator.name(), config.curvature.name());
    match config.curvature {
        Curvature::Fisher(likelihood) => Ok(likelihood),
        _ => Err(InfluenceError::NotFisher { estimator, curvature }),
    }
}

/// The approximate inverse of a damped matrix, and its rank.
fn approximated<B: AutodiffBackend>(
    config: &NystromConfig,
    matrix: &Matrix<B>,
    damping: f64,
) -> Result<(LowRank<B>, usize), Error> {
    let damped = matrix.operator().damped(damping)?;
    let approximation = config.init()?.approximate(&damped)?;
    Ok((approximation.inverse()?, config.rank.min(damped.domain().len())))
}

/// Solutions and their summary.
fn solved<B: AutodiffBackend>(solutions: Vec<Solution<B>>) -> (Vec<ParamVector<B>>, Solves) {
    let mut solves = Solves::default();
    let found = solutions.into_iter().map(|solution| {
        solves.merge(&Solves::of(&solution.report));
        solution.x
    });
    (found.collect(), solves)
}

/// (A + Aᵀ)/2
fn symmetric(matrix: &DenseMatrix) -> Result<DenseMatrix, Error> {
    let (n, values) = (matrix.rows(), matrix.values());
    let mean = |at: usize| 0.5 * (values[at] + values[at % n * n + at / n]);
    DenseMatrix::new(n, n, (0..n * n).map(mean).collect())
}
