//! Block-diagonal maps of θ-space, one block a layer. Knows layers' matrices and dense blocks, not what they stand for.

use std::{fmt, sync::Arc};

use burn_backend::{AutodiffBackend, Shape, ops::FloatTensorOps};

use super::{
    blocks::{BlockMap, Side},
    moment::Moment,
    network::Plans,
    plan::upload,
    spectra::{DampedRetry, Spectra},
};
use crate::{
    error::Error,
    operator::{LinearOperator, OperatorError, SelfAdjoint},
    space::{Inner, InnerFloat, ParamBlock, ParamSpace, ParamVector, VectorError},
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
    /// Blocks of parameters that belong to no layer, by position.
    dense: Arc<[(usize, Side<B>)]>,
    /// What the blocks of all other parameters are multiplied by.
    rest: f64,
    retries: Arc<[DampedRetry]>,
}

impl<B: AutodiffBackend> KfacMap<B> {
    /// `like` is of zeros.
    pub(super) fn new(
        like: &ParamVector<B>,
        plans: &Plans,
        maps: Vec<BlockMap<B>>,
        dense: &[(usize, Moment)],
        rest: f64,
    ) -> Self {
        let dense = dense.iter().map(|(position, moment)| (*position, Side::moment(moment, like)));
        Self {
            like: like.clone(),
            plans: Arc::clone(plans),
            maps: maps.into(),
            dense: dense.collect(),
            rest,
            retries: Arc::default(),
        }
    }

    /// With what is to be said of the decompositions it was made by.
    pub(super) fn with_retries(mut self, retries: Vec<DampedRetry>) -> Self {
        self.retries = retries.into();
        self
    }

    /// The eigen-decompositions that failed at first, and came out with some damping; as a rule none.
    pub fn retries(&self) -> &[DampedRetry] {
        &self.retries
    }

    /// The block of one layer, on its weight and bias only; of one parameter where it belongs to no layer.
    ///
    /// `parameter` is a name of the layout: that of a weight, or of the bias that goes with it. The vectors of the block
    /// are those of [`ParamLayout::select`](ParamLayout::select) with both names.
    ///
    /// # Cost
    /// Nothing is copied. A product costs that of the layer alone.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchParameter`].
    pub fn layer(&self, parameter: &str) -> Result<Self, Error> {
        let found = self.position(parameter)?;
        let mut layers = self.plans.iter().zip(self.maps.iter());
        let own = layers.find(|(plan, _)| plan.weight == found || plan.bias == Some(found));
        let (weight, bias) = own.map_or((found, None), |(plan, _)| (plan.weight, plan.bias));
        let blocks = self.like.layout().blocks();
        let names = [Some(weight), bias].into_iter().flatten();
        let names: Vec<&str> =
            names.filter_map(|position| blocks.get(position).map(ParamBlock::name)).collect();
        let subset = self.like.layout().select_by(|block| names.contains(&block.name()))?;
        let place = |position: usize| {
            let mut positions = subset.positions().iter();
            positions.position(|&kept| kept == position)
        };
        let own = own.and_then(|(plan, map)| {
            let plan = plan.at(place(plan.weight)?, plan.bias.and_then(place));
            Some((plan, map.clone()))
        });
        let (plans, maps): (Vec<_>, Vec<_>) = own.into_iter().unzip();
        let dense = self.dense.iter();
        let dense = dense.filter_map(|(position, block)| Some((place(*position)?, block.clone())));
        let retries = self.retries.iter();
        let retries = retries.filter(|retry| names.contains(&retry.parameter.as_str()));
        Ok(Self {
            like: subset.restrict(&self.like)?,
            plans: plans.into(),
            maps: maps.into(),
            dense: dense.collect(),
            rest: self.rest,
            retries: retries.cloned().collect(),
        })
    }

    /// The position of a parameter by any of its names.
    fn position(&self, parameter: &str) -> Result<usize, OperatorError> {
        let blocks = self.like.layout().blocks();
        let mut own = blocks.iter();
        let found = own.position(|block| block.paths().any(|path| path == parameter));
        found.ok_or_else(|| OperatorError::NoSuchParameter {
            found: parameter.into(),
            available: blocks.iter().map(|block| block.name().into()).collect(),
        })
    }

    /// f of the eigenvalues of every block.
    pub(super) fn spectral(
        like: &ParamVector<B>,
        plans: &Plans,
        spectra: &Spectra,
        f: impl Fn(f64) -> f64,
    ) -> Self {
        let maps = spectra.layers.iter().zip(plans.iter()).map(|(layer, plan)| {
            let middle: Vec<f64> = layer.diagonal.iter().map(|value| f(*value)).collect();
            BlockMap::Spectral {
                left: Side::basis(&layer.a, like),
                right: Side::basis(&layer.g, like),
                middle: upload(&middle, [plan.groups, plan.d_in, plan.d_out], like.space()),
            }
        });
        let dense: Vec<_> =
            spectra.dense.iter().map(|(position, eigen)| (*position, eigen.function(&f))).collect();
        let retries = spectra.retries(like.layout());
        Self::new(like, plans, maps.collect(), &dense, f(0.0)).with_retries(retries)
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
            let (Some(block), Some(place)) =
                (vector.blocks().get(*position), vector.layout().blocks().get(*position))
            else {
                continue;
            };
            let column = Shape::from(vec![1, place.len(), 1]);
            let column = Inner::<B>::float_reshape(block.clone(), column);
            let product = matrix.left(false, column);
            let shape = Shape::from(place.shape().to_vec());
            put(*position, Inner::<B>::float_reshape(product, shape));
        }
        Ok(ParamVector::from_blocks(self.like.layout(), blocks)?)
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
            retries: Arc::clone(&self.retries),
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
    fn domain(&self) -> &ParamSpace<B> {
        self.like.space()
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
