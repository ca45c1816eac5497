//! Between a Burn module and a vector: the layout of its trainable parameters, their values, and back. Knows Burn's
//! traversal of modules, nothing of gradients.
//!
//! A parameter is known by its `ParamId`. A shared parameter is written to every place as one leaf; leaves are rebuilt as
//! leaves, with their flag, checkpointing strategy and device, so that the module trains on as before.

use std::{collections::HashMap, sync::Arc};

use burn::{
    Tensor,
    backend::DispatchTensor,
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
};
use burn_backend::{AutodiffBackend, FloatDType, Scalar, TensorMetadata, ops::FloatTensorOps};

use crate::{bridge::BridgeError, bridge::TensorBridge, execute::Operand};

use super::{
    Inner, InnerFloat, ParamBlock, ParamError, ParamLayout, ParamVector, VectorError,
    scalar::read_tensor, vector::expect_device,
};

impl ParamLayout {
    /// The trainable parameters of a model, in the order in which Burn visits them.
    ///
    /// Trainable is what requires a gradient on the model as it is trained: float parameters on an autodiff device that
    /// are not frozen. Parameters that Burn has not initialised yet are initialised.
    ///
    /// # Errors
    /// [`ParamError::NoTrainable`] if there is none, [`ParamError::SharedShape`], [`ParamError::EmptyBlock`].
    pub fn of<M: Module>(model: &M) -> Result<Arc<Self>, ParamError> {
        let mut collector = LayoutCollector::default();
        model.visit(&mut collector);
        if let Some(failure) = collector.failure {
            return Err(failure);
        }
        if collector.blocks.is_empty() {
            return Err(ParamError::NoTrainable {
                plain: collector.plain,
                frozen: collector.frozen,
            });
        }
        Self::from_blocks(collector.blocks)
    }

    /// Gives every place of a shared parameter the value of its first place.
    ///
    /// Burn's optimisers update only the first place of a shared parameter, so that tied weights drift apart; call this
    /// after each of their steps. (Vectors are written to every place, and need no such call.)
    pub fn retie<M: Module>(&self, model: &M) -> M {
        model.clone().map(&mut Retie {
            first: self
                .blocks()
                .iter()
                .filter_map(ParamBlock::id)
                .map(|id| (id, None))
                .collect(),
        })
    }

    /// Position of the block of each parameter.
    pub(super) fn positions(&self) -> HashMap<ParamId, usize> {
        let blocks = self.blocks().iter().enumerate();
        blocks
            .filter_map(|(position, block)| Some((block.id()?, position)))
            .collect()
    }
}

