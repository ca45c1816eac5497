//! One model and loss, captured and checked.

use std::collections::BTreeSet;

use burn::{module::Module, prelude::*, tensor::TensorData};
use burn_curvature::{
    Batch, CaptureConfig, Captured, Likelihood, LinearOperator, Objective, Reduction,
    check::{Check, CurvatureCheckConfig, CurvatureReport, Outcome},
    errors::CaptureError,
    kfac::{KfacConfig, KfacFisher, UncoveredPolicy},
};

use crate::{deterministic::Synthetic, random::SplitMix64};

/// The device that all models train on.
pub fn device() -> Device {
    Device::flex().autodiff()
}

/// A model with parameters that do not depend on the order of tests.
pub fn drawn<M: Module>(model: M) -> M {
    Synthetic::new(1).fill(model)
}

/// Values of the standard normal distribution.
pub fn normal<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let values = SplitMix64::new(seed).normals(shape.iter().product());
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// Values in `[0, 1)`.
pub fn unit<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    Synthetic::new(seed).unit(shape, &device())
}

/// Integers in `0..classes`.
pub fn labels<const D: usize>(shape: [usize; D], classes: usize, seed: u64) -> Tensor<D, Int> {
    Synthetic::new(seed).below(classes, shape, &device())
}

/// Lines on outputs.
pub const OF_OUTPUTS: [Check; 4] =
    [Check::Jacobian, Check::Adjoint, Check::GaussNewton, Check::PositiveSemidefinite];

/// Lines that take differences: they see through stopped gradients.
pub const DIFFERENTIATED: [Check; 2] = [Check::Gradient, Check::HessianProduct];

/// Lines on a likelihood.
const OF_LIKELIHOODS: [Check; 3] = [Check::Likelihood, Check::KfacBlocks, Check::KfacTrace];

/// A captured loss, and which lines do not apply to it.
pub struct Stranger {
    objective: Objective,
    config: CurvatureCheckConfig,
    likelihood: Option<Likelihood>,
    has_layers: bool,
    skipped: BTreeSet<String>,
}

/// The loss of a model as it is.
pub fn as_given<M, X, O, L>(model: M, batch: X, loss: L) -> Stranger
where
    M: Module + 'static,
    X: Batch + Send + 'static,
    O: Captured + 'static,
    L: Fn(&M, X) -> O + Send + 'static,
{
    captured(CaptureConfig::new(), model, batch, loss)
}

/// The loss of a model in evaluation mode.
pub fn evaluated<M, X, O, L>(model: M, batch: X, loss: L) -> Stranger
where
    M: Module + 'static,
    X: Batch + Send + 'static,
    O: Captured + 'static,
    L: Fn(&M, X) -> O + Send + 'static,
{
    captured(CaptureConfig::new().evaluation(), model, batch, loss)
}

/// The loss of a model, captured as configured.
pub fn captured<M, X, O, L>(config: CaptureConfig, model: M, batch: X, loss: L) -> Stranger
where
    M: Module + 'static,
    X: Batch + Send + 'static,
    O: Captured + 'static,
    L: Fn(&M, X) -> O + Send + 'static,
{
    let objective = config.init(&drawn(model), batch, loss).expect("the loss is captured");
    // On tensors whose device decides at run time, Burn cannot put one tape over another.
    let skipped = [Check::Engines, Check::BatchInvariance].into_iter().chain(OF_LIKELIHOODS);
    Stranger {
        objective,
        config: CurvatureCheckConfig::new().with_timings(0),
        likelihood: None,
        has_layers: true,
        skipped: skipped.map(|check| check.to_string()).collect(),
    }
}

