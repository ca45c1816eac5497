//! The iteration of MINRES. Knows one system; keeps nothing beyond it.

mod finish;
mod lanczos;
mod least_squares;
mod step;

use burn_backend::AutodiffBackend;

use crate::{error::Error, krylov::ResidualBasis, operator::SelfAdjoint, space::ParamVector};

use super::super::{
    NegativeCurvature, Solution, SolveOptions, StopReason,
    options::Observer,
    start::{Start, begin},
    stopping::{StagnationWatch, threshold},
    system::System,
};
use super::{MinresConfig, estimate::Estimate};
use least_squares::{Candidate, Outcome};

/// Solves one system.
pub(super) fn solve<B: AutodiffBackend>(
    config: &MinresConfig,
    system: &System<'_, B>,
    mut options: SolveOptions<'_, B>,
) -> Result<Solution<B>, Error> {
    let (x, residual, start) = begin(system, &mut options)?;
    let mut run = Run::new(config, system, &start, options);
    run.origin = Some(x.clone());
    run.solve(x, residual)
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

/// What is known of the true residual.
struct Verified {
    /// ‖b − A x‖ as last computed.
    residual: f64,
    /// Whether x has not moved since.
    current: bool,
}

/// One solve in progress: everything that the host knows, and the vectors that outlive the loop.
struct Run<'a, 'o, B: AutodiffBackend> {
    config: &'a MinresConfig,
    system: &'a System<'a, B>,
    preconditioner: Option<&'o dyn SelfAdjoint<B>>,
    observer: Option<Observer<'o, B>>,
    /// x₀
    origin: Option<ParamVector<B>>,
    rhs_norm: f64,
    threshold: f64,
    limit: usize,
    /// Fraction of ‖A‖ below which an eigenvalue counts as zero.
    cut: f64,
    candidate: Option<Candidate<B>>,
    iterations: usize,
    /// ‖r‖ by the recurrence.
    residual: f64,
    verified: Verified,
    /// φ(x) at the last start.
    objective: f64,
    /// The largest ‖A v‖ so far.
    scale: f64,
    estimate: Estimate,
    basis: Option<ResidualBasis<B>>,
    stagnation: [StagnationWatch; 2],
    negative: Option<NegativeCurvature<B>>,
}

impl<'a, 'o, B: AutodiffBackend> Run<'a, 'o, B> {
    fn new(
        config: &'a MinresConfig,
        system: &'a System<'a, B>,
        start: &Start,
        options: SolveOptions<'o, B>,
    ) -> Self {
        let rhs = system.rhs();
        let watch = |from| StagnationWatch::new(config.stagnation_window, from);
        Self {
            config,
            system,
            preconditioner: options.preconditioner,
            observer: options.observer,
            origin: None,
            rhs_norm: start.rhs_norm,
            threshold: threshold(
                config.relative_tolerance,
                config.absolute_tolerance,
                start.rhs_norm,
            ),
            limit: config.iteration_limit(rhs.len()),
            cut: config.cut(rhs.precision().epsilon()),
            candidate: None,
            iterations: 0,
            residual: start.residual,
            verified: Verified { residual: start.residual, current: true },
            objective: start.objective,
            scale: 0.0,
            estimate: Estimate::new(),
            basis: None,
            stagnation: [watch(start.residual), watch(f64::INFINITY)],
            negative: None,
        }
    }

    /// Runs the loop, and starts it anew from the true residual when the recurrence claimed too much.
    fn solve(mut self, mut x: ParamVector<B>, mut r: ParamVector<B>) -> Result<Solution<B>, Error> {
        if self.residual <= self.threshold {
            return self.finish(x, StopReason::Converged);
        }
        loop {
            let before = self.verified.residual;
            let end;
            (x, end) = self.descend(x, r)?;
            match end {
                End::Claimed => (x, r) = self.verify(x)?,
                End::LeastSquares => match self.least_squares(x)? {
                    Outcome::Found(x) => return self.finish(x, StopReason::LeastSquares),
                    Outcome::Refused(again, residual) => (x, r) = (again, residual),
                },
                End::Stop(reason) => return self.finish_or_fall_back(x, reason),
            }
            if self.verified.residual <= self.threshold {
                return self.finish(x, StopReason::Converged);
            }
            if self.verified.residual > 0.5 * before {
                return self.finish_or_fall_back(x, StopReason::Stagnation);
            }
            if self.iterations >= self.limit {
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
            let Some(next) = self.expand(&state)? else {
                return Ok((x, End::Stop(StopReason::Breakdown)));
            };
            let column = state.rotation.column(state.lanczos.beta, next.alpha, next.beta);
            self.scale = self.scale.max(column.length);
            if self.meets_null_space(&x, column.root) {
                return Ok((x, End::LeastSquares)); //                       before the step
            }
            self.note_curvature(next.alpha, &state)?;
            let w = state.directions.next(state.lanczos.current.v(), &column)?;
            x = x.axpy(column.step, w)?; //                                 x ← x + φ w
            self.advance(&mut state, &next, &column)?;
            if let Some(end) = self.decide(&next, &column, &x) {
                return Ok((x, end));
            }
            let beta = next.beta;
            let pair = next.scaled();
            if let Some(basis) = &mut self.basis {
                basis.push_unit(&pair.u, pair.preconditioned());
            }
            state.lanczos.advance(pair, beta);
        }
    }
}