impl<B: AutodiffBackend> ParamVector<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The values of a model's trainable parameters. Copies nothing.
    ///
    /// Reads the device only where a parameter is shared, to make sure that its places agree.
    ///
    /// # Errors
    /// Those of [`ParamLayout::of`] and [`from_module_with`](Self::from_module_with).
    pub fn from_module<M: Module>(model: &M) -> Result<Self, ParamError> {
        Self::from_module_with(&ParamLayout::of(model)?, model)
    }

    /// The values of the parameters of a layout, which may be frozen or without autodiff by now.
    ///
    /// # Errors
    /// [`ParamError::MissingParameter`], [`ParamError::NoIdentity`], [`ParamError::TiedApart`], [`ParamError::Bridge`];
    /// and within [`ParamError::Vector`] whatever [`from_blocks`](Self::from_blocks) finds.
    pub fn from_module_with<M: Module>(
        layout: &Arc<ParamLayout>,
        model: &M,
    ) -> Result<Self, ParamError> {
        expect_identities(layout)?;
        let mut reader = ValueReader::<B> {
            layout,
            positions: layout.positions(),
            values: vec![None; layout.blocks().len()],
            path: Vec::new(),
            failure: None,
        };
        model.visit(&mut reader);
        if let Some(failure) = reader.failure {
            return Err(failure);
        }
        let values = reader.values.into_iter().zip(layout.blocks());
        let values = values.map(|(value, block)| value.ok_or_else(|| missing(block)));
        Ok(Self::from_blocks(
            layout,
            values.collect::<Result<_, _>>()?,
        )?)
    }

    /// A copy of the model whose parameters have the values of this vector, at every place of each.
    ///
    /// Numbers are converted to the element type of the parameter. Flags, identities and devices stay as they are, and
    /// parameters outside the layout are untouched.
    ///
    /// # Errors
    /// [`ParamError::MissingParameter`], [`ParamError::NoIdentity`], [`ParamError::Bridge`];
    /// [`VectorError::BlockShape`] and [`VectorError::DeviceMismatch`] within [`ParamError::Vector`].
    pub fn write_to<M: Module>(&self, model: &M) -> Result<M, ParamError> {
        self.update(model, |_, value| value)
    }

    /// A copy of the model at θ + alpha · self: a step.
    ///
    /// The sum is computed in the element type of this vector, and for a shared parameter at its first place. Everything else is as in [`write_to`](Self::write_to).
    ///
    /// # Errors
    /// Those of [`write_to`](Self::write_to).
    ///
    /// # Example
    /// ```
    /// use burn::{backend::{Autodiff, Flex}, nn::LinearConfig, tensor::Device};
    /// use burn_curvature::ParamVector;
    ///
    /// let model = LinearConfig::new(3, 2).init(&Device::flex().autodiff());
    /// let theta = ParamVector::<Autodiff<Flex>>::from_module(&model)?;
    /// let halved = theta.add_to(&model, -0.5)?; // θ − θ/2
    /// let expected = theta.clone().scale(0.5);
    /// assert_eq!(ParamVector::from_module(&halved)?.sub(&expected)?.norm()?, 0.0);
    /// # Ok::<(), burn_curvature::Error>(())
    /// ```
    pub fn add_to<M: Module>(&self, model: &M, alpha: f64) -> Result<M, ParamError> {
        self.update(model, |parameter, value| {
            let parameter = cast_to::<B>(parameter, value.dtype().into());
            let step = Inner::<B>::float_mul_scalar(value, Scalar::Float(alpha));
            Inner::<B>::float_add(parameter, step)
        })
    }

    fn update<M: Module>(
        &self,
        model: &M,
        op: impl Fn(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
    ) -> Result<M, ParamError> {
        expect_identities(self.layout())?;
        let mut writer = ValueWriter {
            vector: self,
            positions: self.layout().positions(),
            planted: vec![None; self.layout().blocks().len()],
            op,
            failure: None,
        };
        let model = model.clone().map(&mut writer);
        if let Some(failure) = writer.failure {
            return Err(failure);
        }
        let mut planted = writer.planted.iter().zip(self.layout().blocks());
        match planted.find(|(planted, _)| planted.is_none()) {
            Some((_, block)) => Err(missing(block)),
            None => Ok(model),
        }
    }
}

/// The typed primitive of a user's tensor, without its autodiff association. Copies nothing.
pub(super) fn float_primitive<B: AutodiffBackend, const D: usize>(
    tensor: Tensor<D>,
) -> Result<InnerFloat<B>, BridgeError>
where
    B::InnerBackend: TensorBridge,
{
    match Inner::<B>::from_dispatch(tensor.without_autodiff().into_dispatch())? {
        Operand::Float(primitive) => Ok(primitive),
        _ => Err(BridgeError::Quantised),
    }
}

/// The user's tensor of a typed primitive. Copies nothing.
pub(super) fn user_tensor<B: AutodiffBackend, const D: usize>(primitive: InnerFloat<B>) -> Tensor<D>
where
    B::InnerBackend: TensorBridge,
{
    Tensor::from_dispatch(Inner::<B>::into_dispatch(Operand::Float(primitive)))
}

