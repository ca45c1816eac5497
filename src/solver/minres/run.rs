//! The iteration of MINRES as in Paige and Saunders (1975), section 6, with the recurrences of Choi, Paige and Saunders
//! (2011).

use burn_backend::AutodiffBackend;

use crate::{error::Error, krylov::ResidualBasis, space::ParamVector};

use super::super::{
    Method, Solution, SolveOptions, SolverError, StopReason,
    monitor::{Monitor, Start, begin},
    stopping::StagnationWatch,
    system::System,
    units::Preconditioner,
};
use super::{
    MinresConfig,
    estimate::Estimate,
    lanczos::{Directions, Lanczos, Next, Pair},
    least_squares::{Candidate, Outcome},
    rotation::{Column, Energy, Rotation},
};

/// Solves one system.
pub(super) fn solve<B: AutodiffBackend>(
    config: &MinresConfig,
    system: &System<'_, B>,
    options: SolveOptions<'_, B>,
) -> Result<Solution<B>, Error> {
    let tolerance = (config.relative_tolerance, config.absolute_tolerance);
    let Start { x, r, monitor, preconditioner } = begin(system, options, tolerance)?;
    let watch = |from| StagnationWatch::new(config.stagnation_window, from);
    let run = Run {
        config,
        system,
        preconditioner,
        origin: x.clone(),
        limit: config.iteration_limit(system.rhs().len()),
        cut: config.cut(system.rhs().precision().epsilon()),
        candidate: None,
        scale: 0.0,
        estimate: Estimate::new(),
        basis: None,
        stagnation: [watch(monitor.residual), watch(f64::INFINITY)],
        monitor,
    };
    run.solve(x, r)
}

/// Why the loop was left.
enum End {
    /// The recurrence says that the tolerance is reached, or that the Krylov space holds no more.
    Claimed,
    /// There is a candidate for a least-squares solution, and A is singular below the cut.
    LeastSquares,
    /// Something else.
    Stop(StopReason),
}

/// One solve in progress: everything that the host knows, and the vectors that outlive the loop.
pub(super) struct Run<'a, 'o, B: AutodiffBackend> {
    pub(super) config: &'a MinresConfig,
    pub(super) system: &'a System<'a, B>,
    pub(super) preconditioner: Preconditioner<'o, B>,
    pub(super) monitor: Monitor<'o, B>,
    /// x₀
    pub(super) origin: ParamVector<B>,
    limit: usize,
    /// Fraction of ‖A‖ below which an eigenvalue counts as zero.
    pub(super) cut: f64,
    pub(super) candidate: Option<Candidate<B>>,
    /// The largest ‖A v‖ so far.
    pub(super) scale: f64,
    pub(super) estimate: Estimate,
    basis: Option<ResidualBasis<B>>,
    stagnation: [StagnationWatch; 2],
}

/// The state of the loop.
struct State<B: AutodiffBackend> {
    rotation: Rotation,
    energy: Energy,
    lanczos: Lanczos<B>,
    directions: Directions<B>,
    /// r by its recurrence, where its norm does not follow from the rotations.
    residual: Option<ParamVector<B>>,
}

impl<B: AutodiffBackend> Run<'_, '_, B> {
    /// Runs the loop, and again from the true residual if the recurrence claimed too much.
    fn solve(mut self, mut x: ParamVector<B>, mut r: ParamVector<B>) -> Result<Solution<B>, Error> {
        if self.monitor.claims_convergence() {
            return self.finish(x, StopReason::Converged);
        }
        loop {
            let before = self.monitor.true_residual;
            let end;
            (x, end) = self.descend(x, r)?;
            match end {
                End::Claimed => (x, r) = self.verify(x)?,
                End::LeastSquares => match self.least_squares(x)? {
                    Outcome::Accepted(x) => return self.finish(x, StopReason::LeastSquares),
                    Outcome::Refused(again, residual) => (x, r) = (again, residual),
                },
                End::Stop(reason) => return self.finish_or_fall_back(x, reason),
            }
            if self.monitor.has_converged() {
                return self.finish(x, StopReason::Converged);
            }
            if self.monitor.true_residual > 0.5 * before {
                return self.finish_or_fall_back(x, StopReason::Stagnation);
            }
            if self.monitor.iterations >= self.limit {
                return self.finish_or_fall_back(x, StopReason::IterationLimit);
            }
        }
    }

