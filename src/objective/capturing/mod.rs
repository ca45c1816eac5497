//! Makes objectives from a model and a closure.

mod config;
mod faithfulness;
mod recorder;
mod source;
mod structure;

pub use config::{CaptureConfig, Engine, Mode};
pub use faithfulness::FaithfulnessError;
pub(super) use recorder::Recorder;
pub(crate) use source::layers_in_training_mode;
pub(super) use structure::Structure;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use burn::{
    backend::Dispatch,
    module::{Module, ParamId},
};
use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend, tensor::Device};

use super::{
    Objective, Settings,
    batches::{Counted, Part, Parts},
    values::Values,
};
use crate::{
    capture::{Batch, Captured, Choices},
    derive::{Product, ProgramBackend},
    error::Error,
    execute::{ExecuteError, supports},
    space::{Buffers, ParamVector},
    tensor::Precision,
};
use faithfulness::BurnLoss;
use source::{InTraining, ModelSource};

impl Objective<Autodiff<Dispatch>> {
    /// Captures the loss of a model, on the device of the model's tensors.
    ///
    /// The closure receives the model and the batch, as in a training loop, and returns the loss, or `(outputs, loss)`.
    /// The loss is a scalar, or a [`Loss`](crate::Loss) that states what it averages over. The closure is run once to
    /// be recorded, once to find its stop-gradients, and once to compare the recording's gradient with Burn's own
    /// `backward()`. Recording needs shapes, not values: the closure may not read values, except for single booleans
    /// that it computes (`x.greater_scalar(0.0).all().into_scalar::<bool>()`). For each of these the closure is run
    /// once more, and every evaluation of the loss checks that the closure would still read the same; if not, it
    /// returns [`ObjectiveError::OtherTruth`](crate::errors::ObjectiveError::OtherTruth). Integers may be moved to
    /// another tensor, as `one_hot` does, as long as nothing inspects their values.
    ///
    /// The closure may depend on its arguments only: whatever varies must be in the batch. While it is recorded, its
    /// arguments are on a recording device, and a tensor from outside must be moved there:
    /// `t.without_autodiff().to_device(&x.device())` makes a constant of a tensor `t`, `other.valid().to_device(&x.device())`
    /// of a module `other`. A frozen module that the loss needs can also be captured with the model, as the tuple `(model,
    /// other.no_grad())`. Random values are refused, or drawn once ([`CaptureConfig::draw_once`]).
    ///
    /// `detach` and similar calls make constants in both derivatives. If they cannot be located, because the closure
    /// moves a tensor that depends on the parameters to another device, the closure is refused.
    ///
    /// # Errors
    /// [`CaptureError`](crate::errors::CaptureError) and [`FaithfulnessError`](crate::errors::FaithfulnessError) say what cannot be
    /// recorded faithfully, and what to do; a model without trainable parameters.
    ///
    /// # Example
    /// The Hessian of `½·mean((x·w − y)²)` is `xᵀx / n`.
    ///
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::Objective;
    ///
    /// #[derive(Module, Debug)]
    /// struct Line {
    ///     w: Param<Tensor<2>>,
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::flex().autodiff();
    /// let model = Line { w: Param::from_tensor(Tensor::from_floats([[0.5], [-1.0]], &device)) };
    /// let x = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
    /// let y = Tensor::<2>::from_floats([[1.0], [0.0]], &device);
    ///
    /// let objective = Objective::capture(&model, (x, y), |model, (x, y)| {
    ///     (x.matmul(model.w.val()) - y).powf_scalar(2.0).mean() * 0.5
    /// })?;
    /// let v = objective.parameters().space().vector(&[1.0, 0.0])?;
    /// let product = objective.hessian_vector_product(&v)?.to_vec()?;
    /// assert_eq!(product, [5.0, 7.0]); // first column of [[1, 3], [2, 4]]·[[1, 2], [3, 4]] / 2
    /// # Ok(())
    /// # }
    /// ```
    pub fn capture<M, X, O, L>(model: &M, batch: X, loss: L) -> Result<Self, Error>
    where
        M: Module + 'static,
        X: Batch + Send + 'static,
        O: Captured + 'static,
        L: Fn(&M, X) -> O + Send + 'static,
    {
        CaptureConfig::new().init(model, batch, loss)
    }
}

impl CaptureConfig {
    /// Captures the loss of a model on the device its tensors are on, as [`Objective::capture`] does, with these choices.
    ///
    /// # Errors
    /// As [`Objective::capture`].
    ///
    /// # Example
    /// ```
    /// use burn::{nn::DropoutConfig, nn::LinearConfig, prelude::*};
    /// use burn_curvature::CaptureConfig;
    ///
    /// let device = Device::flex().autodiff();
    /// let model = (LinearConfig::new(2, 3).init(&device), DropoutConfig::new(0.5).init());
    /// let x = Tensor::<2>::ones([4, 2], &device);
    /// let objective = CaptureConfig::new().evaluation().init(&model, x, |(linear, dropout), x| {
    ///     dropout.forward(linear.forward(x)).powf_scalar(2.0).mean()
    /// })?;
    /// assert_eq!(objective.layout().len(), 9);
    /// # Ok::<(), burn_curvature::Error>(())
    /// ```
    pub fn init<M, X, O, L>(
        &self,
        model: &M,
        batch: X,
        loss: L,
    ) -> Result<Objective<Autodiff<Dispatch>>, Error>
    where
        M: Module + 'static,
        X: Batch + Send + 'static,
        O: Captured + 'static,
        L: Fn(&M, X) -> O + Send + 'static,
    {
        Objective::capture_with(self, model, batch, loss)
    }
}

