//! Block-diagonal maps of θ-space, one block a layer. Knows layers' matrices and dense blocks, not what they stand for.

use std::{fmt, sync::Arc};

use burn_backend::{AutodiffBackend, Shape, ops::FloatTensorOps};

use super::{
    blocks::{BlockMap, Side},
    moment::{Eigen, Moment},
    network::Plans,
    plan::upload,
};
use crate::{
    error::Error,
    operator::{LinearOperator, OperatorError, SelfAdjoint},
    params::{Inner, InnerFloat, ParamLayout, ParamVector, VectorError},
};

/// A function of K-FAC's curvature, block by block, such as its damped inverse or its square root.
///
/// Made by [`Kfac`](crate::Kfac); self-adjoint. A positive definite one, such as an inverse, serves as a preconditioner
/// of conjugate gradients.
pub struct KfacMap<B: AutodiffBackend> {
    /// Layout, device and precision; its numbers are zeros.
    like: ParamVector<B>,
    plans: Plans,
    maps: Arc<[BlockMap<B>]>,
    /// Blocks of parameters that belong to no layer, `[1, size, size]`, by position.
    dense: Arc<[(usize, InnerFloat<B>)]>,
    /// What the blocks of all other parameters are multiplied by.
    rest: f64,
}

/// The eigen-decompositions of all blocks.
pub(super) struct Spectra {
    /// Of A and G, and their eigenvalues combined, `[groups, d_in, d_out]`.
    pub layers: Vec<(Eigen, Eigen, Vec<f64>)>,
    pub dense: Vec<(usize, Eigen)>,
}

impl Spectra {
    /// All eigenvalues.
    pub fn eigenvalues(&self) -> impl Iterator<Item = f64> {
        let layers = self.layers.iter().flat_map(|(_, _, middle)| middle);
        let dense = self.dense.iter().flat_map(|(_, eigen)| &eigen.values);
        layers.chain(dense).copied()
    }
}

impl Spectra {
    /// log det of the damped matrix of so many rows; those of no block are zero before damping.
    pub fn log_determinant(&self, damping: f64, total: usize) -> Result<f64, Error> {
        let (mut count, mut sum) = (0, 0.0);
        for value in self.eigenvalues() {
            count += 1;
            sum += (value + damping).ln();
        }
        let rest = total.saturating_sub(count);
        match (rest, damping > 0.0) {
            (0, _) => Ok(sum),
            (_, true) => Ok(sum + rest as f64 * damping.ln()),
            (_, false) => Err(OperatorError::KfacSingular { damping }.into()),
        }
    }
}

/// λᵢ·λⱼ group by group.
pub(super) fn outer(a: &Eigen, g: &Eigen) -> Vec<f64> {
    let groups = a.values.chunks(a.size).zip(g.values.chunks(g.size));
    groups
        .flat_map(|(a, g)| a.iter().flat_map(move |a| g.iter().map(move |g| a * g)))
        .collect()
}

impl<B: AutodiffBackend> KfacMap<B> {
    pub(super) fn new(
        like: &ParamVector<B>,
        plans: &Plans,
        maps: Vec<BlockMap<B>>,
        dense: &[(usize, Moment)],
        rest: f64,
    ) -> Self {
        let dense = dense
            .iter()
            .map(|(position, moment)| (*position, matrix(moment, like)));
        Self {
            like: like.zeros_like(),
            plans: Arc::clone(plans),
            maps: maps.into(),
            dense: dense.collect(),
            rest,
        }
    }

    /// f of the eigenvalues of every block.
    pub(super) fn spectral(
        like: &ParamVector<B>,
        plans: &Plans,
        spectra: &Spectra,
        f: impl Fn(f64) -> f64,
    ) -> Self {
        let maps = spectra
            .layers
            .iter()
            .zip(plans.iter())
            .map(|((a, g, middle), plan)| {
                let middle: Vec<f64> = middle.iter().map(|value| f(*value)).collect();
                BlockMap::Spectral {
                    left: Side::basis(a, like),
                    right: Side::basis(g, like),
                    middle: upload(&middle, [plan.groups, plan.d_in, plan.d_out], like),
                }
            });
        let dense: Vec<_> = spectra
            .dense
            .iter()
            .map(|(position, eigen)| (*position, eigen.function(&f)))
            .collect();
        Self::new(like, plans, maps.collect(), &dense, f(0.0))
    }

