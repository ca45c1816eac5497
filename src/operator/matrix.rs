//! Matrices on the host in f64, and operators turned into them. Knows operators only by their products.

use burn_backend::AutodiffBackend;
use faer::{Mat, Side};

use crate::{Error, params::ParamVector};

use super::{LinearOperator, OperatorError};

/// Rows and columns up to which [`materialise`] works.
pub const DEFAULT_SIZE_LIMIT: usize = 4096;

/// A matrix of finite numbers on the host, in f64.
///
/// # Example
/// ```
/// use burn_curvature::DenseMatrix;
/// let a = DenseMatrix::from_rows(&[[2.0, 1.0], [1.0, 2.0]])?;
/// assert_eq!(a.symmetry_error(), 0.0);
/// let eigenvalues = a.eigenvalues()?;
/// assert!((eigenvalues[0] - 1.0).abs() < 1e-14 && (eigenvalues[1] - 3.0).abs() < 1e-14);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DenseMatrix {
    rows: usize,
    columns: usize,
    /// Row by row.
    values: Vec<f64>,
}

impl DenseMatrix {
    /// A matrix from its entries, row by row.
    ///
    /// # Errors
    /// [`OperatorError::EntryCount`], [`OperatorError::NonFiniteEntry`].
    pub fn new(rows: usize, columns: usize, values: Vec<f64>) -> Result<Self, Error> {
        let expected = rows.saturating_mul(columns);
        if values.len() != expected {
            return Err(OperatorError::EntryCount {
                rows,
                columns,
                expected,
                found: values.len(),
            }
            .into());
        }
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            return Err(OperatorError::NonFiniteEntry {
                row: position / columns,
                column: position % columns,
                value: values.get(position).copied().unwrap_or(f64::NAN),
            }
            .into());
        }
        Ok(Self {
            rows,
            columns,
            values,
        })
    }

    /// A matrix from its rows.
    ///
    /// # Errors
    /// [`OperatorError::EntryCount`] if the rows differ in length, [`OperatorError::NonFiniteEntry`].
    pub fn from_rows<R: AsRef<[f64]>>(rows: &[R]) -> Result<Self, Error> {
        let columns = rows.first().map_or(0, |row| row.as_ref().len());
        if let Some(row) = rows.iter().find(|row| row.as_ref().len() != columns) {
            return Err(OperatorError::EntryCount {
                rows: 1,
                columns,
                expected: columns,
                found: row.as_ref().len(),
            }
            .into());
        }
        let values = rows.iter().flat_map(|row| row.as_ref().iter().copied());
        Self::new(rows.len(), columns, values.collect())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The entries, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// One entry, or `None` outside the matrix.
    pub fn entry(&self, row: usize, column: usize) -> Option<f64> {
        if row >= self.rows || column >= self.columns {
            return None;
        }
        self.values.get(row * self.columns + column).copied()
    }

    /// The product with a vector.
    ///
    /// # Errors
    /// [`OperatorError::MatrixSize`] if the vector has another length than the rows.
    pub fn multiply(&self, vector: &[f64]) -> Result<Vec<f64>, Error> {
        if vector.len() != self.columns {
            return Err(OperatorError::MatrixSize {
                expected_rows: self.columns,
                expected_columns: 1,
                rows: vector.len(),
                columns: 1,
            }
            .into());
        }
        let rows = self.values.chunks(self.columns.max(1));
        let product = rows.map(|row| row.iter().zip(vector).map(|(a, x)| a * x).sum());
        Ok(product.collect())
    }

    /// Largest |aᵢⱼ − aⱼᵢ| over largest |aᵢⱼ|: 0 for a symmetric matrix, ∞ for one that is not square.
    pub fn symmetry_error(&self) -> f64 {
        if self.rows != self.columns {
            return f64::INFINITY;
        }
        let largest = self
            .values
            .iter()
            .fold(0.0, |largest: f64, a| largest.max(a.abs()));
        if largest == 0.0 {
            return 0.0;
        }
        let n = self.rows;
        let differences = (0..n).flat_map(|i| (0..i).map(move |j| self.at(i, j) - self.at(j, i)));
        differences.fold(0.0, |worst: f64, d| worst.max(d.abs())) / largest
    }

    /// All eigenvalues of a symmetric matrix, from the smallest to the largest. Of a slightly unsymmetric one, those of
    /// (A + Aᵀ)/2.
    ///
    /// # Cost
    /// About 4/3 n³ multiply-adds.
    ///
    /// # Errors
    /// [`OperatorError::NotSquare`]; [`OperatorError::Eigenvalues`] if the iteration does not converge or overflows.
    pub fn eigenvalues(&self) -> Result<Vec<f64>, Error> {
        let failed = OperatorError::Eigenvalues { size: self.rows };
        let symmetric = self.symmetrised()?;
        let eigenvalues = symmetric.self_adjoint_eigenvalues(Side::Lower);
        let finite = |values: &Vec<f64>| values.iter().all(|value| value.is_finite());
        Ok(eigenvalues.ok().filter(finite).ok_or(failed)?)
    }

    pub(crate) fn expect_symmetric(&self, allowed: f64) -> Result<(), Error> {
        let found = self.symmetry_error();
        if found <= allowed {
            return Ok(());
        }
        Err(OperatorError::NotSymmetric { found, allowed }.into())
    }

    /// (A + Aᵀ)/2 for the linear algebra library.
    pub(crate) fn symmetrised(&self) -> Result<Mat<f64>, Error> {
        if self.rows != self.columns {
            return Err(OperatorError::NotSquare {
                domain: self.columns,
                codomain: self.rows,
            }
            .into());
        }
        Ok(Mat::from_fn(self.rows, self.columns, |i, j| {
            0.5 * self.at(i, j) + 0.5 * self.at(j, i)
        }))
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.entry(row, column).unwrap_or(0.0)
    }
}

