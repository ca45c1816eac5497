//! The iterates of a Neumann series, and whether their residuals fall or grow.

use burn_backend::AutodiffBackend;

use crate::space::ParamVector;

/// Iterations without a new smallest residual, though it does not grow: rounding.
const STAGNATION: usize = 50;
/// Growth over the smallest residual at which the series has diverged.
const GROWTH: f64 = 1.5;
/// Iterations in a row with slight growth at which it has diverged, too.
const STEADY_GROWTH: usize = 10;

/// An iterate and what is known of it.
#[derive(Clone)]
pub(super) struct State<B: AutodiffBackend> {
    pub(super) x: ParamVector<B>,
    pub(super) r: ParamVector<B>,
    /// M⁻¹r
    pub(super) z: ParamVector<B>,
    /// ‖r‖
    pub(super) residual: f64,
    /// rᵀz, which falls and grows as the series converges and diverges.
    pub(super) rho: f64,
}

/// How the residuals have been going.
pub(super) struct Trend<B: AutodiffBackend> {
    /// The iterate with the smallest rᵀz.
    pub(super) best: State<B>,
    /// Iterations since then.
    since: usize,
    /// Growing iterations in a row.
    growing: usize,
}

impl<B: AutodiffBackend> Trend<B> {
    pub(super) fn new(start: State<B>) -> Self {
        Self { best: start, since: 0, growing: 0 }
    }

    /// Whether there has been no new smallest residual for so long that only rounding is left.
    pub(super) fn stagnates(&self) -> bool {
        self.since >= STAGNATION
    }

    /// Takes the next iterate; true if the residual grows. For a symmetric iteration the ratio of successive residuals never
    /// falls, so that a residual that grows beyond rounding keeps growing.
    pub(super) fn grows(&mut self, state: &State<B>) -> bool {
        if state.rho < self.best.rho {
            self.best = state.clone();
            (self.since, self.growing) = (0, 0);
            return false;
        }
        self.since += 1;
        let growth = (state.rho / self.best.rho).sqrt();
        self.growing += usize::from(growth > 1.0 + 1e-3);
        growth > GROWTH || self.growing >= STEADY_GROWTH
    }
}
