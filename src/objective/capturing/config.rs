//! How a loss is captured and differentiated.

use burn::config::Config;
use serde::{Deserialize, Serialize};

use crate::objective::FaithfulnessError;

/// Whether layers that behave differently during training are captured in evaluation mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The mode of the model: if it would train with Dropout or batch statistics, capturing fails and says so.
    ///
    /// A model without an autodiff device, as `valid()` returns it, is in evaluation mode.
    #[default]
    AsGiven,
    /// Dropout, noise and batch statistics off, as at inference. Curvature of a trained model usually wants this, and so does
    /// [`KfacOptimizer`](crate::KfacOptimizer), which takes the gradient in the mode of the model that it is given.
    Evaluation,
    /// Training mode: batch statistics are part of the program, masks and noise are drawn once.
    Training,
}

/// How Hessian products are computed. Both give the same values up to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// A recorded program, of which the part that does not depend on v has run once.
    #[default]
    Compiled,
    /// Reverse over reverse on the backend's tape, from scratch for every product; less memory between products.
    ///
    /// Needs a typed backend, such as `Autodiff<Flex>`: on `Autodiff<Dispatch>`, which [`Objective::capture`] uses, Burn
    /// 0.22 cannot put one tape over another, and every product is refused with [`DeriveError::Eager`].
    ///
    /// [`Objective::capture`]: crate::Objective::capture
    /// [`DeriveError::Eager`]: crate::errors::DeriveError::Eager
    Eager,
}

/// How a loss is captured: [`init`](CaptureConfig::init) does it.
///
/// It is a [`Config`] of Burn: it can be saved and loaded, and fields that are missing in a file keep their defaults.
///
/// | parameter | default | purpose |
/// |---|---|---|
/// | `mode` | [`Mode::AsGiven`] | layers that differ between training and evaluation |
/// | `engine` | [`Engine::Compiled`] | how Hessian products are computed |
/// | `compare` | `true` | compare the recorded gradient with Burn's `backward()` |
/// | `draws` | `None` | the seed of random values that are drawn once; without one they are refused |
/// | `tolerance` | `1e-3`; `1e-2` for models with GELU | largest relative difference of that comparison, per parameter |
///
/// The gradients are compared at the model's parameters. If they differ or vanish there, they are compared at points nearby,
/// since at an optimum a gradient is nothing but rounding. For a model on another device than the CPU, they are also compared
/// on the CPU (with the feature `flex`): first, if the loss is small, or else if the device's arithmetic leaves a difference.
/// If the recorded loss is the wrong one, the gradients differ there too.
///
/// GELU has a wider tolerance because its derivative in Burn is, on ndarray and other backends, that of the tanh
/// approximation; here it is that of GELU itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureConfig {
    pub(in crate::objective) mode: Mode,
    pub(in crate::objective) engine: Engine,
    pub(in crate::objective) compare: bool,
    pub(in crate::objective) draws: Option<u64>,
    pub(in crate::objective) tolerance: Option<f64>,
}

impl Config for CaptureConfig {}

impl Default for CaptureConfig {
    fn default() -> Self {
        let (mode, engine) = (Mode::AsGiven, Engine::Compiled);
        Self { mode, engine, compare: true, draws: None, tolerance: None }
    }
}

impl CaptureConfig {
    /// The defaults of the table above.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses evaluation mode, for models with Dropout, BatchNorm or noise.
    #[must_use]
    pub fn evaluation(mut self) -> Self {
        self.mode = Mode::Evaluation;
        self
    }

    /// Chooses training mode: layers in training mode are recorded as training runs them. Batch norm normalizes by the
    /// statistics of each batch, and these are differentiated; the masks of Dropout and other noise are drawn once, as
    /// [`draw_once`](Self::draw_once) draws them. The model's running statistics stay as they are.
    #[must_use]
    pub fn training(mut self, seed: u64) -> Self {
        self.mode = Mode::Training;
        self.draw_once(seed)
    }

    /// Chooses how Hessian products are computed.
    #[must_use]
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Captures without comparing the gradient with Burn's; saves one forward and one backward pass.
    ///
    /// A recording of the wrong loss may then go unnoticed: with layers in training mode, or where the closure catches a
    /// failed read of a value. Random values are still refused. Stop-gradients are still recorded, but only if the closure
    /// can be searched for them.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.compare = false;
        self
    }

    /// Draws the random values of the closure once, from a seed: they are constants of the objective.
    ///
    /// The same seed gives the same values in every evaluation, in every precision and on every device; batches of equal
    /// sizes share them. The loss is then one sample of a random loss, such as that of a variational autoencoder. As
    /// Burn's own `backward()` draws other values, the gradients are not compared.
    ///
    /// ```
    /// use burn::{module::Param, prelude::*, tensor::Distribution};
    /// use burn_curvature::CaptureConfig;
    ///
    /// #[derive(Module, Debug)]
    /// struct Shift {
    ///     w: Param<Tensor<1>>,
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::flex().autodiff();
    /// let model = Shift { w: Param::from_tensor(Tensor::from_floats([1.0], &device)) };
    /// let x = Tensor::<1>::from_floats([2.0], &device);
    /// let objective = CaptureConfig::new().draw_once(7).init(&model, x, |model, x: Tensor<1>| {
    ///     let noise = x.random_like(Distribution::Normal(0.0, 1.0)); // ε
    ///     (model.w.val() * noise + x).square().sum() // (w·ε + 2)²
    /// })?;
    /// assert_eq!(objective.value()?, objective.value()?);
    ///
    /// let epsilon = objective.value()?.sqrt() - 2.0; // or −√ℓ − 2
    /// let v = objective.parameters().space().vector(&[1.0])?;
    /// let curvature = objective.hessian_vector_product(&v)?.to_vec()?[0]; // 2ε²
    /// let other = -objective.value()?.sqrt() - 2.0;
    /// let close = |epsilon: f64| (curvature - 2.0 * epsilon * epsilon).abs() < 1e-4 * curvature;
    /// assert!(close(epsilon) || close(other));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn draw_once(mut self, seed: u64) -> Self {
        self.draws = Some(seed);
        self
    }

    /// Sets the largest relative difference from Burn's gradient that counts as rounding.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// Refuses a tolerance that no comparison can use.
    pub(in crate::objective) fn check(&self) -> Result<(), FaithfulnessError> {
        match self.tolerance {
            Some(found) if found.is_nan() || found <= 0.0 => {
                Err(FaithfulnessError::Tolerance { found })
            }
            _ => Ok(()),
        }
    }
}
