//! ℒ(θ, η): an objective of a model and of hyperparameters.

use std::{fmt, sync::Arc};

use burn::{
    backend::{Autodiff, Dispatch},
    module::Module,
};
use burn_backend::AutodiffBackend;

use super::split::Split;
use crate::{
    capture::{Batch, Captured},
    communicator::Communicator,
    derive::ProgramBackend,
    error::Error,
    objective::{CaptureConfig, Objective, Reduction},
    space::ParamVector,
    tensor::{DefaultBackend, Precision, TensorBridge},
};

/// A loss ℒ(θ, η) of a model's parameters θ and of hyperparameters η: the inner objective of a bilevel problem, or an outer
/// one that depends on η itself.
///
/// η is a Burn module of its own: float tensors of any shapes in `Param`s, or a whole model, such as one weight decay for
/// every weight. The captured closure receives it as its second argument; the model needs no change. θ and η stay apart: each
/// has its own [`ParamSpace`](crate::ParamSpace), vectors of θ apply to the model and those of η to the module of
/// hyperparameters; mixing them is an error.
///
/// Over data sets, in f64 and on other batches it works as an [`Objective`] does; [`joint`](Self::joint) is the
/// objective of (θ, η) as one.
///
/// # Example
/// ℒ = ½(w − 1)² + ½ η w²: ∂ℒ/∂w = (1 + η)w − 1 and ∂ℒ/∂η = ½w².
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::implicit::HyperObjective;
///
/// #[derive(Module, Debug)]
/// struct Scalar {
///     value: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let scalar = |value: f32| Scalar { value: Param::from_tensor(Tensor::from_floats([value], &device)) };
/// let (model, decay) = (scalar(2.0), scalar(3.0));
/// let inner = HyperObjective::capture(&model, &decay, (), |model, decay, ()| {
///     let (w, decay) = (model.value.val(), decay.value.val());
///     (w.clone() - 1.0).powi_scalar(2) * 0.5 + decay * w.powi_scalar(2) * 0.5
/// })?;
/// let slope = inner.gradient()?;
/// assert_eq!((slope.model.to_vec()?, slope.hyper.to_vec()?), (vec![7.0], vec![2.0]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HyperObjective<B: AutodiffBackend = DefaultBackend> {
    joint: Objective<B>,
    split: Arc<Split>,
}

impl<B: AutodiffBackend> fmt::Debug for HyperObjective<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperObjective")
            .field("parameters", &self.split.model.len())
            .field("hyperparameters", &self.split.hyper.len())
            .field("joint", &self.joint)
            .finish()
    }
}

/// ℒ(θ, η) and its gradients with respect to both.
#[derive(Clone, Debug)]
pub struct HyperGradient<B: AutodiffBackend = DefaultBackend> {
    /// ℒ(θ, η).
    pub value: f64,
    /// ∂ℒ/∂θ.
    pub model: ParamVector<B>,
    /// ∂ℒ/∂η.
    pub hyper: ParamVector<B>,
}

impl HyperObjective<Autodiff<Dispatch>> {
    /// Captures a loss of a model and of hyperparameters on the device their tensors are on, as [`Objective::capture`] does.
    ///
    /// # Errors
    /// [`ImplicitError::NoHyperparameters`](crate::errors::ImplicitError::NoHyperparameters) for a module without trainable
    /// float tensors, [`ImplicitError::Shared`](crate::errors::ImplicitError::Shared); those of [`Objective::capture`].
    pub fn capture<M, E, X, O, L>(model: &M, hyper: &E, batch: X, loss: L) -> Result<Self, Error>
    where
        M: Module + 'static,
        E: Module + 'static,
        X: Batch + Send + 'static,
        O: Captured + 'static,
        L: Fn(&M, &E, X) -> O + Send + 'static,
    {
        Self::capture_with(&CaptureConfig::new(), (model, hyper), batch, loss)
    }
}

impl<B: AutodiffBackend> HyperObjective<B>
where
    B::InnerBackend: ProgramBackend,
{
    /// Captures a loss on a chosen backend `B`, with a choice of mode and engine: as [`Objective::capture_with`].
    ///
    /// # Errors
    /// As [`capture`](HyperObjective::capture); tensors of another backend.
    pub fn capture_with<M, E, X, O, L>(
        config: &CaptureConfig,
        (model, hyper): (&M, &E),
        batch: X,
        loss: L,
    ) -> Result<Self, Error>
    where
        M: Module + 'static,
        E: Module + 'static,
        X: Batch + Send + 'static,
        O: Captured + 'static,
        L: Fn(&M, &E, X) -> O + Send + 'static,
    {
        let split = Split::of(model, hyper)?;
        let pair = (model.clone(), hyper.clone());
        let loss = move |(model, hyper): &(M, E), batch: X| loss(model, hyper, batch);
        let joint = Objective::capture_with(config, &pair, batch, loss)?;
        Ok(Self { joint, split: Arc::new(split) })
    }
}