pub(super) fn expect_identities(layout: &ParamLayout) -> Result<(), ParamError> {
    match layout.blocks().iter().find(|block| block.id().is_none()) {
        None => Ok(()),
        Some(block) => Err(ParamError::NoIdentity {
            block: block.name().to_string(),
        }),
    }
}

fn missing(block: &ParamBlock) -> ParamError {
    ParamError::MissingParameter {
        block: block.name().to_string(),
    }
}

fn cast_to<B: AutodiffBackend>(tensor: InnerFloat<B>, dtype: FloatDType) -> InnerFloat<B> {
    if tensor.dtype() == dtype.into() {
        tensor
    } else {
        Inner::<B>::float_cast(tensor, dtype)
    }
}

/// Collects the blocks of a layout.
#[derive(Default)]
struct LayoutCollector {
    path: Vec<String>,
    blocks: Vec<ParamBlock>,
    positions: HashMap<ParamId, usize>,
    plain: usize,
    frozen: usize,
    failure: Option<ParamError>,
}

impl LayoutCollector {
    fn take(&mut self, id: ParamId, shape: Vec<usize>) {
        let name = self.path.join(".");
        let known = self.positions.get(&id).copied();
        match known.and_then(|position| self.blocks.get_mut(position)) {
            Some(block) if block.shape == shape => block.aliases.push(name),
            Some(block) => {
                self.failure.get_or_insert(ParamError::SharedShape {
                    block: block.name.clone(),
                    alias: name,
                    expected: block.shape.clone(),
                    found: shape,
                });
            }
            None => {
                self.positions.insert(id, self.blocks.len());
                self.blocks.push(ParamBlock {
                    name,
                    aliases: Vec::new(),
                    id: Some(id),
                    shape,
                    offset: 0,
                });
            }
        }
    }
}

impl ModuleVisitor for LayoutCollector {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val(); // Initialises what was lazy.
        if !tensor.is_autodiff() {
            self.plain += 1;
        } else if !tensor.is_require_grad() {
            self.frozen += 1;
        } else {
            self.take(param.id, tensor.dims().to_vec());
        }
    }
}

/// Reads the values of the blocks of a layout.
struct ValueReader<'a, B: AutodiffBackend> {
    layout: &'a ParamLayout,
    positions: HashMap<ParamId, usize>,
    values: Vec<Option<InnerFloat<B>>>,
    path: Vec<String>,
    failure: Option<ParamError>,
}

impl<B: AutodiffBackend> ValueReader<'_, B>
where
    B::InnerBackend: TensorBridge,
{
    fn take(&mut self, position: usize, value: InnerFloat<B>) -> Result<(), ParamError> {
        let (Some(slot), Some(block)) = (
            self.values.get_mut(position),
            self.layout.blocks().get(position),
        ) else {
            return Ok(());
        };
        match slot {
            None => *slot = Some(value),
            Some(first) if !same_values::<B>(first, &value)? => {
                return Err(ParamError::TiedApart {
                    block: block.name().to_string(),
                    alias: self.path.join("."),
                });
            }
            Some(_) => {}
        }
        Ok(())
    }
}

impl<B: AutodiffBackend> ModuleVisitor for ValueReader<'_, B>
where
    B::InnerBackend: TensorBridge,
{
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(position) = self.positions.get(&param.id).copied() else {
            return;
        };
        let taken = float_primitive::<B, D>(param.val())
            .map_err(ParamError::from)
            .and_then(|value| self.take(position, value));
        if let Err(failure) = taken {
            self.failure.get_or_insert(failure);
        }
    }
}

/// Whether two tensors hold the same numbers, bit for bit. Reads both.
fn same_values<B: AutodiffBackend>(
    a: &InnerFloat<B>,
    b: &InnerFloat<B>,
) -> Result<bool, VectorError> {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return Ok(false);
    }
    let (a, b) = (read_tensor::<B>(a.clone())?, read_tensor::<B>(b.clone())?);
    Ok(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()))
}

