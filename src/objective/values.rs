//! The values of a model that an objective is evaluated at: parameters and buffers.

use std::sync::{Arc, OnceLock};

use burn_backend::{AutodiffBackend, tensor::Device};

use super::shared::{print_of, print_tensor};
use crate::{
    capture::ModelInputs,
    error::Error,
    execute::{RECORDED_BOOL, RECORDED_FLOAT, RECORDED_INT},
    graph::{Kind, ValueType},
    space::{Buffers, ParamVector, VectorError},
    tensor::{Operand, Precision},
};

/// Parameters, and the other tensors of the model in the same precision.
#[derive(Clone, Debug)]
pub(super) struct Values<B: AutodiffBackend> {
    pub parameters: ParamVector<B>,
    pub buffers: Buffers<B>,
    /// A fingerprint of the elements, once ranks compare them.
    pub print: Arc<OnceLock<u64>>,
}

impl<B: AutodiffBackend> Values<B> {
    #[inline(never)]
    pub fn new(parameters: ParamVector<B>, buffers: Buffers<B>) -> Result<Self, VectorError> {
        for buffer in buffers.values() {
            parameters.expect_device(&buffer.device())?;
        }
        let buffers = buffers.stored_on(parameters.device(), parameters.precision());
        Ok(Self { parameters, buffers, print: Arc::default() })
    }

    /// 64 bits of the parameters and running statistics.
    pub fn print(&self) -> Result<u64, Error> {
        if let Some(&print) = self.print.get() {
            return Ok(print);
        }
        let mut print = print_of(std::slice::from_ref(&self.parameters))?;
        for (position, _) in self.buffers.running() {
            if let Some(value) = self.buffers.values().get(position) {
                print = print_tensor::<B>(value.clone(), print)?;
            }
        }
        Ok(*self.print.get_or_init(|| print))
    }

    pub fn precision(&self) -> Precision {
        self.parameters.precision()
    }

    pub fn device(&self) -> &Device<B> {
        self.parameters.device()
    }

    /// The inputs of a recording on a batch.
    pub fn inputs(&self, batch: &[Operand<B::InnerBackend>]) -> Vec<Operand<B::InnerBackend>> {
        let parameters = self.parameters.blocks().iter().cloned().map(Operand::Float);
        parameters.chain(self.data(batch)).collect()
    }

    /// The inputs of a recording that are not differentiated.
    pub fn data<'a>(
        &'a self,
        batch: &'a [Operand<B::InnerBackend>],
    ) -> impl Iterator<Item = Operand<B::InnerBackend>> + 'a {
        batch.iter().chain(self.buffers.values()).cloned()
    }

    /// Where the inputs go in the model.
    #[inline(never)]
    pub fn model_inputs(&self) -> ModelInputs {
        let blocks = self.parameters.layout().blocks();
        let parameters = blocks
            .iter()
            .map(|block| ValueType { shape: block.shape().to_vec().into(), dtype: RECORDED_FLOAT });
        let buffers = self.buffers.list().iter().map(|buffer| ValueType {
            shape: buffer.shape.clone().into(),
            dtype: match buffer.kind {
                Kind::Float => RECORDED_FLOAT,
                Kind::Int => RECORDED_INT,
                Kind::Bool => RECORDED_BOOL,
            },
        });
        let of_buffers = self.buffers.list().iter().enumerate();
        let of_buffers = of_buffers.map(|(at, buffer)| (buffer.place.clone(), blocks.len() + at));
        ModelInputs {
            parameters: parameters.collect(),
            buffers: buffers.collect(),
            places: self.parameters.layout().places().chain(of_buffers).collect(),
        }
    }
}