/// The matrix of an operator of at most [`DEFAULT_SIZE_LIMIT`] rows and columns.
///
/// `like` says on which device and in which precision the products run; its numbers and its layout do not matter.
///
/// # Cost
/// One product per column, and rows × columns numbers of 8 bytes on the host.
///
/// # Errors
/// [`OperatorError::TooLarge`]; [`OperatorError::NonFiniteEntry`] if a product holds NaN or infinity; whatever a product
/// fails with.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{Identity, LinearOperator, ParamLayout, ParamVector, Precision, materialise};
///
/// let layout = ParamLayout::flat(2)?;
/// let x = ParamVector::<Autodiff<Flex>>::zeros(&layout, &Default::default(), Precision::F32)?;
/// let matrix = materialise(&Identity::new(&layout).damped(2.0)?, &x)?;
/// assert_eq!(matrix.values(), [3.0, 0.0, 0.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub fn materialise<B, A>(operator: &A, like: &ParamVector<B>) -> Result<DenseMatrix, Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    materialise_up_to(operator, like, DEFAULT_SIZE_LIMIT)
}

/// [`materialise`] with a limit of the caller's choice.
///
/// # Errors
/// As [`materialise`].
pub fn materialise_up_to<B, A>(
    operator: &A,
    like: &ParamVector<B>,
    limit: usize,
) -> Result<DenseMatrix, Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    let (rows, columns) = (operator.codomain().len(), operator.domain().len());
    let too_large = OperatorError::TooLarge {
        rows,
        columns,
        limit,
    };
    let mut values = Vec::new();
    if rows.max(columns) > limit
        || values
            .try_reserve_exact(rows.saturating_mul(columns))
            .is_err()
    {
        return Err(too_large.into());
    }
    values.resize(rows * columns, 0.0);
    let mut unit = vec![0.0; columns];
    for column in 0..columns {
        set(&mut unit, column, 1.0);
        let vector =
            ParamVector::from_vec(operator.domain(), &unit, like.device(), like.precision())?;
        set(&mut unit, column, 0.0);
        let product = operator.apply(&vector)?;
        operator.codomain().expect_same(product.layout())?;
        for (row, entry) in product.to_vec()?.into_iter().enumerate() {
            set(&mut values, row * columns + column, entry);
        }
    }
    DenseMatrix::new(rows, columns, values)
}

fn set(values: &mut [f64], position: usize, value: f64) {
    if let Some(slot) = values.get_mut(position) {
        *slot = value;
    }
}