impl<B: AutodiffBackend> HyperObjective<B> {
    /// The objective of (θ, η) as one, with the names of a pair: those of θ begin with `0.`, those of η with `1.`.
    pub fn joint(&self) -> &Objective<B> {
        &self.joint
    }

    /// θ, laid out as the model.
    pub fn parameters(&self) -> ParamVector<B> {
        self.split.parts(self.joint.parameters()).0
    }

    /// η, laid out as the module of hyperparameters.
    pub fn hyperparameters(&self) -> ParamVector<B> {
        self.split.parts(self.joint.parameters()).1
    }

    /// The precision everything is computed in.
    pub fn precision(&self) -> Precision {
        self.joint.precision()
    }

    /// ℒ(θ, η). Costs one forward pass.
    ///
    /// # Errors
    /// As [`Objective::value`].
    pub fn value(&self) -> Result<f64, Error> {
        self.joint.value()
    }

    /// ℒ, ∂ℒ/∂θ and ∂ℒ/∂η by one forward and one backward pass.
    ///
    /// # Errors
    /// As [`Objective::value_and_gradient`].
    pub fn gradient(&self) -> Result<HyperGradient<B>, Error> {
        let found = self.joint.value_and_gradient()?;
        let (model, hyper) = self.split.parts(&found.gradient);
        Ok(HyperGradient { value: found.value, model, hyper })
    }

    /// The same objective at other parameters and hyperparameters. Nothing is recorded again.
    ///
    /// # Errors
    /// As [`Objective::at`]; vectors of other layouts.
    pub fn at(&self, model: &ParamVector<B>, hyper: &ParamVector<B>) -> Result<Self, Error> {
        let joint = self.joint.at(&self.split.join(model, hyper)?)?;
        Ok(Self { joint, split: Arc::clone(&self.split) })
    }

    /// The same objective with a memory budget for each operator, as [`Objective::with_memory_budget`].
    #[must_use]
    pub fn with_memory_budget(&self, bytes: usize) -> Self {
        self.changed(self.joint.with_memory_budget(bytes))
    }

    /// The same loss over the batches of several ranks, as [`Objective::shared`]. Collective.
    ///
    /// # Errors
    /// As [`Objective::shared`].
    pub fn shared<C: Communicator + 'static>(&self, communicator: Arc<C>) -> Result<Self, Error> {
        Ok(self.changed(self.joint.shared(communicator)?))
    }

    /// At other parameters, keeping its running statistics.
    pub(super) fn at_keeping_buffers(&self, model: &ParamVector<B>) -> Result<Self, Error> {
        let joint = self.split.join(model, &self.hyperparameters())?;
        Ok(self.changed(self.joint.at_keeping_buffers(&joint)?))
    }

    pub(super) fn split(&self) -> &Arc<Split> {
        &self.split
    }

    fn changed(&self, joint: Objective<B>) -> Self {
        Self { joint, split: Arc::clone(&self.split) }
    }
}

impl<B: AutodiffBackend> HyperObjective<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The same objective at the values of a model and of hyperparameters, as [`Objective::at_model`].
    ///
    /// # Errors
    /// As [`Objective::at_model`]; [`ImplicitError::Shared`](crate::errors::ImplicitError::Shared).
    pub fn at_modules<M, E>(&self, model: &M, hyper: &E) -> Result<Self, Error>
    where
        M: Module + 'static,
        E: Module + 'static,
    {
        let split = Split::of(model, hyper)?;
        let joint = self.joint.at_model(&(model.clone(), hyper.clone()))?;
        Ok(Self { joint, split: Arc::new(split) })
    }

    /// The same loss on another batch, as [`Objective::on`].
    ///
    /// # Errors
    /// As [`Objective::on`].
    pub fn on<X: Batch>(&self, batch: X) -> Result<Self, Error> {
        Ok(self.changed(self.joint.on(batch)?))
    }

    /// The same loss over a data set, as [`Objective::over`].
    ///
    /// # Errors
    /// As [`Objective::over`].
    pub fn over<X: Batch>(
        &self,
        batches: impl IntoIterator<Item = X>,
        reduction: impl Into<Reduction>,
    ) -> Result<Self, Error> {
        Ok(self.changed(self.joint.over(batches, reduction)?))
    }

    /// The same loss over a data set that is fetched again for every pass, as [`Objective::over_stream`].
    ///
    /// # Errors
    /// As [`Objective::over_stream`].
    pub fn over_stream<X, F>(
        &self,
        reduction: impl Into<Reduction>,
        stream: F,
    ) -> Result<Self, Error>
    where
        X: Batch + 'static,
        F: Fn(&mut dyn FnMut(X) -> Result<(), Error>) -> Result<(), Error> + Send + Sync + 'static,
    {
        Ok(self.changed(self.joint.over_stream(reduction, stream)?))
    }

    /// The same objective computed in f64, from the same recording.
    ///
    /// # Errors
    /// A backend without f64.
    pub fn in_f64(&self) -> Result<Self, Error> {
        Ok(self.changed(self.joint.in_f64()?))
    }
}
