//! Makes objectives: from a model and a closure, on another batch, in another precision.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use burn::{
    backend::{Dispatch, DispatchTensor},
    module::Module,
};
use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend, TensorMetadata, tensor::Device};

use super::{
    Engine, Memory, Objective, Recorder, TraceConfig, faithfulness,
    programs::ProgramSet,
    source::{self, ModelSource},
};
use crate::{
    bridge::TensorBridge,
    error::Error,
    execute::{ExecuteError, Operand, RECORDED_BOOL, RECORDED_FLOAT, RECORDED_INT, supports},
    graph::{Kind, ValueType},
    params::{ParamVector, Precision},
    trace::{Batch, TraceError, Traced},
};

impl Objective<Autodiff<Dispatch>> {
    /// Traces the loss of a model on the device its tensors are on.
    ///
    /// The closure gets the model and the batch, as in a training loop, and returns the loss, or
    /// `(outputs, loss)`. It is run once to be recorded and once to compare the recording's gradient with Burn's
    /// own `backward()`. Recording needs shapes, not numbers: the closure may not read values. Whatever varies must be
    /// in the batch; other tensors it uses are constants.
    ///
    /// # Errors
    ///
    /// [`TraceError`] says what cannot be recorded faithfully, and what to do; a model without trainable
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
    /// let v = objective.parameters().from_vec_like(&[1.0, 0.0])?;
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
        Self::trace_with(&TraceConfig::new(), model, batch, loss)
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
        config: &TraceConfig,
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
        let model = source::tracked(model, config.mode);
        let parameters = ParamVector::<B>::from_module(&model)?;
        expect_precision::<B>(parameters.device(), parameters.precision())?;
        let plain = model.valid(); // running statistics become those of the last update, here and in `model`
        let layers_in_training_mode = source::layers_in_training_mode(&model);
        let burn = config
            .check
            .then(|| faithfulness::by_burn::<B, _, _, _>(&model, batch.clone(), &loss));
        if config.check && layers_in_training_mode > 0 {
            source::restore_buffers(model, &plain);
        }
        let burn = burn.transpose()?;
        let tensors = source::tensors(batch.clone());
        let source = ModelSource {
            parameters: recorded_parameters(&parameters),
            model: plain,
            template: batch,
            loss,
        };
        let recorder = Recorder {
            source: Mutex::new(Box::new(source)),
            programs: Mutex::new(HashMap::new()),
        };
        let objective = Self::assemble(Arc::new(recorder), parameters, tensors, config.engine)?;
        let objective = objective.with_memory(config.memory);
        objective.programs.hessian()?; // an operation without a second derivative is refused here, by name
        if let Some(burn) = burn {
            let recorded = objective.value_and_gradient()?;
            let tolerance = config
                .tolerance
                .unwrap_or_else(|| faithfulness::tolerance(objective.programs.recorded()));
            faithfulness::compare(&recorded, &burn, tolerance, layers_in_training_mode)?;
        }
        Ok(objective)
    }

    /// The same loss on another batch. A batch of sizes seen before reuses the recording; other sizes are recorded
    /// on first use and kept.
    ///
    /// # Errors
    ///
    /// A batch of other kinds or ranks than the one traced, or with an empty tensor; what tracing refuses.
    pub fn on<X: Batch>(&self, batch: X) -> Result<Self, Error> {
        let tensors = source::tensors(batch);
        let found: Vec<_> = tensors.iter().map(kind_and_rank).collect();
        let expected: Vec<_> = self
            .batch
            .iter()
            .map(|operand| (operand.kind(), operand.shape().num_dims()))
            .collect();
        if found != expected {
            let list = |parts: &[(Kind, usize)]| {
                let parts: Vec<_> = parts
                    .iter()
                    .map(|(kind, rank)| format!("{kind:?} of rank {rank}"))
                    .collect();
                format!("[{}]", parts.join(", "))
            };
            return Err(TraceError::OtherBatch {
                expected: list(&expected),
                found: list(&found),
            }
            .into());
        }
        let objective = Self::assemble(
            Arc::clone(&self.recorder),
            self.parameters.clone(),
            tensors,
            self.engine,
        )?;
        Ok(objective.with_memory(self.memory))
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
        expect_precision::<B>(self.programs.device(), precision)?;
        let parameters = self.parameters.clone().cast(precision)?;
        let objective = Self::with_operands(
            Arc::clone(&self.recorder),
            parameters,
            self.batch.clone(),
            self.engine,
        )?;
        Ok(objective.with_memory(self.memory))
    }

    fn assemble(
        recorder: Arc<Recorder<B>>,
        parameters: ParamVector<B>,
        tensors: Vec<DispatchTensor>,
        engine: Engine,
    ) -> Result<Self, Error> {
        if let Some((position, tensor)) = tensors
            .iter()
            .enumerate()
            .find(|(_, tensor)| tensor.shape().num_elements() == 0)
        {
            return Err(TraceError::EmptyBatch {
                position,
                shape: tensor.shape().to_vec(),
            }
            .into());
        }
        let batch: Result<Vec<_>, _> = tensors
            .into_iter()
            .map(<B::InnerBackend as TensorBridge>::from_dispatch)
            .collect();
        Self::with_operands(recorder, parameters, batch?, engine)
    }

    fn with_operands(
        recorder: Arc<Recorder<B>>,
        parameters: ParamVector<B>,
        batch: Vec<Operand<B::InnerBackend>>,
        engine: Engine,
    ) -> Result<Self, Error> {
        let device = parameters.device().clone();
        let float = parameters.precision().dtype();
        let batch: Vec<_> = batch
            .into_iter()
            .map(|operand| operand.stored_on(&device, float))
            .collect();
        let programs = recorder.programs(&batch, parameters.precision(), device)?;
        Ok(Self {
            recorder,
            programs,
            parameters,
            batch,
            engine,
            memory: Memory::Keep,
            prepared: Arc::default(),
        })
    }
}

impl<B: AutodiffBackend> Recorder<B> {
    fn programs(
        &self,
        batch: &[Operand<B::InnerBackend>],
        precision: Precision,
        device: Device<B>,
    ) -> Result<Arc<ProgramSet<B>>, Error> {
        let recorded: Vec<_> = batch.iter().map(recorded_type).collect();
        let key = (recorded, precision);
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = programs.get(&key) {
            return Ok(Arc::clone(found));
        }
        let recording = self
            .source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(&key.0)?;
        let made = Arc::new(ProgramSet::new(recording, precision, device)?);
        programs.insert(key, Arc::clone(&made));
        Ok(made)
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
    ValueType {
        shape: operand.shape(),
        dtype,
    }
}

fn recorded_parameters<B: AutodiffBackend>(
    parameters: &ParamVector<B>,
) -> Box<[(burn::module::ParamId, ValueType)]> {
    let blocks = parameters.layout().blocks().iter();
    blocks
        .filter_map(|block| {
            let ty = ValueType {
                shape: block.shape().to_vec().into(),
                dtype: RECORDED_FLOAT,
            };
            Some((block.id()?, ty))
        })
        .collect()
}

fn kind_and_rank(tensor: &DispatchTensor) -> (Kind, usize) {
    let ty = ValueType {
        shape: tensor.shape(),
        dtype: tensor.dtype(),
    };
    (ty.kind(), ty.shape.num_dims())
}
