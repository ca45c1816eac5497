//! Makes objectives: from a model and a closure, on another batch, in another precision.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use burn::{
    backend::{Dispatch, DispatchTensor},
    module::Module,
};
use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend, TensorMetadata, tensor::Device};

use super::{
    CaptureConfig, Objective, Recorder, Settings, faithfulness, guards, inputs,
    parts::{Part, Parts},
    products::PreparedProduct,
    programs::ProgramSet,
    source::{self, ModelSource},
};
use crate::{
    capture::{Batch, CaptureError, Traced, is_recording},
    derive::Product,
    error::Error,
    execute::{ExecuteError, RECORDED_BOOL, RECORDED_FLOAT, RECORDED_INT, supports},
    graph::{Graph, Kind, ValueType},
    space::ParamVector,
    tensor::{Operand, Precision, TensorBridge},
};

impl Objective<Autodiff<Dispatch>> {
    /// Traces the loss of a model on the device its tensors are on.
    ///
    /// The closure gets the model and the batch, as in a training loop, and returns the loss, or
    /// `(outputs, loss)`. It is run once to be recorded and once to compare the recording's gradient with Burn's
    /// own `backward()`. Recording needs shapes, not numbers: the closure may not read values, but for single truth
    /// values that it computes (`x.greater_scalar(0.0).all().into_scalar::<bool>()`). For each of these it is run once
    /// more (Burn's panic at the read is caught, but its message is printed), and wherever the loss is evaluated it is
    /// checked that the closure would read the same, else it is an
    /// [`ObjectiveError::OtherTruth`](crate::ObjectiveError::OtherTruth). Whatever varies must be in the batch; other
    /// tensors it uses are constants.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] says what cannot be recorded faithfully, and what to do; a model without trainable
    /// parameters.
    ///
    /// # Example
    ///
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
    /// let objective = Objective::trace(&model, (x, y), |model, (x, y)| {
    ///     (x.matmul(model.w.val()) - y).powf_scalar(2.0).mean() * 0.5
    /// })?;
    /// let v = objective.parameters().space().vector(&[1.0, 0.0])?;
    /// let product = objective.hessian_vector_product(&v)?.to_vec()?;
    /// assert_eq!(product, [5.0, 7.0]); // first column of [[1, 3], [2, 4]]·[[1, 2], [3, 4]] / 2
    /// # Ok(())
    /// # }
    /// ```
    pub fn trace<M, X, O, L>(model: &M, batch: X, loss: L) -> Result<Self, Error>
    where
        M: Module + 'static,
        X: Batch + Send + 'static,
        O: Traced + 'static,
        L: Fn(&M, X) -> O + Send + 'static,
    {
        CaptureConfig::new().trace(model, batch, loss)
    }
}

impl CaptureConfig {
    /// Traces the loss of a model on the device its tensors are on, as [`Objective::trace`] does, with these choices.
    ///
    /// # Errors
    ///
    /// As [`Objective::trace`].
    ///
    /// # Example
    ///
    /// ```
    /// use burn::{nn::DropoutConfig, nn::LinearConfig, prelude::*};
    /// use burn_curvature::CaptureConfig;
    ///
    /// let device = Device::flex().autodiff();
    /// let model = (LinearConfig::new(2, 3).init(&device), DropoutConfig::new(0.5).init());
    /// let x = Tensor::<2>::ones([4, 2], &device);
    /// let objective = CaptureConfig::new().evaluation().trace(&model, x, |(linear, dropout), x| {
    ///     dropout.forward(linear.forward(x)).powf_scalar(2.0).mean()
    /// })?;
    /// assert_eq!(objective.layout().len(), 9);
    /// # Ok::<(), burn_curvature::Error>(())
    /// ```
    pub fn trace<M, X, O, L>(
        &self,
        model: &M,
        batch: X,
        loss: L,
    ) -> Result<Objective<Autodiff<Dispatch>>, Error>
    where
        M: Module + 'static,
        X: Batch + Send + 'static,
        O: Traced + 'static,
        L: Fn(&M, X) -> O + Send + 'static,
    {
        Objective::trace_with(self, model, batch, loss)
    }
}

