//! Between vectors and Burn's gradients, so that Burn's optimizers can apply steps from here.

use std::{collections::HashMap, sync::Arc};

use burn::{
    Tensor,
    module::{Module, ParamId},
    optim::GradientsParams,
    tensor::Gradients,
};
use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use crate::tensor::TensorBridge;

use super::{
    Inner, InnerFloat, ParamBlock, ParamError, ParamLayout, ParamVector, VectorError,
    model::{
        FloatPlace, LocatedTensor, Place, Visit, any_rank, float_places, float_primitive,
        user_tensor, visit,
    },
};

impl<B: AutodiffBackend> ParamVector<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The gradient from Burn's `GradientsParams`. A parameter without a gradient gets zeros. Copies nothing.
    ///
    /// # Errors
    /// [`ParamError::ForeignGradients`] if none of the gradients belongs to the model; [`ParamError::SeparateLeaves`] if
    /// a shared parameter needs [`from_backward`](Self::from_backward); and those of
    /// [`from_module`](ParamVector::from_module).
    pub fn from_gradients<M: Module>(
        model: &M,
        gradients: &GradientsParams,
    ) -> Result<Self, ParamError> {
        let layout = ParamLayout::of(model)?;
        expect_shared_leaves(&layout, model)?;
        let values = collect::<B, M>(&layout, model, Source::ByParameter(gradients))?;
        if values.iter().all(Option::is_none) && !gradients.is_empty() {
            return Err(ParamError::ForeignGradients { found: gradients.len() });
        }
        filled(&layout, model, values)
    }

    /// The gradient from the result of Burn's `backward()`, summed over the places of a shared parameter. A parameter
    /// without a gradient gets zeros. Copies nothing.
    ///
    /// # Errors
    /// Those of [`from_module`](ParamVector::from_module).
    pub fn from_backward<M: Module>(
        model: &M,
        mut gradients: Gradients,
    ) -> Result<Self, ParamError> {
        let layout = ParamLayout::of(model)?;
        let values = collect::<B, M>(&layout, model, Source::ByLeaf(&mut gradients))?;
        filled(&layout, model, values)
    }

    /// This vector as gradients for an optimizer of Burn. Copies nothing.
    ///
    /// The optimizer finds parameters by identity, so the vector must have been made for the model that is
    /// stepped, and in the precision of that model: [`cast`](Self::cast) it where it was computed in f64 for a model in f32,
    /// since Burn's optimizers panic on a mixture. Of a shared parameter it updates only the first place: call
    /// [`ParamLayout::retie`] afterwards.
    ///
    /// # Errors
    /// [`ParamError::NoIdentity`] for a layout that was not taken from a model; [`ParamError::FrozenFirst`] where Burn's
    /// optimizer would update a frozen clone in place of the parameter; [`ParamError::Rank`].
    ///
    /// # Example
    /// ```
    /// use burn::{backend::{Autodiff, Flex}, nn::LinearConfig, optim::SgdConfig, tensor::Device};
    /// use burn_curvature::ParamVector;
    ///
    /// let model = LinearConfig::new(3, 2).init(&Device::flex().autodiff());
    /// let theta = ParamVector::<Autodiff<Flex>>::from_module(&model)?;
    /// let step = theta.space().normal(1);
    /// let model = SgdConfig::new().init().step(0.5, model, step.clone().into_gradients()?);
    /// let expected = theta.axpy(-0.5, &step)?;
    /// assert_eq!(ParamVector::from_module(&model)?.sub(&expected)?.norm()?, 0.0);
    /// # Ok::<(), burn_curvature::Error>(())
    /// ```
    #[inline(never)]
    pub fn into_gradients(self) -> Result<GradientsParams, ParamError> {
        let layout = self.layout().clone();
        let mut gradients = GradientsParams::new();
        for (block, value) in layout.blocks().iter().zip(self.into_blocks()) {
            register::<B>(&mut gradients, block, value)?;
        }
        Ok(gradients)
    }
}

/// An expression with a rank as the constant `$d`; `None` for ranks that Burn's optimizers do not take.
macro_rules! of_rank {
    ($rank:expr, $d:ident => $use:expr) => {
        of_rank!(@ $rank, $d => $use; 1 2 3 4 5 6 7 8)
    };
    (@ $rank:expr, $d:ident => $use:expr; $($number:literal)+) => {
        match $rank {
            $($number => {
                const $d: usize = $number;
                Some($use)
            })+
            _ => None,
        }
    };
}

/// Puts a block among the gradients, as the tensor of its rank.
#[inline(never)]
fn register<B: AutodiffBackend>(
    gradients: &mut GradientsParams,
    block: &ParamBlock,
    value: InnerFloat<B>,
) -> Result<(), ParamError>
where
    B::InnerBackend: TensorBridge,
{
    let id =
        block.id().ok_or_else(|| ParamError::NoIdentity { block: block.name().to_string() })?;
    if let Some(frozen) = &block.frozen_first {
        return Err(ParamError::FrozenFirst {
            block: block.name().to_string(),
            frozen: frozen.clone(),
        });
    }
    let value = user_tensor::<B>(value);
    of_rank!(block.shape().len(), D => gradients.register(id, Tensor::<D>::from_dispatch(value)))
        .ok_or_else(|| ParamError::Rank {
            block: block.name().to_string(),
            rank: block.shape().len(),
        })
}