    /// The loop of Paige and Saunders from x and r = b − A x.
    fn descend(
        &mut self,
        mut x: ParamVector<B>,
        r: ParamVector<B>,
    ) -> Result<(ParamVector<B>, End), Error> {
        let mut state = self.start(r)?;
        loop {
            let lanczos = &state.lanczos;
            let product = self.system.multiply(lanczos.current.v())?; //     A vₖ
            let Some(next) = self.expand(&state, product)? else {
                //         αₖ, βₖ₊₁uₖ₊₁: the one read-back
                return Ok((x, End::Stop(StopReason::Breakdown)));
            };
            let column = state.rotation.column(lanczos.beta, next.alpha, next.beta); // εₖ, δₖ, γₖ, φₖ
            self.scale = self.scale.max(column.length);
            if self.meets_null_space(&x, column.root) {
                return Ok((x, End::LeastSquares)); //                        before the step
            }
            self.note_curvature(next.alpha, lanczos.current.v())?;
            let w = state.directions.next(lanczos.current.v(), &column)?; // wₖ
            x = x.axpy(column.step, w)?; //                                  x ← x + φₖ wₖ
            self.advance(&mut state, &next, &column)?;
            let units = (self.system, &self.preconditioner);
            self.monitor.observe(units, &x, next.alpha);
            if let Some(end) = self.ends(&next, &column) {
                return Ok((x, end));
            }
            let beta = next.beta;
            let pair = next.scaled(); //                                     uₖ₊₁, vₖ₊₁
            if let Some(basis) = &mut self.basis {
                basis.push_unit(&pair.u, pair.preconditioned());
            }
            state.lanczos.advance(pair, beta);
        }
    }

    /// Starts from r = b − A x, whose norm is known.
    fn start(&mut self, r: ParamVector<B>) -> Result<State<B>, Error> {
        let z = self.preconditioner.apply(&r)?;
        let length = match &z {
            None => self.monitor.true_residual,
            Some(z) => {
                let square = r.dot(z)?;
                if !square.is_finite() {
                    z.expect_finite("the product with the preconditioner")?;
                }
                if square <= 0.0 || !square.is_finite() {
                    return Err(SolverError::Preconditioner { found: square }.into());
                }
                square.sqrt()
            }
        };
        self.estimate.restart();
        self.candidate = None;
        let residual = z.is_some().then(|| r.clone());
        let first = Pair::new(r, z, length);
        self.basis = self.config.reorthogonalization.then(|| {
            let mut basis = ResidualBasis::new(first.u.space(), residual.is_some());
            basis.push_unit(&first.u, first.preconditioned());
            basis
        });
        Ok(State {
            rotation: Rotation::new(length),
            energy: Energy::new(self.monitor.objective, length),
            lanczos: Lanczos::new(first),
            directions: Directions::new(),
            residual,
        })
    }

    /// αₖ and the next Lanczos vector, or `None` if its length leaves the range of the number format.
    fn expand(&self, state: &State<B>, product: ParamVector<B>) -> Result<Option<Next<B>>, Error> {
        let (alpha, mut vector) = state.lanczos.expand(product)?;
        if let Some(basis) = &self.basis {
            vector = basis.orthogonalize(vector)?;
        }
        let preconditioned = self.preconditioner.apply(&vector)?;
        Next::read(&alpha, (vector, preconditioned), state.residual.as_ref(), self.scale)
    }

