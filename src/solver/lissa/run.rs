//! The recursion of LiSSA, as in Agarwal, Bullins and Hazan (2017), and the average over its repeats.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::FiniteSum,
    space::{DeviceScalar, ParamSpace, ParamVector},
};

use super::super::{
    Iteration, Method, MethodDetail, Solution, SolveOptions, SolveReport, SolverError, StopReason,
    options::Observer, system::System,
};
use super::{
    LissaConfig,
    terms::{Draws, Terms},
};

/// Steps between two looks at ‖h‖, after the first few.
const PERIOD: usize = 64;
/// How many times beyond what terms with eigenvalues from 0 to 2·scale allow ‖h‖ may go.
const MARGIN: f64 = 10.0;
/// Room for estimates from below, as a factor of the scale.
const SCALE_MARGIN: f64 = 1.2;
/// Time constants that leave a twentieth of the start.
const ENOUGH: f64 = 3.0;

/// Solves one system.
pub(super) fn solve<B: AutodiffBackend>(
    config: &LissaConfig,
    operator: &dyn FiniteSum<B>,
    system: &System<'_, B>,
    options: SolveOptions<'_, B>,
) -> Result<Solution<B>, Error> {
    let rhs = system.rhs();
    let rhs_norm = system.rhs_norm(rhs.dot(rhs)?)?;
    let guess = system.checked_guess(options.initial_guess)?.filter(|_| rhs_norm > 0.0);
    let terms = Terms::new(operator);
    let scale = match config.scale {
        Some(scale) => scale,
        None => chosen_scale(&terms, config.seed)?,
    };
    let known = (operator.damping() > 0.0).then(|| operator.damping());
    let run = Run {
        config,
        system,
        terms,
        observer: options.observer,
        rhs_norm,
        scale,
        time_constants: config
            .smallest
            .or(known)
            .map(|smallest| config.depth as f64 * smallest / scale),
        start: match guess {
            Some(guess) => guess.scale(scale),
            None => rhs.clone(),
        },
        steps: 0,
        largest: None,
    };
    run.solve()
}

fn chosen_scale<B: AutodiffBackend>(terms: &Terms<'_, B>, seed: u64) -> Result<f64, Error> {
    let found = terms.largest(seed)?;
    let scale = SCALE_MARGIN * found;
    if scale.is_finite() && scale > 0.0 {
        return Ok(scale);
    }
    Err(SolverError::NoScale { found }.into())
}

/// One solve in progress.
struct Run<'a, 'o, B: AutodiffBackend> {
    config: &'a LissaConfig,
    system: &'a System<'a, B>,
    terms: Terms<'a, B>,
    observer: Option<Observer<'o, B>>,
    rhs_norm: f64,
    scale: f64,
    time_constants: Option<f64>,
    /// h₀
    start: ParamVector<B>,
    steps: usize,
    /// The largest ‖Aᵢh‖/‖h‖ seen.
    largest: Option<f64>,
}

/// The average of vectors, and how they scatter about it (Welford 1962).
struct Average<B: AutodiffBackend> {
    mean: ParamVector<B>,
    count: usize,
    /// Σ ‖x − mean‖²
    scatter: f64,
}

impl<B: AutodiffBackend> Average<B> {
    fn new(space: &ParamSpace<B>) -> Self {
        Self { mean: space.zeros(), count: 0, scatter: 0.0 }
    }

    fn push(&mut self, x: &ParamVector<B>) -> Result<(), Error> {
        self.count += 1;
        let before = x.clone().sub(&self.mean)?;
        self.mean = self.mean.clone().axpy(1.0 / self.count as f64, &before)?;
        self.scatter += before.dot(&x.clone().sub(&self.mean)?)?;
        Ok(())
    }

    /// √E‖mean − E mean‖², estimated.
    fn standard_error(&self) -> Option<f64> {
        let count = self.count as f64;
        let variance = self.scatter.max(0.0) / (count * (count - 1.0));
        (self.count > 1).then(|| variance.sqrt())
    }
}

