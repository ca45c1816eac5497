//! The layers of a network, and their factors.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    Treatment,
    factor::{Eigenbasis, FactorSpectrum, KroneckerFactor, once},
    layers::{LayerGroup, LayerKind},
    pass::LayerMoments,
    program::FactorKind,
    signature::FactorShape,
};
use crate::{
    error::Error,
    operator::{DenseMatrix, WeightMatrix},
    space::{InnerFloat, ParamBlock, ParamLayout, ParamSpace, ParamSubset, read_tensor},
    tensor::DefaultBackend,
};

/// One weight, with the bias that goes with it.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub kind: LayerKind,
    /// Its parameters among all.
    pub subset: ParamSubset,
    pub matrix: WeightMatrix,
    /// How often the network uses the weight.
    pub uses: usize,
    /// Whether A is a diagonal.
    pub diagonal: bool,
    pub treatment: Treatment,
}

impl Layer {
    pub fn new(
        group: &LayerGroup,
        kind: FactorKind,
        layout: &Arc<ParamLayout>,
    ) -> Result<Self, Error> {
        let (weight, bias) = (group.weight, group.bias);
        let names: Vec<&str> = [Some(weight), bias]
            .into_iter()
            .filter_map(|position| layout.blocks().get(position?).map(ParamBlock::name))
            .collect();
        let subset = layout.select_by(|block| names.contains(&block.name()))?;
        let at = |position: usize| subset.positions().iter().position(|kept| *kept == position);
        let groups = group.kind.groups();
        let matrix = WeightMatrix {
            groups,
            rows: group.d_in(),
            columns: group.width_out() / groups.max(1),
            shape: group.shape.clone(),
            transposed: group.kind.is_stored_by_outputs(),
            weight: at(weight).unwrap_or(0),
            bias: bias.and_then(at),
        };
        Ok(Self {
            kind: group.kind.clone(),
            matrix,
            uses: group.uses.len(),
            diagonal: kind.has_diagonal(group),
            treatment: Treatment::Unused,
            subset,
        })
    }

    /// The kind of layer, for people.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            LayerKind::Linear { .. } => "linear",
            LayerKind::Conv(_) => "convolution",
            LayerKind::Embedding => "embedding",
        }
    }

    /// Position of the weight in the whole layout.
    pub fn weight_position(&self) -> usize {
        self.subset.positions().get(self.matrix.weight).copied().unwrap_or(0)
    }

    /// Position of the bias in the whole layout.
    pub fn bias_position(&self) -> Option<usize> {
        self.subset.positions().get(self.matrix.bias?).copied()
    }

    pub fn weight(&self) -> &str {
        self.name(self.matrix.weight).unwrap_or_default()
    }

    pub fn bias(&self) -> Option<&str> {
        self.name(self.matrix.bias?)
    }

    fn name(&self, position: usize) -> Option<&str> {
        self.subset.layout().blocks().get(position).map(ParamBlock::name)
    }

    pub fn input_shape(&self) -> FactorShape {
        let WeightMatrix { groups, rows, .. } = self.matrix;
        FactorShape { groups, size: rows, diagonal: self.diagonal }
    }

    pub fn output_shape(&self) -> FactorShape {
        let WeightMatrix { groups, columns, .. } = self.matrix;
        FactorShape { groups, size: columns, diagonal: false }
    }

    /// `[groups, d_in, d_out]`
    pub fn shape(&self) -> [usize; 3] {
        [self.matrix.groups, self.matrix.rows, self.matrix.columns]
    }
}

/// One layer of a [`Kfac`](crate::Kfac): A ⊗ G.
#[derive(Clone, Debug)]
pub struct KfacLayer<B: AutodiffBackend = DefaultBackend> {
    pub(super) layer: Arc<Layer>,
    pub(super) input: KroneckerFactor<B>,
    pub(super) output: KroneckerFactor<B>,
}

impl<B: AutodiffBackend> KfacLayer<B> {
    /// A layer with its second moments on the device.
    pub(super) fn measured(layer: &Arc<Layer>, moments: LayerMoments<B>) -> Self {
        let FactorShape { groups, size, .. } = layer.output_shape();
        let name = layer.weight();
        Self {
            input: KroneckerFactor::on_device(name, moments.inputs),
            output: match moments.gradients {
                Some(gradients) => KroneckerFactor::on_device(name, gradients),
                None => KroneckerFactor::identity(name, groups, size),
            },
            layer: Arc::clone(layer),
        }
    }

    /// The moving average decay·self + (1 − decay)·new, on the device.
    ///
    /// # Errors
    /// As [`KroneckerFactor::averaged`].
    pub(crate) fn averaged(&self, new: &Self, decay: f64) -> Result<Self, Error> {
        Ok(Self {
            layer: Arc::clone(&self.layer),
            input: self.input.averaged(&new.input, decay)?,
            output: self.output.averaged(&new.output, decay)?,
        })
    }

    /// Name of the weight.
    pub fn weight(&self) -> &str {
        self.layer.weight()
    }

    /// Name of the bias that goes with it.
    pub fn bias(&self) -> Option<&str> {
        self.layer.bias()
    }