impl<B: AutodiffBackend> Objective<B>
where
    B::InnerBackend: ProgramBackend,
{
    /// Captures the loss of a model on a chosen backend `B`, with a choice of mode and engine.
    ///
    /// As [`Objective::capture`], but typed: the model's tensors must live on `B`.
    ///
    /// # Errors
    /// As [`Objective::capture`]; tensors of another backend.
    pub fn capture_with<M, X, O, L>(
        config: &CaptureConfig,
        model: &M,
        batch: X,
        loss: L,
    ) -> Result<Self, Error>
    where
        M: Module + 'static,
        X: Batch + Send + 'static,
        O: Captured + 'static,
        L: Fn(&M, X) -> O + Send + 'static,
    {
        config.check()?;
        let model = source::tracked(model, config.mode);
        let parameters = ParamVector::<B>::from_module(&model)?;
        expect_precision::<B>(parameters.device(), parameters.precision())?;
        let buffers = Buffers::of(parameters.layout(), &model)?;
        let values = Values::new(parameters, buffers)?;
        let (inputs, in_f64) = (values.model_inputs(), values.precision() == Precision::F64);
        let plain = model.valid(); // running statistics become those of the last update, here and in `model`
        let training = InTraining::of(&model);
        // A GPU is asked for Burn's gradient only if the comparison on the processor leaves a doubt.
        let later = training.flags.is_empty() && !values.parameters.space().is_on_processor();
        let burn = (config.compare && !later)
            .then(|| faithfulness::by_burn::<B, _, _, _>(&model, batch.clone(), &loss));
        if config.compare && !training.flags.is_empty() {
            source::restore_buffers(model.clone(), &plain);
        }
        let kept = plain.clone();
        let source = ModelSource {
            inputs,
            in_f64,
            model: plain,
            templates: HashMap::new(),
            loss,
            choices: choices(config, &training.flags),
            layers: training.layers,
        };
        let recorder = Recorder::new(&batch, Box::new(source));
        let counted = recorder.counted(batch.clone())?;
        let (objective, tolerance) = Self::recorded((recorder, values, counted), config)?;
        // Why the closure cannot be recorded says more than why Burn cannot run it, and has been returned by now.
        if objective.settings.compared {
            let (burn, in_burn) = (burn.transpose()?, BurnLoss { model: &model, batch: &batch });
            let compared = in_burn.expect_recorded(&objective, burn, tolerance);
            if !training.flags.is_empty() {
                source::restore_buffers(model, &kept);
            }
            compared?;
        }
        Ok(objective)
    }
}

impl<B: AutodiffBackend> Objective<B> {
    /// The objective of a recorder, with the tolerance that its gradient is compared within.
    #[inline(never)]
    fn recorded(
        (recorder, values, batch): (Recorder<B>, Values<B>, Counted<B>),
        config: &CaptureConfig,
    ) -> Result<(Self, f64), Error> {
        let part = Part::new(&recorder, &values, batch)?.alone()?;
        // An operation without a second derivative is refused here, by name.
        part.programs.product(Product::Hessian)?;
        let usual = || faithfulness::tolerance(part.programs.recorded());
        let tolerance = config.tolerance.unwrap_or_else(usual);
        let compared = config.compare && part.programs.draws() == 0; // Burn draws other values
        let stated = part.stated.reduction();
        let objective = Self {
            recorder: Arc::new(recorder),
            values,
            parts: Parts::Kept([part].into()),
            settings: Settings { compared, ..Settings::new(config.engine, stated) },
            prepared: Arc::default(),
            point: Arc::default(),
        };
        Ok((objective, tolerance))
    }
}

/// What is recorded of layers in training mode and of random values.
fn choices(config: &CaptureConfig, flags: &HashSet<ParamId>) -> Choices {
    let (seed, unsearched) = (config.draws, !config.compare);
    let plain = Choices { seed, unsearched, ..Choices::default() };
    match config.mode {
        Mode::Training => Choices { training: flags.clone(), ..plain },
        Mode::AsGiven | Mode::Evaluation => Choices { as_given: flags.clone(), ..plain },
    }
}

/// Refuses a precision that the device does not compute in, or claims to and does not.
#[inline(never)]
pub(super) fn expect_precision<B: AutodiffBackend>(
    device: &Device<B>,
    precision: Precision,
) -> Result<(), ExecuteError> {
    if supports::<B::InnerBackend>(device, precision.dtype().into()) {
        return Ok(());
    }
    Err(ExecuteError::Precision {
        backend: <B::InnerBackend as Backend>::name(device),
        dtype: precision.to_string(),
    })
}
