//! The factors of one block, and their eigenbases with a diagonal.

use std::sync::{Arc, OnceLock};

use burn_backend::AutodiffBackend;

use super::{
    KroneckerFactor, Treatment,
    block::Block,
    factor::once,
    matrix::{Eigen, FactorMatrix, FactorShape, norm},
};
use crate::{
    error::Error,
    operator::{DenseMatrix, KroneckerSide, upload},
    space::{Inner, InnerFloat, ParamSpace, read_tensor},
    tensor::DefaultBackend,
};

/// One layer of a [`Kfac`](crate::Kfac): A ⊗ G.
///
/// A parameter that belongs to no layer has the same form: A is its exact block and G is 1.
#[derive(Clone, Debug)]
pub struct KfacLayer<B: AutodiffBackend = DefaultBackend> {
    pub(super) block: Arc<Block>,
    pub(super) input: KroneckerFactor<B>,
    pub(super) output: KroneckerFactor<B>,
}

impl<B: AutodiffBackend> KfacLayer<B> {
    /// A block with factors; the right one is the identity without any.
    pub(super) fn new(
        block: &Arc<Block>,
        input: KroneckerFactor<B>,
        output: Option<KroneckerFactor<B>>,
    ) -> Self {
        let identity = || KroneckerFactor::identity(&block.name, block.output_shape());
        let output = output.unwrap_or_else(identity);
        Self { block: Arc::clone(block), input, output }
    }

    /// The moving average decay·self + (1 − decay)·new, on the device.
    ///
    /// # Errors
    /// As [`KroneckerFactor::averaged`].
    pub(crate) fn averaged(&self, new: &Self, decay: f64) -> Result<Self, Error> {
        Ok(Self {
            block: Arc::clone(&self.block),
            input: self.input.averaged(&new.input, decay)?,
            output: self.output.averaged(&new.output, decay)?,
        })
    }

    pub(super) fn factors(&self) -> [&KroneckerFactor<B>; 2] {
        [&self.input, &self.output]
    }

    /// Name of the weight.
    pub fn weight(&self) -> &str {
        &self.block.name
    }

    /// Name of the bias that goes with it.
    pub fn bias(&self) -> Option<&str> {
        self.block.bias.as_ref().map(|(name, _)| name.as_str())
    }

    /// Kind of layer and sizes, as in the coverage report.
    pub fn treatment(&self) -> &Treatment {
        &self.block.treatment
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
        Ok(self.products(FactorMatrix::traces)?.iter().sum())
    }

    /// ‖A ⊗ G‖_F
    pub(super) fn norm(&self) -> Result<f64, Error> {
        Ok(norm(&self.products(FactorMatrix::norms)?))
    }

    /// f(A)·f(G) of every group.
    fn products(&self, f: impl Fn(&FactorMatrix) -> Vec<f64>) -> Result<Vec<f64>, Error> {
        let (a, g) = (f(self.input.host()?), f(self.output.host()?));
        Ok(a.into_iter().zip(g).map(|(a, g)| a * g).collect())
    }

    /// π = √((tr A / dim A) / (tr G / dim G)) of every group; 1 where a trace vanishes.
    /// [`factored_inverse`](crate::Kfac::factored_inverse) splits its damping between A and G by it.
    ///
    /// # Errors
    /// As [`KroneckerFactor::values`].
    pub fn balance(&self) -> Result<Vec<f64>, Error> {
        let means = |factor: &KroneckerFactor<B>| -> Result<Vec<f64>, Error> {
            let size = factor.size().max(1) as f64;
            Ok(factor.traces()?.into_iter().map(|trace| trace / size).collect())
        };
        let (a, g) = (means(&self.input)?, means(&self.output)?);
        let ratios = a.into_iter().zip(g).map(|(a, g)| (a / g).sqrt());
        Ok(ratios.map(|pi| if pi.is_finite() && pi > 0.0 { pi } else { 1.0 }).collect())
    }
}

/// One layer of an [`Ekfac`](crate::Ekfac): (U_A ⊗ U_G) diag(s) (U_A ⊗ U_G)ᵀ.
#[derive(Clone)]
pub struct EkfacLayer<B: AutodiffBackend = DefaultBackend> {
    pub(super) block: Arc<Block>,
    pub(super) input: Eigenbasis<B>,
    pub(super) output: Eigenbasis<B>,
    pub(super) diagonal: Diagonal<B>,
}

