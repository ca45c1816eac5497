//! The Krylov space of Lanczos' process with full reorthogonalization. Knows products and vectors; knows not what the
//! Ritz values are wanted for.
//!
//! ```text
//! A Q = Q H + β q⁺ eᵀ        QᵀQ = I        H = QᵀA Q
//! ```
//!
//! From a single start H is Lanczos' tridiagonal matrix. After a thick restart it is a diagonal with an arrow; after a
//! fresh start it is block diagonal. Keeping all of H makes no difference between them.

use burn_backend::AutodiffBackend;
use faer::{Mat, Side};

use crate::{
    error::Error,
    operator::OperatorError,
    space::{InnerFloat, ParamSpace, ParamVector},
    tensor::Precision,
};

use super::{
    SpectrumError,
    frame::{Frame, Overlaps, Projection},
    products::{Seeds, not_finite},
};

/// An orthonormal basis Q, the matrix H, and where to go next.
pub(super) struct Krylov<B: AutodiffBackend> {
    space: ParamSpace<B>,
    frame: Frame<B>,
    /// Column j holds the entries 0 to j of H.
    columns: Vec<Vec<f64>>,
    next: Option<Next<B>>,
    /// The largest ‖A q‖ so far, a lower bound of ‖A‖ as the Ritz values are.
    scale: f64,
    /// The largest |θ| so far.
    largest: f64,
    seeds: Seeds,
}

/// The next basis vector q⁺.
struct Next<B: AutodiffBackend> {
    /// Shape `[n]`, of unit length and orthogonal to the basis.
    vector: InnerFloat<B>,
    /// β
    coupling: f64,
    /// The number of last basis vectors that A q⁺ is not orthogonal to, with rounding aside.
    recent: usize,
}

/// The eigenpairs of H.
pub(super) struct Ritz {
    /// From the smallest to the largest.
    pub(super) values: Vec<f64>,
    /// ‖A y − θ y‖ for each, as far as the process knows.
    pub(super) residuals: Vec<f64>,
    /// One eigenvector of H per column.
    pub(super) vectors: Mat<f64>,
}

impl<B: AutodiffBackend> Krylov<B> {
    /// An empty space that starts from a random vector.
    pub(super) fn new(space: &ParamSpace<B>, mut seeds: Seeds) -> Result<Self, Error> {
        Self::from_start(space.normal(seeds.next()), seeds)
    }

    /// An empty space that starts from a given vector, which must not be zero.
    pub(super) fn from_start(start: ParamVector<B>, seeds: Seeds) -> Result<Self, Error> {
        let length = start.norm()?;
        let next = Next {
            vector: start.clone().scale(1.0 / length).flat_tensor(),
            coupling: 0.0,
            recent: 0,
        };
        Ok(Self {
            frame: Frame::new(start.space()),
            space: start.space().clone(),
            columns: Vec::new(),
            next: Some(next),
            scale: 0.0,
            largest: 0.0,
            seeds,
        })
    }

    /// Number of basis vectors.
    pub(super) fn size(&self) -> usize {
        self.columns.len()
    }

    /// The largest |θ| that a look at the Ritz values has shown so far; a restart may have dropped it since.
    pub(super) fn largest(&self) -> f64 {
        self.largest
    }

    /// Whether the space is invariant: A maps it to itself.
    pub(super) fn is_invariant(&self) -> bool {
        self.next.is_none()
    }

    /// The next basis vector enters the basis; its product with A is due.
    pub(super) fn step(&mut self) -> Result<Option<Step<B>>, Error> {
        let Some(next) = self.next.take() else {
            return Ok(None);
        };
        self.frame.push(next.vector.clone());
        let vector = self.space.from_flat_tensor(next.vector)?;
        let recent = next.recent.saturating_add(1);
        Ok(Some(Step { vector, recent }))
    }

    /// Takes the components of A q in the basis off. Nothing is read.
    pub(super) fn project(
        &self,
        step: &Step<B>,
        product: &ParamVector<B>,
    ) -> Result<Projection<B>, Error> {
        self.space.expect_same(product.space())?;
        Ok(self.frame.project(product.flat_tensor(), step.recent))
    }