/// Writes new values into a module.
struct ValueWriter<'a, B: AutodiffBackend, F> {
    vector: &'a ParamVector<B>,
    positions: HashMap<ParamId, usize>,
    /// The first place of each block, once it is written.
    planted: Vec<Option<DispatchTensor>>,
    op: F,
    failure: Option<ParamError>,
}

impl<B: AutodiffBackend, F> ValueWriter<'_, B, F>
where
    B::InnerBackend: TensorBridge,
    F: Fn(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
{
    fn updated<const D: usize>(
        &self,
        position: usize,
        old: &Tensor<D>,
    ) -> Result<Tensor<D>, ParamError> {
        let old = float_primitive::<B, D>(old.clone())?;
        let blocks = self.vector.layout().blocks().get(position);
        let Some((block, value)) = blocks.zip(self.vector.blocks().get(position)) else {
            return Ok(user_tensor::<B, D>(old));
        };
        if old.shape().to_vec() != block.shape() {
            return Err(ParamError::Vector(VectorError::BlockShape {
                block: block.name().to_string(),
                expected: block.shape().to_vec(),
                found: old.shape().to_vec(),
            }));
        }
        expect_device(&old.device(), &value.device())?;
        let dtype = FloatDType::from(old.dtype());
        let new = (self.op)(old, value.clone());
        Ok(user_tensor::<B, D>(cast_to::<B>(new, dtype)))
    }
}

impl<B: AutodiffBackend, F> ModuleMapper for ValueWriter<'_, B, F>
where
    B::InnerBackend: TensorBridge,
    F: Fn(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
{
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(position) = self.positions.get(&param.id).copied() else {
            return param;
        };
        match (
            self.updated(position, &param.val()),
            self.planted.get_mut(position),
        ) {
            (Ok(new), Some(planted)) => replant(param, new, planted),
            (Ok(_), None) => param,
            (Err(failure), _) => {
                self.failure.get_or_insert(failure);
                param
            }
        }
    }
}

/// Puts the first place of each parameter in the others.
struct Retie {
    first: HashMap<ParamId, Option<DispatchTensor>>,
}

impl ModuleMapper for Retie {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.first.get_mut(&param.id) {
            None => param,
            Some(first @ None) => {
                *first = Some(param.val().into_dispatch());
                param
            }
            Some(first) => {
                let value = first
                    .clone()
                    .map_or_else(|| param.val(), Tensor::from_dispatch);
                replant(param, value.without_autodiff(), first)
            }
        }
    }
}

/// The parameter with a new value: a leaf again, with the flag, the checkpointing strategy and the distribution of the
/// old one. `value` carries no autodiff association.
///
/// The places of a shared parameter become one leaf, as when the model was built, so that Burn adds up their gradients:
/// `planted` is the leaf of the first place.
fn replant<const D: usize>(
    param: Param<Tensor<D>>,
    value: Tensor<D>,
    planted: &mut Option<DispatchTensor>,
) -> Param<Tensor<D>> {
    let (id, old, mapper) = param.consume();
    let first = planted
        .clone()
        .map(Tensor::<D>::from_dispatch)
        .filter(|first| {
            first.is_autodiff() == old.is_autodiff()
                && first.is_require_grad() == old.is_require_grad()
        });
    let new = first.unwrap_or_else(|| leaf(value, &old, id));
    planted.get_or_insert_with(|| new.clone().into_dispatch());
    Param::from_mapped_value(id, new, mapper)
}

fn leaf<const D: usize>(value: Tensor<D>, old: &Tensor<D>, id: ParamId) -> Tensor<D> {
    if !old.is_autodiff() {
        return value;
    }
    let mut new = Tensor::from_inner(value);
    if let Some(strategy) = old.gradient_checkpointing_strategy() {
        new = new.with_gradient_checkpointing_strategy(strategy);
    }
    new = new.set_require_grad(old.is_require_grad());
    if old.is_distributed() {
        new = new.set_distributed(id);
    }
    new
}
