//! The factors of single layers, to be looked at. Knows numbers on the host and names.

use burn_backend::AutodiffBackend;

use super::{
    Ekfac, Kfac, Treatment,
    factors::LayerFactors,
    inverse::balance,
    moment::{Eigen, Moment},
    spectra::LayerSpectrum,
};
use crate::{error::Error, operator::DenseMatrix, space::ParamBlock};

impl<B: AutodiffBackend> Kfac<B> {
    /// The layers with their factors, in order of execution. Reads the factors from the device if they were not before.
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    ///
    /// # Example
    ///
    /// One sample x = (3, 4) of z = x W: A = x xᵀ with the eigenvalues 0 and 25.
    ///
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::{Kfac, KfacConfig, Likelihood, Objective, Reduction};
    ///
    /// #[derive(Module, Debug)]
    /// struct Line {
    ///     w: Param<Tensor<2>>,
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let model = Line { w: Param::from_tensor(Tensor::zeros([2, 1], &device)) };
    /// let x = Tensor::<2>::from_floats([[3.0, 4.0]], &device);
    /// let objective = Objective::capture(&model, x, |model, x| {
    ///     let z = x.matmul(model.w.val());
    ///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
    /// })?;
    /// let likelihood = Likelihood::Gaussian { variance: 1.0 };
    /// let objective = objective.reduced_by(Reduction::Sum)?;
    /// let kfac = Kfac::new(&objective, likelihood, &KfacConfig::new())?;
    /// for layer in kfac.layers()? {
    ///     assert_eq!(layer.weight(), "w");
    ///     assert_eq!(layer.input().matrix(0).map(|a| a.values().to_vec()), Some(vec![9.0, 12.0, 12.0, 16.0]));
    ///     assert!((layer.input().spectrum()?.largest - 25.0).abs() < 1e-12);
    ///     assert_eq!(layer.trace(), 25.0);
    ///     assert!((layer.balance()[0] - 12.5_f64.sqrt()).abs() < 1e-12); // π
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn layers(&self) -> Result<impl Iterator<Item = KfacLayer<'_>>, Error> {
        let blocks = self.like.layout().blocks();
        let layers = self.factors()?.iter().zip(self.plans.iter());
        Ok(layers.filter_map(move |(factors, plan)| {
            Some(KfacLayer {
                bias: plan.bias.and_then(|bias| blocks.get(bias).map(ParamBlock::name)),
                treatment: self.coverage.of(&factors.name)?,
                factors,
            })
        }))
    }
}

impl<B: AutodiffBackend> Ekfac<B> {
    /// The layers with their bases and diagonals, in order of execution.
    pub fn layers(&self) -> impl Iterator<Item = EkfacLayer<'_>> {
        let layers = self.spectra().layers.iter();
        layers.filter_map(|spectrum| {
            Some(EkfacLayer { treatment: self.coverage().of(&spectrum.name)?, spectrum })
        })
    }
}

/// One layer of a [`Kfac`]: A ⊗ G.
#[derive(Clone, Copy, Debug)]
pub struct KfacLayer<'a> {
    bias: Option<&'a str>,
    treatment: &'a Treatment,
    factors: &'a LayerFactors,
}

impl<'a> KfacLayer<'a> {
    /// Name of the weight.
    pub fn weight(&self) -> &'a str {
        &self.factors.name
    }

    /// Name of the bias that goes with it.
    pub fn bias(&self) -> Option<&'a str> {
        self.bias
    }

    /// Kind of layer and sizes, as the coverage report has it.
    pub fn treatment(&self) -> &'a Treatment {
        self.treatment
    }

    /// A = E[ā āᵀ], the bias' one last.
    pub fn input(&self) -> KroneckerFactor<'a> {
        KroneckerFactor(&self.factors.a)
    }

    /// G = c·Σ g gᵀ
    pub fn output(&self) -> KroneckerFactor<'a> {
        KroneckerFactor(&self.factors.g)
    }

    /// tr (A ⊗ G)
    pub fn trace(&self) -> f64 {
        let (a, g) = (self.factors.a.traces(), self.factors.g.traces());
        a.into_iter().zip(g).map(|(a, g)| a * g).sum()
    }

    /// π = √((tr A / dim A) / (tr G / dim G)) of every group, by which
    /// [`factored_inverse`](Kfac::factored_inverse) shares out its damping; 1 where a trace vanishes.
    pub fn balance(&self) -> Vec<f64> {
        balance(&self.factors.a, &self.factors.g)
    }
}