    /// Completes a step with what has been read of the projection.
    pub(super) fn settle(
        &mut self,
        product: &ParamVector<B>,
        projection: Projection<B>,
        overlaps: Overlaps,
    ) -> Result<(), Error> {
        let inside: f64 = overlaps.coefficients.iter().map(|c| c * c).sum();
        let norm = (inside + overlaps.square).sqrt();
        self.expect_range(norm, product)?;
        self.scale = self.scale.max(norm);
        self.columns.push(overlaps.coefficients);
        let coupling = overlaps.square.sqrt();
        let precision = self.space.precision();
        let invariant = coupling <= 10.0 * precision.epsilon() * self.scale;
        self.next = (!invariant && self.size() < self.space.len()).then(|| Next {
            vector: projection.scaled(1.0 / coupling),
            coupling,
            recent: 1,
        });
        Ok(())
    }

    /// The next basis vector is random, unless the basis spans everything.
    pub(super) fn start_afresh(&mut self) -> Result<(), Error> {
        let direction = self.frame.random_direction(&mut self.seeds)?;
        self.next = direction.map(|vector| Next { vector, coupling: 0.0, recent: usize::MAX });
        Ok(())
    }

    /// The Ritz values, with their residuals.
    pub(super) fn ritz(&mut self) -> Result<Ritz, Error> {
        let size = self.size();
        let entry = |row: usize, column: usize| {
            let (row, column) = (row.min(column), row.max(column));
            let column = self.columns.get(column);
            column.and_then(|column| column.get(row)).copied()
        };
        let matrix = Mat::from_fn(size, size, |i, j| entry(i, j).unwrap_or(0.0));
        let decomposition = matrix
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| OperatorError::Eigenvalues { size })?;
        let vectors = decomposition.U().to_owned();
        let coupling = self.next.as_ref().map_or(0.0, |next| next.coupling);
        let residuals = (0..size).map(|index| coupling * vectors[(size - 1, index)].abs());
        let values: Vec<f64> = decomposition.S().column_vector().iter().copied().collect();
        self.largest = values.iter().fold(self.largest, |most, v| most.max(v.abs()));
        Ok(Ritz { values, residuals: residuals.collect(), vectors })
    }

    /// The Ritz vectors with these numbers.
    pub(super) fn ritz_vectors(&self, ritz: &Ritz, indices: &[usize]) -> Frame<B> {
        let wanted = Mat::from_fn(self.size(), indices.len(), |row, column| {
            let index = indices.get(column).copied().unwrap_or(0);
            ritz.vectors[(row, index)]
        });
        self.frame.combine(&wanted)
    }

    /// Keeps some Ritz vectors as the basis (Wu & Simon 2000, section 3).
    pub(super) fn restart(&mut self, ritz: &Ritz, kept: &[usize]) {
        self.frame = self.ritz_vectors(ritz, kept);
        let values = kept.iter().filter_map(|index| ritz.values.get(*index));
        let columns = values.enumerate().map(|(position, value)| {
            let mut column = vec![0.0; position];
            column.push(*value);
            column
        });
        self.columns = columns.collect();
        if let Some(next) = &mut self.next {
            next.recent = usize::MAX;
        }
    }

    /// Squares of A q must be numbers, and large enough to tell rounding from zero.
    fn expect_range(&self, norm: f64, product: &ParamVector<B>) -> Result<(), Error> {
        if !norm.is_finite() {
            return Err(not_finite(product)?);
        }
        let precision = product.precision();
        let scale = norm.max(self.scale);
        if scale * scale < smallest_square(precision) && product.largest()? > 0.0 {
            let norm = product.norm()?;
            return Err(SpectrumError::Range { norm, precision }.into());
        }
        Ok(())
    }
}

/// One basis vector on its way through the operator.
pub(super) struct Step<B: AutodiffBackend> {
    /// q
    pub(super) vector: ParamVector<B>,
    recent: usize,
}

/// Squares from here on are exact enough to tell a residual of ε from zero.
fn smallest_square(precision: Precision) -> f64 {
    precision.smallest_normal() / precision.epsilon().powi(2)
}