/// Where gradients come from.
enum Source<'a> {
    /// One per parameter: taken at its first place.
    ByParameter(&'a GradientsParams),
    /// One per leaf: removed, so that places that are one leaf count once, and added up.
    ByLeaf(&'a mut Gradients),
}

impl Source<'_> {
    fn take(&mut self, id: ParamId, parameter: &Tensor<1>, first: bool) -> Option<Tensor<1>> {
        match self {
            Source::ByParameter(gradients) if first => {
                let rank = parameter.shape().num_dims();
                of_rank!(rank, D => gradients.get::<D>(id)?.into_dispatch()).map(any_rank)
            }
            Source::ByParameter(_) => None,
            Source::ByLeaf(gradients) => parameter.grad_remove(gradients),
        }
    }
}

fn collect<B: AutodiffBackend, M: Module>(
    layout: &ParamLayout,
    model: &M,
    source: Source<'_>,
) -> Result<Vec<Option<InnerFloat<B>>>, ParamError>
where
    B::InnerBackend: TensorBridge,
{
    let mut collector = GradientCollector::<B>::new(layout, &float_places(model), source)?;
    visit(model, &mut collector);
    collector.finish()
}

/// Zeros for the parameters without a gradient.
fn filled<B: AutodiffBackend, M: Module>(
    layout: &Arc<ParamLayout>,
    model: &M,
    values: Vec<Option<InnerFloat<B>>>,
) -> Result<ParamVector<B>, ParamError>
where
    B::InnerBackend: TensorBridge,
{
    let missing = values.iter().any(Option::is_none);
    let parameters = missing.then(|| ParamVector::<B>::from_module_with(layout, model));
    Ok(assembled(layout, values, parameters.transpose()?)?)
}

/// The vector of some values, with zeros like `parameters` for those that are missing.
#[inline(never)]
fn assembled<B: AutodiffBackend>(
    layout: &Arc<ParamLayout>,
    values: Vec<Option<InnerFloat<B>>>,
    parameters: Option<ParamVector<B>>,
) -> Result<ParamVector<B>, VectorError> {
    let Some(parameters) = parameters else {
        return ParamVector::from_blocks(layout, values.into_iter().flatten().collect());
    };
    let values = values.into_iter().zip(parameters.space().zeros().into_blocks());
    let values = values.map(|(value, zero)| value.unwrap_or(zero));
    ParamVector::from_blocks(layout, values.collect())
}

struct GradientCollector<'a, B: AutodiffBackend> {
    positions: HashMap<Place, usize>,
    values: Vec<Option<InnerFloat<B>>>,
    source: Source<'a>,
    failure: Option<ParamError>,
}

impl<'a, B: AutodiffBackend> GradientCollector<'a, B> {
    #[inline(never)]
    fn new(
        layout: &ParamLayout,
        places: &[FloatPlace],
        source: Source<'a>,
    ) -> Result<Self, ParamError> {
        let positions = layout.positions_in(places)?;
        Ok(Self { positions, values: vec![None; layout.blocks().len()], source, failure: None })
    }

    #[inline(never)]
    fn finish(self) -> Result<Vec<Option<InnerFloat<B>>>, ParamError> {
        self.failure.map_or(Ok(self.values), Err)
    }
}

impl<B: AutodiffBackend> Visit for GradientCollector<'_, B>
where
    B::InnerBackend: TensorBridge,
{
    #[inline(never)]
    fn tensor(&mut self, found: LocatedTensor<'_>) {
        let position = self.positions.get(&found.place()).copied();
        let slot = position.and_then(|position| self.values.get_mut(position));
        let (Some(slot), Some(parameter)) = (slot, found.float()) else { return };
        let Some(gradient) = self.source.take(found.id, &parameter, slot.is_none()) else {
            return;
        };
        match float_primitive::<B>(gradient) {
            Ok(gradient) => {
                *slot = Some(match slot.take() {
                    Some(sum) => Inner::<B>::float_add(sum, gradient),
                    None => gradient,
                });
            }
            Err(failure) => {
                self.failure.get_or_insert(failure.into());
            }
        }
    }
}

/// Checks that all places of a shared parameter are one leaf of the autodiff graph.
fn expect_shared_leaves<M: Module>(layout: &ParamLayout, model: &M) -> Result<(), ParamError> {
    let mut check = LeafCheck::new(layout);
    if !check.blocks.is_empty() {
        visit(model, &mut check);
    }
    check.failure.map_or(Ok(()), Err)
}

/// Differentiates the sum of the first place of each shared parameter: the other places have a gradient only if they
/// are the same leaf.
struct LeafCheck<'a> {
    blocks: HashMap<ParamId, &'a ParamBlock>,
    gradients: HashMap<ParamId, Gradients>,
    failure: Option<ParamError>,
}

impl<'a> LeafCheck<'a> {
    fn new(layout: &'a ParamLayout) -> Self {
        let shared = layout.blocks().iter().filter(|block| !block.aliases().is_empty());
        let blocks = shared.filter_map(|block| Some((block.id()?, block))).collect();
        Self { blocks, gradients: HashMap::new(), failure: None }
    }
}

impl Visit for LeafCheck<'_> {
    fn tensor(&mut self, found: LocatedTensor<'_>) {
        let block = self.blocks.get(&found.id);
        let (Some(block), Some(tensor)) = (block, found.float()) else { return };
        if !tensor.is_require_grad() {
            return;
        }
        match self.gradients.get(&found.id) {
            None => {
                self.gradients.insert(found.id, tensor.sum().backward());
            }
            Some(gradients) if tensor.grad(gradients).is_none() => {
                self.failure.get_or_insert(ParamError::SeparateLeaves {
                    block: block.name().to_string(),
                    alias: found.place().path,
                });
            }
            Some(_) => {}
        }
    }
}