/// A or G of one layer, on the host in f64: a symmetric matrix for every group of a convolution, else one.
#[derive(Clone, Copy, Debug)]
pub struct KroneckerFactor<'a>(&'a Moment);

impl KroneckerFactor<'_> {
    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.0.groups()
    }

    /// Rows of each matrix.
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// Whether it is a diagonal: A of an embedding whose places are not reduced.
    pub fn is_diagonal(&self) -> bool {
        matches!(self.0, Moment::Diagonal(_))
    }

    /// Its numbers: one matrix after another, row by row; the diagonal alone of a diagonal.
    pub fn values(&self) -> &[f64] {
        let (Moment::Dense { values, .. } | Moment::Diagonal(values)) = self.0;
        values
    }

    /// The matrix of a group, counted from 0; a diagonal is written out.
    pub fn matrix(&self, group: usize) -> Option<DenseMatrix> {
        let size = self.size();
        let values = match self.0 {
            Moment::Dense { values, .. } => values.chunks(size * size).nth(group)?.to_vec(),
            Moment::Diagonal(_) if group > 0 => return None,
            Moment::Diagonal(diagonal) => {
                let mut values = vec![0.0; size * size];
                let places = values.iter_mut().step_by(size + 1);
                places.zip(diagonal).for_each(|(place, one)| *place = *one);
                values
            }
        };
        DenseMatrix::new(size, size, values).ok()
    }

    /// The sum of the groups' traces.
    pub fn trace(&self) -> f64 {
        self.0.traces().iter().sum()
    }

    /// The range of its eigenvalues, over all groups.
    ///
    /// # Cost
    /// An eigen-decomposition of each group.
    ///
    /// # Errors
    /// [`OperatorError::Eigenvalues`](crate::OperatorError::Eigenvalues).
    pub fn spectrum(&self) -> Result<FactorSpectrum, Error> {
        Ok(FactorSpectrum::of(&self.0.eigen()?))
    }
}

/// The eigenvalues of a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactorSpectrum {
    /// The smallest; what is below zero by rounding counts as zero.
    pub smallest: f64,
    /// The largest.
    pub largest: f64,
    /// Damping without which the decomposition failed, in units of the mean eigenvalue; as a rule 0.
    pub damped_by: f64,
}

impl FactorSpectrum {
    fn of(eigen: &Eigen) -> Self {
        let values = eigen.values.iter().copied();
        Self {
            smallest: values.clone().fold(f64::INFINITY, f64::min),
            largest: values.fold(0.0, f64::max),
            damped_by: eigen.damped_by,
        }
    }

    /// The condition number κ; infinite for a singular factor.
    pub fn condition(&self) -> f64 {
        self.largest / self.smallest
    }
}

/// One layer of an [`Ekfac`]: (U_A ⊗ U_G) diag(s) (U_A ⊗ U_G)ᵀ.
#[derive(Clone, Copy, Debug)]
pub struct EkfacLayer<'a> {
    treatment: &'a Treatment,
    spectrum: &'a LayerSpectrum,
}

impl<'a> EkfacLayer<'a> {
    /// Name of the weight.
    pub fn weight(&self) -> &'a str {
        &self.spectrum.name
    }

    /// Kind of layer and sizes, as the coverage report has it.
    pub fn treatment(&self) -> &'a Treatment {
        self.treatment
    }

    /// The eigenvalues of A.
    pub fn input(&self) -> FactorSpectrum {
        FactorSpectrum::of(&self.spectrum.a)
    }

    /// The eigenvalues of G.
    pub fn output(&self) -> FactorSpectrum {
        FactorSpectrum::of(&self.spectrum.g)
    }

    /// s, group by group, a row for each eigenvector of A and a column for each of G.
    pub fn diagonal(&self) -> &'a [f64] {
        &self.spectrum.diagonal
    }

    /// U_A of a group as columns; none for an embedding with a diagonal A, whose basis is its rows.
    pub fn input_basis(&self, group: usize) -> Option<DenseMatrix> {
        basis(&self.spectrum.a, group)
    }

    /// U_G of a group as columns.
    pub fn output_basis(&self, group: usize) -> Option<DenseMatrix> {
        basis(&self.spectrum.g, group)
    }

    /// The sum of s.
    pub fn trace(&self) -> f64 {
        self.spectrum.diagonal.iter().sum()
    }
}

fn basis(eigen: &Eigen, group: usize) -> Option<DenseMatrix> {
    let size = eigen.size;
    let vectors = eigen.vectors.as_ref()?.chunks(size * size).nth(group)?;
    DenseMatrix::new(size, size, vectors.to_vec()).ok()
}