impl<B: AutodiffBackend> Objective<B>
where
    B::InnerBackend: TensorBridge,
{
    /// Traces the loss of a model on a chosen backend `B`, with a choice of mode and engine.
    ///
    /// As [`Objective::trace`], but typed: the model's tensors must live on `B`.
    ///
    /// # Errors
    ///
    /// As [`Objective::trace`]; tensors of another backend.
    pub fn trace_with<M, X, O, L>(
        config: &CaptureConfig,
        model: &M,
        batch: X,
        loss: L,
    ) -> Result<Self, Error>
    where
        M: Module + 'static,
        X: Batch + Send + 'static,
        O: Traced + 'static,
        L: Fn(&M, X) -> O + Send + 'static,
    {
        config.check()?;
        let model = source::tracked(model, config.mode);
        let parameters = ParamVector::<B>::from_module(&model)?;
        expect_precision::<B>(parameters.device(), parameters.precision())?;
        let plain = model.valid(); // running statistics become those of the last update, here and in `model`
        let layers_in_training_mode = source::layers_in_training_mode(&model);
        let burn = config
            .compare
            .then(|| faithfulness::by_burn::<B, _, _, _>(&model, batch.clone(), &loss));
        if config.compare && layers_in_training_mode > 0 {
            source::restore_buffers(model, &plain);
        }
        let burn = burn.transpose()?;
        let tensors = source::tensors(batch.clone());
        let recorder = Arc::new(Recorder {
            kinds: tensors.iter().map(kind_and_rank).collect(),
            source: Mutex::new(Box::new(ModelSource {
                parameters: recorded_parameters(&parameters),
                model: plain,
                template: batch,
                loss,
            })),
            programs: Mutex::new(HashMap::new()),
        });
        let part = Part::new(&recorder, &parameters, recorder.operands(tensors)?, 1.0)?;
        // An operation without a second derivative is refused here, by name.
        part.programs.product(Product::Hessian)?;
        let tolerance =
            config.tolerance.unwrap_or_else(|| faithfulness::tolerance(part.programs.recorded()));
        let objective = Self {
            recorder,
            parameters,
            parts: Parts::Kept([part].into()),
            settings: Settings::new(config.engine),
            hessian: PreparedProduct::new(Product::Hessian),
            point: Arc::default(),
        };
        if let Some(burn) = burn {
            let recorded = objective.value_and_gradient()?;
            faithfulness::compare(&recorded, &burn, tolerance, layers_in_training_mode)?;
        }
        Ok(objective)
    }

    /// The same loss on another batch. A batch of sizes seen before reuses the recording; other sizes are recorded
    /// on first use and kept.
    ///
    /// # Errors
    ///
    /// A batch of other kinds or ranks than the one traced, on another device, or with an empty tensor; what tracing
    /// refuses.
    pub fn on<X: Batch>(&self, batch: X) -> Result<Self, Error> {
        let operands = self.recorder.operands(source::tensors(batch))?;
        let part = Part::new(&self.recorder, &self.parameters, operands, 1.0)?;
        let mut on = self.with_parts(Parts::Kept([part].into()));
        on.settings.reduction = None;
        Ok(on)
    }

    /// The same objective computed in f64, from the same recording; parameters and batch are converted.
    ///
    /// # Errors
    ///
    /// A backend without f64.
    pub fn in_f64(&self) -> Result<Self, Error> {
        self.in_precision(Precision::F64)
    }

    /// The same objective computed in another precision.
    ///
    /// # Errors
    ///
    /// A backend without that precision.
    pub fn in_precision(&self, precision: Precision) -> Result<Self, Error> {
        expect_precision::<B>(self.parameters.device(), precision)?;
        let parameters = self.parameters.clone().cast(precision)?;
        let parts = match &self.parts {
            Parts::Kept(parts) => {
                let converted = parts.iter().map(|part| {
                    Part::new(&self.recorder, &parameters, part.batch.clone(), part.weight)
                });
                Parts::Kept(converted.collect::<Result<_, _>>()?)
            }
            Parts::Streamed(_) => self.parts.clone(),
        };
        Ok(Self { parameters, ..self.with_parts(parts) })
    }
}