    fn multiply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.like.layout().expect_same(vector.layout())?;
        if vector.precision() != self.like.precision() {
            return Err(VectorError::PrecisionMismatch {
                expected: self.like.precision(),
                found: vector.precision(),
            }
            .into());
        }
        let mut blocks: Vec<_> = match self.rest == 1.0 {
            true => vector.blocks().to_vec(),
            false => vector.clone().scale(self.rest).into_blocks(),
        };
        let mut put = |position: usize, block: InnerFloat<B>| {
            if let Some(place) = blocks.get_mut(position) {
                *place = block;
            }
        };
        for (plan, map) in self.plans.iter().zip(self.maps.iter()) {
            let Some(v) = plan.to_matrix(vector) else {
                continue;
            };
            let (weight, bias) = plan.to_blocks::<B>(map.apply(v));
            put(plan.weight, weight);
            if let (Some(position), Some(bias)) = (plan.bias, bias) {
                put(position, bias);
            }
        }
        for (position, matrix) in self.dense.iter() {
            let (Some(block), Some(place)) = (
                vector.blocks().get(*position),
                vector.layout().blocks().get(*position),
            ) else {
                continue;
            };
            let column = Shape::from(vec![1, place.len(), 1]);
            let column = Inner::<B>::float_reshape(block.clone(), column);
            let product = Inner::<B>::float_matmul(matrix.clone(), column);
            let shape = Shape::from(place.shape().to_vec());
            put(*position, Inner::<B>::float_reshape(product, shape));
        }
        Ok(ParamVector::from_blocks(self.like.layout(), blocks)?)
    }
}

fn matrix<B: AutodiffBackend>(moment: &Moment, like: &ParamVector<B>) -> InnerFloat<B> {
    let size = moment.size();
    match moment {
        Moment::Dense { values, .. } => upload(values, [1, size, size], like),
        Moment::Diagonal(values) => {
            let at = |position: usize| match position % (size + 1) {
                0 => values.get(position / (size + 1)).copied().unwrap_or(0.0),
                _ => 0.0,
            };
            let dense: Vec<f64> = (0..size * size).map(at).collect();
            upload(&dense, [1, size, size], like)
        }
    }
}

impl<B: AutodiffBackend> Clone for KfacMap<B> {
    fn clone(&self) -> Self {
        Self {
            like: self.like.clone(),
            plans: Arc::clone(&self.plans),
            maps: Arc::clone(&self.maps),
            dense: Arc::clone(&self.dense),
            rest: self.rest,
        }
    }
}

impl<B: AutodiffBackend> fmt::Debug for KfacMap<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KfacMap")
            .field("parameters", &self.like.len())
            .field("layers", &self.plans.len())
            .finish_non_exhaustive()
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for KfacMap<B> {
    fn domain(&self) -> &Arc<ParamLayout> {
        self.like.layout()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.multiply(vector)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for KfacMap<B> {}

/// Checks that a damping is one.
pub(super) fn expect_number(damping: f64) -> Result<(), OperatorError> {
    match damping.is_finite() && damping >= 0.0 {
        true => Ok(()),
        false => Err(OperatorError::Damping { found: damping }),
    }
}

/// Checks a damping for functions that divide by the damped eigenvalues.
pub(super) fn expect_damping(damping: f64, spectra: &Spectra) -> Result<(), Error> {
    expect_number(damping)?;
    let smallest = spectra.eigenvalues().fold(f64::INFINITY, f64::min);
    if smallest + damping > 0.0 {
        return Ok(());
    }
    Err(OperatorError::KfacSingular { damping }.into())
}