/// s on the device, `[groups, d_in, d_out]`, and on the host once it is read.
#[derive(Clone)]
pub(super) struct Diagonal<B: AutodiffBackend> {
    pub device: InnerFloat<B>,
    host: Arc<OnceLock<Result<Vec<f64>, Error>>>,
}

impl<B: AutodiffBackend> Diagonal<B> {
    pub fn on_device(device: InnerFloat<B>) -> Self {
        Self { device, host: Arc::default() }
    }

    /// A diagonal that is known on the host.
    pub fn known(values: Vec<f64>, shape: [usize; 3], space: &ParamSpace<B>) -> Self {
        let device = upload(&values, shape, space);
        Self { device, host: Arc::new(Ok(values).into()) }
    }
}

impl<B: AutodiffBackend> EkfacLayer<B> {
    /// The eigenbases of factors, with their own eigenvalues.
    pub(super) fn of_factors(layer: &KfacLayer<B>, space: &ParamSpace<B>) -> Result<Self, Error> {
        let [input, output] = [layer.input.eigen()?.clone(), layer.output.eigen()?.clone()];
        let values = input.host().outer(output.host());
        let diagonal = Diagonal::known(values, layer.block.shape(), space);
        Ok(Self { block: Arc::clone(&layer.block), input, output, diagonal })
    }

    /// Name of the weight.
    pub fn weight(&self) -> &str {
        &self.block.name
    }

    /// Kind of layer and sizes, as in the coverage report.
    pub fn treatment(&self) -> &Treatment {
        &self.block.treatment
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
        let Diagonal { device, host } = &self.diagonal;
        Ok(once(host, || Ok(read_tensor::<B>(device.clone())?))?)
    }

    /// U_A of a group as columns; `None` for an embedding with a diagonal A, whose basis is its rows.
    pub fn input_basis(&self, group: usize) -> Option<DenseMatrix> {
        self.input.host().matrix(group)
    }

    /// U_G of a group as columns.
    pub fn output_basis(&self, group: usize) -> Option<DenseMatrix> {
        self.output.host().matrix(group)
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
        f.debug_struct("EkfacLayer").field("block", &self.block).finish_non_exhaustive()
    }
}

/// An eigendecomposition on the host, with the eigenvectors on the device once they are needed there.
#[derive(Clone)]
pub(super) struct Eigenbasis<B: AutodiffBackend>(Arc<(Eigen, OnceLock<KroneckerSide<Inner<B>>>)>);

impl<B: AutodiffBackend> Eigenbasis<B> {
    pub fn new(eigen: Eigen) -> Self {
        Self(Arc::new((eigen, OnceLock::new())))
    }

    pub fn host(&self) -> &Eigen {
        &self.0.0
    }

    /// The eigenvectors on the device of a space.
    pub fn side(&self, space: &ParamSpace<B>) -> KroneckerSide<Inner<B>> {
        let (eigen, side) = &*self.0;
        let upload = || {
            let FactorShape { groups, size, diagonal } = eigen.shape;
            if diagonal {
                return KroneckerSide::Identity;
            }
            KroneckerSide::Matrix(upload(&eigen.vectors, [groups, size, size], space))
        };
        side.get_or_init(upload).clone()
    }

    /// The eigenvectors as matrices `[groups, size, size]`, also where they are the unit vectors.
    pub fn written_out(&self, space: &ParamSpace<B>) -> InnerFloat<B> {
        let FactorShape { groups, size, .. } = self.host().shape;
        let identity = || FactorMatrix::identity(FactorShape::dense(groups, size));
        let upload = || upload(&identity().values, [groups, size, size], space);
        self.side(space).matrix().cloned().unwrap_or_else(upload)
    }

    pub fn spectrum(&self) -> FactorSpectrum {
        let values = self.host().values.iter().copied();
        FactorSpectrum {
            smallest: values.clone().fold(f64::INFINITY, f64::min),
            largest: values.fold(0.0, f64::max),
            damped_by: self.host().damped_by,
        }
    }
}

/// The eigenvalues of a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactorSpectrum {
    /// The smallest; values that are negative by rounding count as zero.
    pub smallest: f64,
    /// The largest.
    pub largest: f64,
    /// Damping that the decomposition needed to succeed, relative to the matrix's mean eigenvalue. It is almost always 0.
    ///
    /// It is subtracted from the eigenvalues again. Eigenvalues smaller than it are lost.
    pub damped_by: f64,
}

impl FactorSpectrum {
    /// The condition number κ; infinite for a singular factor.
    pub fn condition(&self) -> f64 {
        if self.smallest > 0.0 { self.largest / self.smallest } else { f64::INFINITY }
    }
}
