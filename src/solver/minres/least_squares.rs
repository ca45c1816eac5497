//! Systems without a solution: notices them, goes back to the least-squares solution, and makes it the shortest.

use burn_backend::AutodiffBackend;

use super::run::Run;
use crate::{
    error::Error,
    solver::{MinresConfig, Solution, SolveOptions, StopReason},
    space::{DeviceScalar, ParamVector},
};

/// The x with the smallest A r so far.
pub(super) struct Candidate<B: AutodiffBackend> {
    x: ParamVector<B>,
    /// ‖A r‖ / ‖r‖
    root: f64,
}

/// What became of a claim that x is a least-squares solution.
pub(super) enum Outcome<B: AutodiffBackend> {
    /// It is; here it is without its part in the null space.
    Accepted(ParamVector<B>),
    /// It is not, or it solves the system; x and b − A x.
    Refused(ParamVector<B>, ParamVector<B>),
}

/// What decides on a candidate.
struct Test {
    /// ‖A M⁻¹r‖ in the norm of M⁻¹
    normal: f64,
    /// rᵀM⁻¹r
    square: f64,
    /// ‖x‖
    size: f64,
}

impl<B: AutodiffBackend> Run<'_, '_, B> {
    /// A rise of A r above its smallest value from which the tridiagonal is examined.
    const RISE: f64 = 10.0;

    /// Whether the next step would follow the null space of A; `root` is ‖A r‖ / ‖r‖ before it. Keeps the best x.
    pub(super) fn meets_null_space(&mut self, x: &ParamVector<B>, root: f64) -> bool {
        let small = root <= self.candidates_below() * self.scale;
        let best = self.candidate.as_ref().map(|best| best.root);
        let rises = best.is_some_and(|best| root >= Self::RISE * best);
        if best.is_some() && (small || rises) && self.is_singular() {
            return true; // x has run off already
        }
        if small && best.is_none_or(|best| root < best) {
            self.candidate = Some(Candidate { x: x.clone(), root });
        }
        root <= self.cut * self.scale
    }

    /// ‖A r‖ / ‖A‖ ‖r‖ from which x is remembered: well above the √ε or so to which rounding lets it fall.
    fn candidates_below(&self) -> f64 {
        self.system.rhs().precision().epsilon().cbrt().max(self.cut)
    }

    fn is_singular(&self) -> bool {
        self.estimate.smallest_singular_value() <= self.cut * self.scale
    }

    /// Stops for a reason, unless a least-squares solution was passed on the way.
    pub(super) fn finish_or_fall_back(
        mut self,
        x: ParamVector<B>,
        reason: StopReason,
    ) -> Result<Solution<B>, Error> {
        if self.candidate.is_none() || !self.is_singular() {
            return self.finish(x, reason);
        }
        match self.least_squares(x)? {
            Outcome::Accepted(x) => self.finish(x, StopReason::LeastSquares),
            Outcome::Refused(x, _) => self.finish(x, reason),
        }
    }

    /// Goes back to the candidate, and takes its part in the null space out of it.
    pub(super) fn least_squares(&mut self, x: ParamVector<B>) -> Result<Outcome<B>, Error> {
        let (x, r) = match self.candidate.take() {
            Some(candidate) => {
                let r = self.monitor.check(self.system, &candidate.x)?;
                (candidate.x, r)
            }
            None => self.verify(x)?,
        };
        let z = self.preconditioner.apply(&r)?.unwrap_or_else(|| r.clone()); //     M⁻¹r
        let normal = self.system.multiply(&z)?; //                          A M⁻¹r
        let test = self.test(&x, &r, &z, &normal)?;
        let epsilon = x.precision().epsilon();
        let rounding = 10.0 * epsilon * (self.scale * test.size + self.monitor.rhs_norm);
        let allowed = 10.0 * self.candidates_below() * self.scale * test.square.sqrt();
        // A comparison with NaN is false.
        let holds = test.normal <= allowed
            && self.monitor.true_residual > self.monitor.threshold.max(rounding);
        if !holds {
            return Ok(Outcome::Refused(x, r));
        }
        let x = if self.preconditioner.is_some() {
            self.shorten(x, &r, &z)?
        } else {
            self.refine(x, r, &normal, &test)?
        };
        self.monitor.check(self.system, &x)?;
        Ok(Outcome::Accepted(x))
    }

    fn test(
        &self,
        x: &ParamVector<B>,
        r: &ParamVector<B>,
        z: &ParamVector<B>,
        normal: &ParamVector<B>,
    ) -> Result<Test, Error> {
        let preconditioned = self.preconditioner.apply(normal)?;
        let normal = normal.dot_device(preconditioned.as_ref().unwrap_or(normal))?;
        let (square, size) = (r.dot_device(z)?, x.dot_device(x)?);
        let read = DeviceScalar::read_many(&[&normal, &square, &size])?;
        let [normal, square, size] = read.as_slice().try_into().unwrap_or([f64::NAN; 3]);
        Ok(Test { normal: normal.max(0.0).sqrt(), square, size: size.sqrt() })
    }

    /// x without its part along z = M⁻¹r, where r is in the null space.
    fn shorten(
        &self,
        x: ParamVector<B>,
        r: &ParamVector<B>,
        z: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        let moved = x.clone().sub(&self.origin)?;
        let read = DeviceScalar::read_many(&[&r.dot_device(&moved)?, &r.dot_device(z)?])?;
        let [overlap, square] = read.as_slice().try_into().unwrap_or([f64::NAN; 2]);
        Ok(x.axpy(-overlap / square, z)?)
    }

    /// x + d with d = A⁺r, without its part along the rest r − w of r in the null space, by A w = A r and A d = w. Both
    /// right-hand sides are in the range of A but for rounding, to which their tolerances are set: that of A r, and κ
    /// times as much of w.
    fn refine(
        &self,
        x: ParamVector<B>,
        r: ParamVector<B>,
        normal: &ParamVector<B>,
        test: &Test,
    ) -> Result<ParamVector<B>, Error> {
        let noise = 0.25 * self.cut * test.square.sqrt();
        let Some(projected) = self.part(normal, self.scale * noise / test.normal)? else {
            return self.shorten(x, &r, &r);
        };
        let spectrum = projected.report.spectrum;
        let condition = spectrum.and_then(|s| s.condition).unwrap_or(f64::INFINITY);
        let tolerance = condition * noise / projected.x.norm()?;
        let x = match self.part(&projected.x, tolerance)? {
            Some(correction) => x.add(&correction.x)?,
            None => x,
        };
        let null = r.sub(&projected.x)?;
        self.shorten(x, &null, &null)
    }

    /// Solves with another right-hand side, or `None` if that is not worth it or did not go well.
    fn part(&self, rhs: &ParamVector<B>, tolerance: f64) -> Result<Option<Solution<B>>, Error> {
        if !(tolerance > 0.0 && tolerance < 0.3) {
            return Ok(None);
        }
        let config = MinresConfig {
            relative_tolerance: tolerance,
            absolute_tolerance: 0.0,
            singular_below: Some(f64::MIN_POSITIVE), // b is in the range
            ..self.config.clone()
        };
        let system = self.system.with_rhs(rhs)?;
        let solution = super::run::solve(&config, &system, SolveOptions::new())?;
        let good = solution.report.stop.is_success();
        Ok(good.then_some(solution))
    }
}
