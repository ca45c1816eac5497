//! Lanczos' process with full reorthogonalization, and the Krylov space it builds.
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
    seeds::Seeds,
    space::{InnerFloat, ParamSpace, ParamVector},
    tensor::Precision,
};

use super::{
    KrylovError,
    basis::{Basis, Overlaps, Projection},
    not_finite,
};

/// An orthonormal basis Q, the matrix H, and the next basis vector.
pub(crate) struct KrylovSpace<B: AutodiffBackend> {
    space: ParamSpace<B>,
    basis: Basis<B>,
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
    /// How many of the last basis vectors A q⁺ is not orthogonal to, apart from rounding.
    recent: usize,
}

/// The eigenpairs of H.
pub(crate) struct RitzPairs {
    /// From the smallest to the largest.
    pub(crate) values: Vec<f64>,
    /// ‖A y − θ y‖ for each, by the recurrence.
    pub(crate) residuals: Vec<f64>,
    /// One eigenvector of H per column.
    pub(crate) vectors: Mat<f64>,
}

impl<B: AutodiffBackend> KrylovSpace<B> {
    /// An empty space that starts from a random vector.
    pub(crate) fn new(space: &ParamSpace<B>, mut seeds: Seeds) -> Result<Self, Error> {
        Self::from_start(space.normal(seeds.next()), seeds)
    }

    /// An empty space that starts from a given vector, which must not be zero.
    pub(crate) fn from_start(start: ParamVector<B>, seeds: Seeds) -> Result<Self, Error> {
        let length = start.norm()?;
        let next = Next {
            vector: start.clone().scale(1.0 / length).flat_tensor(),
            coupling: 0.0,
            recent: 0,
        };
        Ok(Self {
            basis: Basis::new(start.space()),
            space: start.space().clone(),
            columns: Vec::new(),
            next: Some(next),
            scale: 0.0,
            largest: 0.0,
            seeds,
        })
    }

    /// Number of basis vectors.
    pub(crate) fn size(&self) -> usize {
        self.columns.len()
    }

    /// The largest |θ| computed so far; a restart may have dropped it since.
    pub(crate) fn largest(&self) -> f64 {
        self.largest
    }

    /// Whether A maps the space to itself.
    pub(crate) fn is_invariant(&self) -> bool {
        self.next.is_none()
    }

    /// The next basis vector enters the basis; its product with A is due.
    pub(crate) fn step(&mut self) -> Result<Option<Step<B>>, Error> {
        let Some(next) = self.next.take() else {
            return Ok(None);
        };
        self.basis.push(next.vector.clone());
        let vector = self.space.from_flat_tensor(next.vector)?;
        let recent = next.recent.saturating_add(1);
        Ok(Some(Step { vector, recent }))
    }

    /// Removes the components of A q in the basis. Nothing is read.
    pub(crate) fn project(
        &self,
        step: &Step<B>,
        product: &ParamVector<B>,
    ) -> Result<Projection<B>, Error> {
        self.space.expect_same(product.space())?;
        Ok(self.basis.project(product.flat_tensor(), step.recent))
    }

    /// Completes a step with what has been read of the projection.
    pub(crate) fn settle(
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
    pub(crate) fn start_afresh(&mut self) -> Result<(), Error> {
        let direction = self.basis.random_direction(&mut self.seeds)?;
        self.next = direction.map(|vector| Next { vector, coupling: 0.0, recent: usize::MAX });
        Ok(())
    }

    /// The Ritz values, with their residuals.
    pub(crate) fn ritz(&mut self) -> Result<RitzPairs, Error> {
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
        Ok(RitzPairs { values, residuals: residuals.collect(), vectors })
    }

    /// The Ritz vectors with these indices.
    pub(crate) fn ritz_vectors(&self, ritz: &RitzPairs, indices: &[usize]) -> Basis<B> {
        let wanted = Mat::from_fn(self.size(), indices.len(), |row, column| {
            let index = indices.get(column).copied().unwrap_or(0);
            ritz.vectors[(row, index)]
        });
        self.basis.combine(&wanted)
    }

    /// Keeps some Ritz vectors as the basis (Wu & Simon 2000, section 3).
    pub(crate) fn restart(&mut self, ritz: &RitzPairs, kept: &[usize]) {
        self.basis = self.ritz_vectors(ritz, kept);
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

    /// Squares of A q must be finite, and large enough to distinguish rounding from zero.
    fn expect_range(&self, norm: f64, product: &ParamVector<B>) -> Result<(), Error> {
        if !norm.is_finite() {
            return Err(not_finite(product)?);
        }
        let precision = product.precision();
        let scale = norm.max(self.scale);
        if scale * scale < smallest_square(precision) && product.largest()? > 0.0 {
            let norm = product.norm()?;
            return Err(KrylovError::Range { norm, precision }.into());
        }
        Ok(())
    }
}

/// One basis vector on its way through the operator.
pub(crate) struct Step<B: AutodiffBackend> {
    /// q
    pub(crate) vector: ParamVector<B>,
    recent: usize,
}

/// Squares from here on are accurate enough to distinguish a residual of ε from zero.
fn smallest_square(precision: Precision) -> f64 {
    precision.smallest_normal() / precision.epsilon().powi(2)
}