/// A loss that cannot be captured, for a reason that the message names.
#[track_caller]
pub fn not_captured<M, X, O, L>(model: M, batch: X, loss: L, reason: &str)
where
    M: Module + 'static,
    X: Batch + Send + 'static,
    O: Captured + 'static,
    L: Fn(&M, X) -> O + Send + 'static,
{
    let error = CaptureConfig::new().init(&drawn(model), batch, loss).unwrap_err();
    assert!(error.is::<CaptureError>(), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

impl Stranger {
    /// Whose loss is the mean over the samples of the batch.
    pub fn mean(self) -> Self {
        self.reduced(Reduction::Mean)
    }

    /// The mean over the samples of several batches.
    pub fn mean_over<X: Batch>(mut self, batches: impl IntoIterator<Item = X>) -> Self {
        self.objective =
            self.objective.over(batches, Reduction::Mean).expect("the reduction holds");
        self.applies(&[Check::BatchInvariance])
    }

    fn reduced(mut self, reduction: Reduction) -> Self {
        self.objective = self.objective.reduced_by(reduction).expect("the reduction holds");
        self.applies(&[Check::BatchInvariance])
    }

    /// Whose loss is the negative logarithm of a likelihood; K-FAC is computed by its defaults.
    pub fn with(mut self, likelihood: Likelihood) -> Self {
        self.config = self.config.with_likelihood(likelihood).with_kfac(KfacConfig::new());
        self.likelihood = Some(likelihood);
        self.applies(&OF_LIKELIHOODS)
    }

    /// Lines that do not apply, for a reason that the test names.
    pub fn without(mut self, checks: &[Check]) -> Self {
        self.skipped.extend(checks.iter().map(ToString::to_string));
        self
    }

    /// Whose parameters all belong to no layer of K-FAC. It still has blocks, which are compared.
    pub fn without_layers(mut self) -> Self {
        self.has_layers = false;
        self.without(&[Check::KfacBlocks, Check::KfacTrace])
    }

    fn applies(mut self, checks: &[Check]) -> Self {
        for check in checks {
            self.skipped.remove(&check.to_string());
        }
        self
    }

    /// Every line that applies is ✓.
    #[track_caller]
    pub fn passes(self) {
        let report = self.report();
        assert!(report.is_ok(), "{report}");
        // A loss that is not convex in its outputs has an indefinite Gauss-Newton matrix.
        let semidefinite = Check::PositiveSemidefinite.to_string();
        let mut found: BTreeSet<String> =
            report.skipped().map(|line| line.check.to_string()).collect();
        let mut expected = self.skipped.clone();
        found.remove(&semidefinite);
        expected.remove(&semidefinite);
        assert_eq!(found, expected, "lines that do not apply\n{report}");
        let approximated = !self.has_layers || !expected.contains(&Check::KfacTrace.to_string());
        if let Some(likelihood) = self.likelihood.filter(|_| approximated) {
            self.has_the_factors_that_it_names(likelihood);
            self.has_the_factors_with_the_gradient(likelihood);
        }
    }

    /// Factors and estimated diagonals by the program of the gradient are those of passes of their own.
    fn has_the_factors_with_the_gradient(&self, likelihood: Likelihood) {
        let objective = self.objective.in_f64().unwrap();
        let v = objective.parameters().space().normal(2);
        let diagonal = UncoveredPolicy::Diagonal { probes: 2, seed: 3 };
        for config in [KfacConfig::new(), KfacConfig::new().with_uncovered(diagonal)] {
            let alone = config.init(&objective, likelihood).unwrap().apply(&v).unwrap();
            let (kfac, at) = config.init_with_gradient(&objective, likelihood).unwrap();
            let gradient = objective.gradient().unwrap();
            for (found, expected) in [(kfac.apply(&v).unwrap(), alone), (at.gradient, gradient)] {
                let difference = found.sub(&expected).unwrap().norm().unwrap();
                let size = expected.norm().unwrap();
                assert!(difference <= 1e-10 * size, "{config}: {difference} of {size}");
            }
        }
    }

    /// K-FAC by its defaults is, to the bit, that of the choice which its report names.
    fn has_the_factors_that_it_names(&self, likelihood: Likelihood) {
        let product = |config: KfacConfig| {
            let kfac = config.init(&self.objective, likelihood).unwrap();
            let v = self.objective.parameters().space().normal(1);
            (kfac.coverage().fisher().unwrap(), kfac.apply(&v).unwrap().to_vec().unwrap())
        };
        let (named, found) = product(KfacConfig::new());
        assert!(!matches!(named, KfacFisher::ExactWhereCheap { .. }));
        assert_eq!(product(KfacConfig::new().with_fisher(named)), (named, found));
    }

    /// A line is skipped with a reason that says `reason`; all others as in [`passes`](Self::passes).
    #[track_caller]
    pub fn refuses(self, check: Check, reason: &str) {
        let report = self.report();
        let line = report.line(check).unwrap();
        assert!(line.outcome == Outcome::Skipped && line.note.contains(reason), "{report}");
        self.without(&[check]).passes();
    }

    fn report(&self) -> CurvatureReport {
        self.config.init().unwrap().run(&self.objective).unwrap()
    }
}
