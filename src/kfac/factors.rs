//! The Kronecker factors of all layers, on the device and on the host. Knows plans and numbers, not where factors come
//! from.

use std::sync::{Arc, OnceLock};

use burn_backend::{AutodiffBackend, Shape, Slice, TensorMetadata, ops::FloatTensorOps};
use serde::{Deserialize, Serialize};

use super::{
    blocks::{BlockMap, Side},
    moment::Moment,
    parallel::map_each,
    pass::LayerMoments,
    plan::{LayerPlan, upload},
};
use crate::{
    error::Error,
    operator::OperatorError,
    space::{Inner, InnerFloat, ParamLayout, ParamVector, read_tensor},
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
    /// A and, unless it is the identity, G, layer by layer; none in a network without layers.
    moments: Option<ParamVector<B>>,
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
            let shape = match plan.diagonal {
                true => vec![d_in],
                false => vec![groups, d_in, d_in],
            };
            shapes.push((format!("{name} A"), shape));
            blocks.push(layer.inputs);
            if let Some(gradients) = layer.gradients {
                shapes.push((format!("{name} G"), vec![groups, d_out, d_out]));
                blocks.push(gradients);
            }
        }
        if blocks.is_empty() {
            return Ok(Self { moments: None });
        }
        let layout = ParamLayout::from_shapes(shapes)?;
        Ok(Self { moments: Some(ParamVector::from_blocks(&layout, blocks)?) })
    }

    /// The moving average decay·self + (1 − decay)·new, on the device.
    ///
    /// # Errors
    /// [`OperatorError::Factor`] for a decay outside 0 to 1; factors of another model, precision or device.
    pub(crate) fn averaged(self, new: &Self, decay: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&decay) {
            return Err(OperatorError::Factor { found: decay }.into());
        }
        Ok(Self {
            moments: match (self.moments, &new.moments) {
                (Some(own), Some(new)) => Some(own.mixed(decay, new)?),
                _ => None,
            },
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
        let blocks = self.blocks();
        let cost = |block: &InnerFloat<B>| block.shape().num_elements();
        let mut read = map_each(blocks, cost, |block| read_tensor::<B>(block.clone())).into_iter();
        let mut next = || read.next().unwrap_or_else(|| Ok(Vec::new()));
        let layers = plans.iter().map(|plan| {
            let a = match plan.diagonal {
                true => Moment::Diagonal(next()?),
                false => Moment::Dense { groups: plan.groups, size: plan.d_in, values: next()? },
            };
            let g = match self.has_gradients(plans) {
                true => Moment::Dense { groups: plan.groups, size: plan.d_out, values: next()? },
                false => Moment::identity(plan.groups, plan.d_out),
            };
            let name = name(plan, network).to_string();
            a.expect_finite(&name)?;
            g.expect_finite(&name)?;
            Ok(LayerFactors { name, a, g })
        });
        layers.collect()
    }

    /// Checks that all numbers are finite, of factors that are sums of squares: by their traces, which bound all other
    /// entries. Reads one number back where they are, else the factors.
    ///
    /// # Errors
    /// [`OperatorError::NonFiniteFactor`]; a failed read.
    pub(super) fn expect_finite(
        &self,
        plans: &[LayerPlan],
        network: &ParamLayout,
    ) -> Result<(), Error> {
        let traces: Vec<_> = self.blocks().iter().cloned().map(trace::<B>).collect();
        if traces.is_empty() {
            return Ok(());
        }
        let total = Inner::<B>::float_sum(Inner::<B>::float_cat(traces, 0));
        match read_tensor::<B>(total)?.iter().all(|sum| sum.is_finite()) {
            true => Ok(()),
            false => self.read(plans, network).map(drop),
        }
    }

    /// V ↦ A V G for every layer, without leaving the device.
    pub(super) fn maps(&self, plans: &[LayerPlan]) -> Vec<BlockMap<B>> {
        let mut blocks = self.blocks().iter().cloned();
        let mut next = || blocks.next();
        let maps = plans.iter().map(|plan| BlockMap::Sandwich {
            left: match plan.diagonal {
                true => {
                    next().map_or(Side::Identity, |a| Side::Diagonal(column::<B>(a, plan.d_in)))
                }
                false => next().map_or(Side::Identity, Side::Matrix),
            },
            right: match self.has_gradients(plans) {
                true => next().map_or(Side::Identity, Side::Matrix),
                false => Side::Identity,
            },
        });
        maps.collect()
    }

    fn blocks(&self) -> &[InnerFloat<B>] {
        self.moments.as_ref().map_or(&[], |moments| moments.blocks())
    }

    /// Whether G is anything but the identity.
    fn has_gradients(&self, plans: &[LayerPlan]) -> bool {
        self.blocks().len() > plans.len()
    }
}

