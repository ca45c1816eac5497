//! The Kronecker factors of all layers, on the device and on the host. Knows plans and numbers, not where factors come
//! from.

use burn_backend::{AutodiffBackend, Shape, TensorMetadata, ops::FloatTensorOps};
use serde::{Deserialize, Serialize};

use super::{
    blocks::{BlockMap, Side},
    moment::Moment,
    parallel::map_each,
    plan::LayerPlan,
};
use crate::{
    derive::LayerKind,
    error::Error,
    objective::LayerMoments,
    operator::OperatorError,
    params::{Inner, InnerFloat, ParamLayout, ParamVector, read_tensor},
};

/// The factors of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LayerFactors {
    /// Name of the weight.
    pub name: String,
    /// A = E[ā āᵀ]
    pub a: Moment,
    /// G = c·Σ g gᵀ
    pub g: Moment,
}

/// The factors A and G of all layers on the device, in the objective's precision. Nothing is read back until it is asked
/// for.
#[derive(Clone, Debug)]
pub(crate) struct DeviceFactors<B: AutodiffBackend> {
    /// A and, unless it is the identity, G, layer by layer.
    moments: ParamVector<B>,
}

impl<B: AutodiffBackend> DeviceFactors<B> {
    /// `network` is the layout of the parameters.
    pub(super) fn new(
        plans: &[LayerPlan],
        network: &ParamLayout,
        layers: Vec<LayerMoments<B>>,
    ) -> Result<Self, Error> {
        let (mut shapes, mut blocks) = (Vec::new(), Vec::new());
        for (plan, layer) in plans.iter().zip(layers) {
            let name = name(plan, network);
            let (groups, d_in, d_out) = (plan.groups, plan.d_in, plan.d_out);
            shapes.push(match plan.kind {
                LayerKind::Embedding => (format!("{name} A"), vec![d_in]),
                LayerKind::Linear { .. } | LayerKind::Conv(_) => {
                    (format!("{name} A"), vec![groups, d_in, d_in])
                }
            });
            blocks.push(layer.inputs);
            if let Some(gradients) = layer.gradients {
                shapes.push((format!("{name} G"), vec![groups, d_out, d_out]));
                blocks.push(gradients);
            }
        }
        let layout = ParamLayout::from_shapes(shapes)?;
        Ok(Self {
            moments: ParamVector::from_blocks(&layout, blocks)?,
        })
    }

    /// The moving average decay·self + (1 − decay)·new, on the device.
    ///
    /// # Errors
    /// [`OperatorError::Factor`] for a decay outside 0 to 1; factors of another model, precision or device.
    #[allow(
        dead_code,
        reason = "for optimisers that keep factors from step to step"
    )]
    pub(crate) fn averaged(self, new: &Self, decay: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&decay) {
            return Err(OperatorError::Factor { found: decay }.into());
        }
        Ok(Self {
            moments: self.moments.mixed(decay, &new.moments)?,
        })
    }

    /// The factors on the host, in f64.
    ///
    /// # Errors
    /// [`OperatorError::NonFiniteFactor`]; a failed read.
    pub(super) fn read(
        &self,
        plans: &[LayerPlan],
        network: &ParamLayout,
    ) -> Result<Vec<LayerFactors>, Error> {
        let blocks = self.moments.blocks();
        let cost = |block: &InnerFloat<B>| block.shape().num_elements();
        let mut read = map_each(blocks, cost, |block| read_tensor::<B>(block.clone())).into_iter();
        let mut next = || read.next().unwrap_or_else(|| Ok(Vec::new()));
        let layers = plans.iter().map(|plan| {
            let a = match plan.kind {
                LayerKind::Embedding => Moment::Diagonal(next()?),
                LayerKind::Linear { .. } | LayerKind::Conv(_) => Moment::Dense {
                    groups: plan.groups,
                    size: plan.d_in,
                    values: next()?,
                },
            };
            let g = match self.has_gradients(plans) {
                true => Moment::Dense {
                    groups: plan.groups,
                    size: plan.d_out,
                    values: next()?,
                },
                false => Moment::identity(plan.groups, plan.d_out),
            };
            let name = name(plan, network).to_string();
            a.expect_finite(&name)?;
            g.expect_finite(&name)?;
            Ok(LayerFactors { name, a, g })
        });
        layers.collect()
    }

    /// V ↦ A V G for every layer, without leaving the device.
    pub(super) fn maps(&self, plans: &[LayerPlan]) -> Vec<BlockMap<B>> {
        let mut blocks = self.moments.blocks().iter().cloned();
        let mut next = || blocks.next();
        let maps = plans.iter().map(|plan| BlockMap::Sandwich {
            left: match plan.kind {
                LayerKind::Embedding => next().map_or(Side::Identity, |a| {
                    Side::Diagonal(column::<B>(a, plan.d_in))
                }),
                LayerKind::Linear { .. } | LayerKind::Conv(_) => {
                    next().map_or(Side::Identity, Side::Matrix)
                }
            },
            right: match self.has_gradients(plans) {
                true => next().map_or(Side::Identity, Side::Matrix),
                false => Side::Identity,
            },
        });
        maps.collect()
    }

    /// Whether G is anything but the identity.
    fn has_gradients(&self, plans: &[LayerPlan]) -> bool {
        self.moments.blocks().len() > plans.len()
    }
}

/// Of the layer's weight.
fn name<'a>(plan: &LayerPlan, network: &'a ParamLayout) -> &'a str {
    let weight = network.blocks().get(plan.weight);
    weight.map_or("", |block| block.name())
}

fn column<B: AutodiffBackend>(diagonal: InnerFloat<B>, size: usize) -> InnerFloat<B> {
    Inner::<B>::float_reshape(diagonal, Shape::from(vec![1, size, 1]))
}
