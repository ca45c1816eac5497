//! How a loss is traced and differentiated.

use serde::{Deserialize, Serialize};

/// Whether layers that behave differently during training are traced in evaluation mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// As the model is: if it would train with Dropout or batch statistics, tracing fails and says so.
    ///
    /// A model without an autodiff device, as `valid()` returns it, is in evaluation mode.
    #[default]
    AsGiven,
    /// Dropout, noise and batch statistics off, as at inference. Curvature of a trained model usually wants this.
    Evaluation,
}

/// How Hessian products are computed. Both give the same numbers up to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// A recorded program, of which the part that does not depend on v has run once.
    #[default]
    Compiled,
    /// Reverse over reverse on the backend's tape, anew for every product; less memory between products.
    Eager,
}

/// What is kept between Hessian products of [`Engine::Compiled`]. Both give the same numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    /// What does not depend on v is computed once per (θ, batch) and kept: about the memory of one gradient.
    #[default]
    Keep,
    /// Nothing is kept: every product costs about half a gradient more.
    Recompute,
}

/// How a loss is traced.
///
/// | parameter | default | purpose |
/// |---|---|---|
/// | `mode` | [`Mode::AsGiven`] | layers that differ between training and evaluation |
/// | `engine` | [`Engine::Compiled`] | how Hessian products are computed |
/// | `memory` | [`Memory::Keep`] | what is kept between Hessian products |
/// | `check` | `true` | compare the recorded gradient with Burn's `backward()` |
/// | `tolerance` | `1e-3`; `1e-2` for models with GELU | largest relative difference of that comparison, per parameter |
///
/// GELU has a wider tolerance because its derivative in Burn is, on ndarray and other backends, that of the tanh
/// approximation; here it is that of GELU itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceConfig {
    pub(super) mode: Mode,
    pub(super) engine: Engine,
    #[serde(default)]
    pub(super) memory: Memory,
    pub(super) check: bool,
    pub(super) tolerance: Option<f64>,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self {
            mode: Mode::AsGiven,
            engine: Engine::Compiled,
            memory: Memory::Keep,
            check: true,
            tolerance: None,
        }
    }
}

impl TraceConfig {
    /// The defaults of the table above.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that evaluation mode is what is meant, for models with Dropout, BatchNorm or noise.
    #[must_use]
    pub fn evaluation(mut self) -> Self {
        self.mode = Mode::Evaluation;
        self
    }

    /// Chooses how Hessian products are computed.
    #[must_use]
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Chooses what is kept between Hessian products.
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }

    /// Traces without comparing the gradient with Burn's; saves one forward and one backward pass.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.check = false;
        self
    }

    /// Sets the largest relative difference from Burn's gradient that is taken for rounding.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = Some(tolerance);
        self
    }
}