    /// Kind of layer and sizes, as in the coverage report.
    pub fn treatment(&self) -> &Treatment {
        &self.layer.treatment
    }

    /// A = E[ā āᵀ], with the bias's constant 1 last.
    pub fn input(&self) -> &KroneckerFactor<B> {
        &self.input
    }

    /// G = c·Σ g gᵀ
    pub fn output(&self) -> &KroneckerFactor<B> {
        &self.output
    }

    /// tr (A ⊗ G)
    ///
    /// # Errors
    /// As [`KroneckerFactor::values`].
    pub fn trace(&self) -> Result<f64, Error> {
        let (a, g) = (self.input.host()?.traces(), self.output.host()?.traces());
        Ok(a.into_iter().zip(g).map(|(a, g)| a * g).sum())
    }

    /// ‖A ⊗ G‖²_F
    pub(super) fn squared_norm(&self) -> Result<f64, Error> {
        let (a, g) = (self.input.host()?.squares(), self.output.host()?.squares());
        Ok(a.into_iter().zip(g).map(|(a, g)| a * g).sum())
    }

    /// π = √((tr A / dim A) / (tr G / dim G)) of every group, by which
    /// [`factored_inverse`](crate::Kfac::factored_inverse) distributes its damping; 1 where a trace vanishes.
    ///
    /// # Errors
    /// As [`KroneckerFactor::values`].
    pub fn balance(&self) -> Result<Vec<f64>, Error> {
        let means = |factor: &KroneckerFactor<B>| -> Result<Vec<f64>, Error> {
            let size = factor.size().max(1) as f64;
            Ok(factor.host()?.traces().into_iter().map(|trace| trace / size).collect())
        };
        let (a, g) = (means(&self.input)?, means(&self.output)?);
        let ratios = a.into_iter().zip(g).map(|(a, g)| (a / g).sqrt());
        Ok(ratios.map(|pi| if pi.is_finite() && pi > 0.0 { pi } else { 1.0 }).collect())
    }
}

/// One layer of an [`Ekfac`](crate::Ekfac): (U_A ⊗ U_G) diag(s) (U_A ⊗ U_G)ᵀ.
#[derive(Clone)]
pub struct EkfacLayer<B: AutodiffBackend = DefaultBackend> {
    pub(super) layer: Arc<Layer>,
    pub(super) input: Eigenbasis<B>,
    pub(super) output: Eigenbasis<B>,
    pub(super) diagonal: Diagonal<B>,
}

/// s on the device, `[groups, d_in, d_out]`, and on the host once it is read.
#[derive(Clone)]
pub(super) struct Diagonal<B: AutodiffBackend> {
    pub device: InnerFloat<B>,
    host: Arc<std::sync::OnceLock<Result<Vec<f64>, Error>>>,
}

impl<B: AutodiffBackend> Diagonal<B> {
    pub fn on_device(device: InnerFloat<B>) -> Self {
        Self { device, host: Arc::default() }
    }

    /// A diagonal that is known on the host.
    pub fn known(values: Vec<f64>, shape: [usize; 3], space: &ParamSpace<B>) -> Self {
        let device = crate::operator::upload(&values, shape, space);
        Self { device, host: Arc::new(Ok(values).into()) }
    }

    pub fn host(&self) -> Result<&[f64], Error> {
        let values = once(&self.host, || Ok(read_tensor::<B>(self.device.clone())?))?;
        Ok(values)
    }
}

impl<B: AutodiffBackend> EkfacLayer<B> {
    /// Name of the weight.
    pub fn weight(&self) -> &str {
        self.layer.weight()
    }

    /// Kind of layer and sizes, as in the coverage report.
    pub fn treatment(&self) -> &Treatment {
        &self.layer.treatment
    }

    /// The eigenvalues of A.
    pub fn input(&self) -> FactorSpectrum {
        self.input.spectrum()
    }

    /// The eigenvalues of G.
    pub fn output(&self) -> FactorSpectrum {
        self.output.spectrum()
    }

    /// s, group by group, with a row for each eigenvector of A and a column for each of G.
    ///
    /// # Errors
    /// A diagonal that cannot be read from the device.
    pub fn diagonal(&self) -> Result<&[f64], Error> {
        self.diagonal.host()
    }

    /// U_A of a group as columns; `None` for an embedding with a diagonal A, whose basis is its rows.
    pub fn input_basis(&self, group: usize) -> Option<DenseMatrix> {
        self.input.matrix(group)
    }

    /// U_G of a group as columns.
    pub fn output_basis(&self, group: usize) -> Option<DenseMatrix> {
        self.output.matrix(group)
    }

    /// The sum of s.
    ///
    /// # Errors
    /// As [`diagonal`](Self::diagonal).
    pub fn trace(&self) -> Result<f64, Error> {
        Ok(self.diagonal()?.iter().sum())
    }
}

impl<B: AutodiffBackend> std::fmt::Debug for EkfacLayer<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EkfacLayer").field("layer", &self.layer).finish_non_exhaustive()
    }
}