impl<B: AutodiffBackend> Run<'_, '_, B> {
    fn solve(mut self) -> Result<Solution<B>, Error> {
        let mut average = Average::new(self.system.rhs().space());
        if self.rhs_norm == 0.0 {
            return self.finish(average, StopReason::Converged);
        }
        for repeat in 0..self.config.repeats {
            let Some(h) = self.recursion(repeat)? else {
                return self.finish(average, StopReason::Diverged);
            };
            average.push(&h.scale(1.0 / self.scale))?;
            self.observe(&average)?;
        }
        let short = self.time_constants.is_some_and(|constants| constants < ENOUGH);
        let stop = if short { StopReason::UnderConverged } else { StopReason::Sampled };
        self.finish(average, stop)
    }

    /// One repeat: h after `depth` steps, or `None` if it diverges.
    fn recursion(&mut self, repeat: usize) -> Result<Option<ParamVector<B>>, Error> {
        let rhs = self.system.rhs();
        let mut draws = Draws::new(self.terms.len(), self.config.seed, repeat);
        let mut h = self.start.clone();
        for step in 1..=self.config.depth {
            let product = self.terms.apply(draws.next(), &h)?; //               Aᵢ h
            let looks = step == self.config.depth || is_time_to_look(step);
            if looks && self.diverges(step, &h, &product)? {
                return Ok(None);
            }
            h = h.axpy(-1.0 / self.scale, &product)?.add(rhs)?; //              h ← b + (I − Aᵢ/c) h
            self.steps += 1;
        }
        Ok(Some(h))
    }

    /// Terms with eigenvalues from 0 to 2·scale let ‖h‖ grow by ‖b‖ per step at most.
    fn diverges(
        &mut self,
        step: usize,
        h: &ParamVector<B>,
        product: &ParamVector<B>,
    ) -> Result<bool, Error> {
        let squares = [&h.dot_device(h)?, &product.dot_device(product)?];
        let read = DeviceScalar::read_many(&squares)?;
        let [h_square, product_square] = read.as_slice().try_into().unwrap_or([f64::NAN; 2]);
        if !(h_square.is_finite() && product_square.is_finite()) {
            self.blame()?;
            return Ok(true);
        }
        let ratio = (product_square / h_square).sqrt();
        if ratio.is_finite() {
            self.largest = Some(self.largest.map_or(ratio, |largest| largest.max(ratio)));
        }
        let allowed = step as f64 * self.rhs_norm + self.start.norm()?;
        Ok(h_square.sqrt() > MARGIN * allowed)
    }

    /// Finds out whether values that are not finite come from the operator or from growth.
    fn blame(&self) -> Result<(), Error> {
        let product = self.system.multiply(self.system.rhs())?;
        product.expect_finite("the product A b")?;
        Ok(())
    }

    fn observe(&mut self, average: &Average<B>) -> Result<(), Error> {
        let Some(observer) = &mut self.observer else {
            return Ok(());
        };
        let x = &average.mean;
        let (r, residual) = self.system.checked_residual(x)?;
        let rhs = self.system.rhs();
        // xᵀA x = xᵀ(b − r) and ½ xᵀA x − bᵀx = −½ xᵀ(b + r)
        let square = x.dot(x)?;
        let curvature = x.dot(&rhs.clone().sub(&r)?)?;
        observer(&Iteration {
            index: average.count,
            residual,
            relative_residual: residual / self.rhs_norm,
            curvature: curvature / square,
            objective: -0.5 * x.dot(&r.add(rhs)?)?,
            x,
        });
        Ok(())
    }

    fn finish(self, average: Average<B>, stop: StopReason) -> Result<Solution<B>, Error> {
        let standard_error = average.standard_error();
        let repeats = average.count;
        let x = average.mean;
        let (_, residual) = self.system.checked_residual(&x)?;
        let detail = MethodDetail::Lissa {
            scale: self.scale,
            depth: self.config.depth,
            repeats,
            term_products: self.terms.products(),
            largest: self.largest,
            standard_error,
            time_constants: self.time_constants,
        };
        let norms = (self.rhs_norm, residual);
        let report = SolveReport {
            iterations: self.steps,
            detail: Some(detail),
            ..SolveReport::new(Method::Lissa, stop, self.system, norms)
        };
        Ok(Solution { x, report, negative_curvature: None })
    }
}

/// Often at first, when a scale that is far too small shows within a few steps.
fn is_time_to_look(step: usize) -> bool {
    step.is_multiple_of(PERIOD) || (step < PERIOD && step.is_power_of_two())
}