    /// Keeps the first Lanczos vector along which A is negative.
    fn note_curvature(&mut self, alpha: f64, v: &ParamVector<B>) -> Result<(), Error> {
        let rounding = 10.0 * self.system.rhs().precision().epsilon() * self.scale;
        if alpha < -rounding {
            self.monitor.keep_negative(v, alpha)?;
        }
        Ok(())
    }

    /// Takes note of a step.
    fn advance(
        &mut self,
        state: &mut State<B>,
        next: &Next<B>,
        column: &Column,
    ) -> Result<(), Error> {
        self.estimate.push(next.alpha, next.beta, column);
        state.energy.advance(column, state.rotation.overlap());
        state.rotation.accept(column);
        let mut residual = state.rotation.residual;
        if let Some(r) = state.residual.take() {
            // rₖ = sₖ² rₖ₋₁ − (φₖ/γₖ) q
            let (keep, take) = (column.sine * column.sine, column.step / column.gamma);
            let [rr, rq, qq] = next.squares;
            let square = keep * keep * rr - 2.0 * keep * take * rq + take * take * qq;
            residual = square.max(0.0).sqrt();
            state.residual = Some(r.scale(keep).axpy(-take, &next.vector)?);
        }
        self.monitor.advance(residual, state.energy.value());
        Ok(())
    }

    /// Whether the step was the last, and why.
    fn ends(&mut self, next: &Next<B>, column: &Column) -> Option<End> {
        let [residual, normal] = &mut self.stagnation;
        let stagnates = residual.stagnates(self.monitor.residual) & normal.stagnates(column.root);
        if self.monitor.claims_convergence() || self.is_complete(next.beta) {
            Some(End::Claimed)
        } else if stagnates {
            Some(End::Stop(StopReason::Stagnation))
        } else if self.monitor.iterations >= self.limit {
            Some(End::Stop(StopReason::IterationLimit))
        } else {
            None
        }
    }

    /// Whether the Krylov space is invariant under A, so that it holds all that can be found.
    fn is_complete(&self, beta: f64) -> bool {
        let rhs = self.system.rhs();
        let full = self.basis.is_some() && self.estimate.steps() >= rhs.len();
        full || beta <= 10.0 * rhs.precision().epsilon() * self.scale
    }

    /// x and b − A x; with all Lanczos vectors at hand, x is improved if it is not good enough.
    pub(super) fn verify(
        &mut self,
        mut x: ParamVector<B>,
    ) -> Result<(ParamVector<B>, ParamVector<B>), Error> {
        let mut r = self.monitor.check(self.system, &x)?;
        let steps = self.estimate.steps();
        let Some(basis) = self.basis.as_ref().filter(|_| steps > 0) else {
            return Ok((x, r));
        };
        // What is singular to the vectors' rounding is left out first; then only what is so to the host's.
        for epsilon in [x.precision().epsilon(), f64::EPSILON] {
            if self.monitor.has_converged() {
                break;
            }
            let inverse =
                |overlaps: &[f64]| self.estimate.solve_t(overlaps, steps as f64 * epsilon);
            let Some(correction) = basis.correction(&r, basis.len(), inverse)? else {
                break;
            };
            (x, r) = self.monitor.improve(self.system, (x, r), &correction)?;
        }
        Ok((x, r))
    }

    /// The solution with a report on it. The true residual has the last word.
    pub(super) fn finish(
        mut self,
        mut x: ParamVector<B>,
        reason: StopReason,
    ) -> Result<Solution<B>, Error> {
        if !self.monitor.verified {
            (x, _) = self.verify(x)?;
        }
        let stop = if self.monitor.has_converged() { StopReason::Converged } else { reason };
        let mut solution = self.monitor.solution(x, self.system, (Method::Minres, stop));
        solution.report.spectrum = self.estimate.eigenvalues();
        self.system.restored(solution, &self.preconditioner)
    }
}