/// The factors of all layers on the host, read from the device when they are first asked for. Clones share them.
#[derive(Clone)]
pub(super) struct HostFactors<B: AutodiffBackend>(Arc<Lazy<B>>);

struct Lazy<B: AutodiffBackend> {
    device: Option<DeviceFactors<B>>,
    host: OnceLock<Result<Vec<LayerFactors>, Error>>,
}

impl<B: AutodiffBackend> HostFactors<B> {
    pub fn on_device(factors: &DeviceFactors<B>) -> Self {
        Self(Arc::new(Lazy { device: Some(factors.clone()), host: OnceLock::new() }))
    }

    pub fn known(factors: Vec<LayerFactors>) -> Self {
        Self(Arc::new(Lazy { device: None, host: OnceLock::from(Ok(factors)) }))
    }

    #[cfg(test)]
    pub fn were_read(&self) -> bool {
        self.0.host.get().is_some()
    }

    /// # Errors
    /// Those of [`DeviceFactors::read`].
    pub fn read(
        &self,
        plans: &[LayerPlan],
        network: &ParamLayout,
    ) -> Result<&[LayerFactors], Error> {
        // Not under the cell's lock: threads that wait for their share of a read may take up work that reads too.
        if self.0.host.get().is_none() {
            let read = match &self.0.device {
                Some(device) => device.read(plans, network),
                None => Ok(Vec::new()),
            };
            // Whoever was first, the numbers are the same.
            self.0.host.set(read).ok();
        }
        match self.0.host.get() {
            Some(Ok(factors)) => Ok(factors),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(&[]),
        }
    }
}

/// A moment as it stands among device factors.
pub(super) fn on_device<B: AutodiffBackend>(
    moment: &Moment,
    like: &ParamVector<B>,
) -> InnerFloat<B> {
    match moment {
        Moment::Dense { groups, size, values } => {
            upload(values, [*groups, *size, *size], like.space())
        }
        Moment::Diagonal(values) => {
            let size = values.len();
            let column = upload(values, [1, 1, size], like.space());
            Inner::<B>::float_reshape(column, Shape::from(vec![size]))
        }
    }
}

/// The sum of what is on the diagonals.
fn trace<B: AutodiffBackend>(moment: InnerFloat<B>) -> InnerFloat<B> {
    let [groups, size, _] = moment.shape()[..] else {
        return Inner::<B>::float_sum(moment);
    };
    let rows = Inner::<B>::float_reshape(moment, Shape::from(vec![groups, size * size]));
    let step = Slice::new(0, None, size as isize + 1);
    Inner::<B>::float_sum(Inner::<B>::float_slice(rows, &[Slice::full(), step]))
}

/// Of the layer's weight.
fn name<'a>(plan: &LayerPlan, network: &'a ParamLayout) -> &'a str {
    let weight = network.blocks().get(plan.weight);
    weight.map_or("", |block| block.name())
}

fn column<B: AutodiffBackend>(diagonal: InnerFloat<B>, size: usize) -> InnerFloat<B> {
    Inner::<B>::float_reshape(diagonal, Shape::from(vec![1, size, 1]))
}
