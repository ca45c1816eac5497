//! A basis of what an operator does to a few random vectors, and the same with any one of them left out.
//!
//! ```text
//! Y = A Ω = Q R        Z = A Q        P₍ᵢ₎ = Q (I − sᵢ sᵢᵀ) Qᵀ
//! ```
//!
//! P₍ᵢ₎ projects on the range of Y without its column i; sᵢ is row i of R⁻¹, normalized (Epperly, Tropp & Webber 2024,
//! section 2.2 and appendix).

use burn_backend::AutodiffBackend;
use faer::{Mat, linalg::solvers::Solve};

use crate::{
    error::Error,
    krylov::{Basis, Products, not_finite},
    seeds::Seeds,
    space::{ParamSpace, ParamVector},
};

/// By how much the error bar of leave-one-out estimates is wider than the scatter of independent samples would make it.
///
/// The estimates share their random vectors. The standard error from their scatter alone was 0.7 to 1.0 of the true
/// error on six spectra, falling and flat, for 6 to 25 vectors (XTrace and XDiag), and the truth was within two of them
/// in 75 % to 95 % of all cases; with this factor in 90 % or more.
pub(super) const SHARED_VECTORS: f64 = std::f64::consts::SQRT_2;

/// Q and R of some vectors.
pub(super) struct Factors<B: AutodiffBackend> {
    /// Orthonormal.
    pub(super) basis: Basis<B>,
    /// One column per vector; as many rows as the basis has vectors.
    pub(super) triangle: Mat<f64>,
}

/// What happens to vectors that depend on earlier ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dependent {
    /// They add nothing to the basis.
    Dropped,
    /// They add a random direction to the basis.
    Replaced,
}

impl<B: AutodiffBackend> Factors<B> {
    pub(super) fn new(
        vectors: &[ParamVector<B>],
        space: &ParamSpace<B>,
        dependent: Dependent,
        seeds: &mut Seeds,
    ) -> Result<Self, Error> {
        let mut basis = Basis::new(space);
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for vector in vectors {
            space.expect_same(vector.space())?;
            let projection = basis.project(vector.flat_tensor(), usize::MAX);
            let overlaps = projection.read_one()?;
            let mut column = overlaps.coefficients;
            let inside: f64 = column.iter().map(|c| c * c).sum();
            let (length, rest) = ((inside + overlaps.square).sqrt(), overlaps.square.sqrt());
            if !length.is_finite() {
                return Err(not_finite(vector)?);
            }
            if rest > 10.0 * space.precision().epsilon() * length {
                column.push(rest);
                basis.push(projection.scaled(1.0 / rest));
            } else if dependent == Dependent::Replaced
                && let Some(direction) = basis.random_direction(seeds)?
            {
                column.push(0.0);
                basis.push(direction);
            }
            columns.push(column);
        }
        let entry = |i: usize, j: usize| columns.get(j).and_then(|column| column.get(i)).copied();
        let triangle = Mat::from_fn(basis.len(), columns.len(), |i, j| entry(i, j).unwrap_or(0.0));
        Ok(Self { basis, triangle })
    }
}

/// Everything that leaving one out needs.
pub(super) struct Sketch<B: AutodiffBackend> {
    /// The random vectors Ω.
    pub(super) vectors: Basis<B>,
    /// Q
    pub(super) basis: Basis<B>,
    /// Z = A Q
    pub(super) image: Basis<B>,
    /// R
    pub(super) triangle: Mat<f64>,
    /// One sᵢ per column.
    pub(super) directions: Mat<f64>,
}

impl<B: AutodiffBackend> Sketch<B> {
    /// Two products with A for each random vector.
    pub(super) fn new(
        products: &Products<'_, B>,
        vectors: Vec<ParamVector<B>>,
        seeds: &mut Seeds,
    ) -> Result<Self, Error> {
        let space = products.space();
        let images = products.multiply_many(&vectors)?;
        let Factors { basis, triangle } = Factors::new(&images, space, Dependent::Replaced, seeds)?;
        drop(images);
        let image = products.multiply_basis(&basis)?;
        let vectors = Basis::of(space, vectors);
        let directions = directions(&triangle, space.precision().epsilon());
        Ok(Self { vectors, basis, image, triangle, directions })
    }
}

/// The normalized rows of R⁻¹, as columns. A column of Y that depends on others is made independent by rounding's size.
fn directions(triangle: &Mat<f64>, epsilon: f64) -> Mat<f64> {
    let size = triangle.ncols();
    let largest = triangle.norm_max();
    let floor = if largest > 0.0 { epsilon * largest } else { 1.0 };
    let regular = Mat::from_fn(size, size, |i, j| match triangle[(i, j)] {
        pivot if i == j => pivot.max(floor),
        entry => entry,
    });
    let inverse = regular.partial_piv_lu().solve(Mat::<f64>::identity(size, size));
    let lengths: Vec<f64> = (0..size).map(|i| inverse.row(i).norm_l2()).collect();
    Mat::from_fn(size, size, |i, j| {
        let length = lengths.get(j).copied().unwrap_or(f64::NAN);
        inverse[(j, i)] / length
    })
}