impl<B: AutodiffBackend> Recorder<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The tensors of a batch on the typed side, of the kinds and ranks that were traced.
    pub(super) fn operands(
        &self,
        tensors: Vec<DispatchTensor>,
    ) -> Result<Vec<Operand<B::InnerBackend>>, Error> {
        let found: Vec<_> = tensors.iter().map(kind_and_rank).collect();
        if found != self.kinds {
            return Err(CaptureError::OtherBatch {
                expected: list(&self.kinds),
                found: list(&found),
            }
            .into());
        }
        for (position, tensor) in tensors.iter().enumerate() {
            if tensor.shape().num_elements() == 0 {
                let shape = tensor.shape().to_vec();
                return Err(CaptureError::EmptyBatch { position, shape }.into());
            }
        }
        let typed = tensors.into_iter().map(<B::InnerBackend as TensorBridge>::from_dispatch);
        Ok(typed.collect::<Result<_, _>>()?)
    }
}

fn list(parts: &[(Kind, usize)]) -> String {
    let parts: Vec<_> =
        parts.iter().map(|(kind, rank)| format!("{kind:?} of rank {rank}")).collect();
    format!("[{}]", parts.join(", "))
}

impl<B: AutodiffBackend> Recorder<B> {
    pub(super) fn programs(
        &self,
        parameters: &ParamVector<B>,
        batch: &[Operand<B::InnerBackend>],
    ) -> Result<Arc<ProgramSet<B>>, Error> {
        let (precision, device) = (parameters.precision(), parameters.device());
        let recorded: Vec<_> = batch.iter().map(recorded_type).collect();
        let key = (recorded, precision);
        let mut programs = available(&self.programs)?;
        if let Some(found) = programs.get(&key) {
            return Ok(Arc::clone(found));
        }
        let truths = |graph: &Graph| {
            guards::truths::<B>(graph, precision, device, inputs(parameters, batch))
        };
        let recording = available(&self.source)?.record(&key.0, &truths)?;
        let made = Arc::new(ProgramSet::new(recording, precision, device.clone())?);
        programs.insert(key, Arc::clone(&made));
        Ok(made)
    }
}

/// Locks, unless a closure that is being recorded asks for what its own recording holds.
fn available<T>(shared: &Mutex<T>) -> Result<MutexGuard<'_, T>, CaptureError> {
    if !is_recording() {
        return Ok(shared.lock().unwrap_or_else(PoisonError::into_inner));
    }
    match shared.try_lock() {
        Ok(free) => Ok(free),
        Err(TryLockError::Poisoned(free)) => Ok(free.into_inner()),
        Err(TryLockError::WouldBlock) => Err(CaptureError::Nested),
    }
}

/// Refuses a precision that the device does not compute in, or claims to and does not.
fn expect_precision<B: AutodiffBackend>(
    device: &Device<B>,
    precision: Precision,
) -> Result<(), ExecuteError> {
    match supports::<B::InnerBackend>(device, precision.dtype().into()) {
        true => Ok(()),
        false => Err(ExecuteError::Precision {
            backend: <B::InnerBackend as Backend>::name(device),
            dtype: precision.to_string(),
        }),
    }
}

/// The type an operand is recorded as.
fn recorded_type<B: Backend>(operand: &Operand<B>) -> ValueType {
    let dtype = match operand {
        Operand::Float(_) => RECORDED_FLOAT,
        Operand::Int(_) => RECORDED_INT,
        Operand::Bool(_) => RECORDED_BOOL,
    };
    ValueType { shape: operand.shape(), dtype }
}

fn recorded_parameters<B: AutodiffBackend>(
    parameters: &ParamVector<B>,
) -> Box<[(burn::module::ParamId, ValueType)]> {
    let blocks = parameters.layout().blocks().iter();
    blocks
        .filter_map(|block| {
            let ty = ValueType { shape: block.shape().to_vec().into(), dtype: RECORDED_FLOAT };
            Some((block.id()?, ty))
        })
        .collect()
}

fn kind_and_rank(tensor: &DispatchTensor) -> (Kind, usize) {
    let ty = ValueType { shape: tensor.shape(), dtype: tensor.dtype() };
    (ty.kind(), ty.shape.num_dims())
}
