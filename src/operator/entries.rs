//! Matrices and diagonals of operators, from products with unit vectors.

use std::ops::Range;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamSpace, ParamVector},
};

use super::{DenseMatrix, LinearOperator, OperatorError, expect_one_each, expect_square};

/// Rows and columns up to which [`materialize`] works.
pub const DEFAULT_SIZE_LIMIT: usize = 4096;

/// Unit vectors that go through an operator together.
const BATCH: usize = 32;

/// The matrix of an operator of at most [`DEFAULT_SIZE_LIMIT`] rows and columns.
///
/// # Cost
/// One product per column and rows × columns entries of 8 bytes on the host. Curvature matrices make their
/// [`columns`](LinearOperator::columns) many at a time, other operators from 32 unit vectors at a time.
///
/// # Errors
/// [`OperatorError::TooLarge`]; [`OperatorError::NonFiniteEntry`] if a product holds NaN or infinity;
/// [`OperatorError::ProductCount`]; whatever a product fails with.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, materialize, operator::Identity};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let matrix = materialize(&Identity::new(&space)?.damped(2.0)?)?;
/// assert_eq!(matrix.values(), [3.0, 0.0, 0.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub fn materialize<B, A>(operator: &A) -> Result<DenseMatrix, Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    materialize_up_to(operator, DEFAULT_SIZE_LIMIT)
}

/// [`materialize`] with a limit of the caller's choice.
///
/// # Errors
/// As [`materialize`].
pub fn materialize_up_to<B, A>(operator: &A, limit: usize) -> Result<DenseMatrix, Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    let (rows, columns) = (operator.codomain().len(), operator.domain().len());
    if rows.max(columns) > limit {
        return Err(OperatorError::TooLarge { rows, columns, limit }.into());
    }
    operator.columns(0..columns)
}

/// Some columns of the matrix of an operator, from products with unit vectors.
pub(crate) fn columns_by_products<B, A>(
    operator: &A,
    positions: Range<usize>,
) -> Result<DenseMatrix, Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    let rows = operator.codomain().len();
    let mut values = zeros_for_columns(operator, &positions)?;
    let columns = positions.len();
    for start in (0..columns).step_by(BATCH) {
        let batch = start..columns.min(start + BATCH);
        let places = positions.start + batch.start..positions.start + batch.end;
        let units = unit_vectors(operator.domain(), places)?;
        let found = operator.apply_many(&units)?;
        expect_one_each(&units, &found)?;
        let mut products = Vec::with_capacity(batch.len());
        for product in found {
            operator.codomain().expect_same(product.space())?;
            products.push(product.to_vec()?);
        }
        for (row, entries) in values.chunks_mut(columns).enumerate() {
            let own = entries.get_mut(batch.clone()).unwrap_or_default();
            for (slot, product) in own.iter_mut().zip(&products) {
                *slot = product.get(row).copied().unwrap_or(f64::NAN);
            }
        }
    }
    DenseMatrix::new(rows, columns, values)
}

/// Zeros for the entries of some columns, row by row.
///
/// # Errors
/// [`OperatorError::NoSuchColumns`], [`OperatorError::TooLarge`].
pub(crate) fn zeros_for_columns<B, A>(
    operator: &A,
    positions: &Range<usize>,
) -> Result<Vec<f64>, Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    let (rows, columns) = (operator.codomain().len(), operator.domain().len());
    if positions.is_empty() || positions.end > columns {
        let Range { start, end } = *positions;
        return Err(OperatorError::NoSuchColumns { start, end, columns }.into());
    }
    let total = rows.saturating_mul(positions.len());
    if Vec::<f64>::new().try_reserve_exact(total).is_err() {
        return Err(OperatorError::TooLarge { rows, columns, limit: DEFAULT_SIZE_LIMIT }.into());
    }
    Ok(vec![0.0; total])
}

/// The diagonal of an operator, exactly: dⱼ = eⱼᵀA eⱼ for every unit vector eⱼ.
///
/// # Cost
/// One product per column, 32 vectors at a time, and one transfer for each 32. For many parameters an estimate from
/// random vectors is cheaper.
///
/// # Errors
/// [`OperatorError::NotSquare`]; [`OperatorError::ProductCount`];
/// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if the diagonal holds NaN or infinity; whatever a product
/// fails with.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ParamSpace, operator::{Dense, DenseMatrix, diagonal}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = Dense::new(&DenseMatrix::from_rows(&[[1.0, 2.0], [3.0, 4.0]])?, &space)?;
/// assert_eq!(diagonal(&a)?.to_vec()?, [1.0, 4.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub fn diagonal<B, A>(operator: &A) -> Result<ParamVector<B>, Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    expect_square(operator)?;
    let n = operator.domain().len();
    let mut values = Vec::with_capacity(n);
    for start in (0..n).step_by(BATCH) {
        let units = unit_vectors(operator.domain(), start..n.min(start + BATCH))?;
        let products = operator.apply_many(&units)?;
        expect_one_each(&units, &products)?;
        let entries = units.iter().zip(&products);
        let entries = entries.map(|(unit, product)| unit.dot_device(product));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        values.extend(DeviceScalar::read_many(&entries.iter().collect::<Vec<_>>())?);
    }
    let diagonal = operator.domain().vector(&values)?;
    diagonal.expect_finite("the diagonal of the operator")?;
    Ok(diagonal)
}

/// The unit vectors of a range of positions.
fn unit_vectors<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    positions: Range<usize>,
) -> Result<Vec<ParamVector<B>>, Error> {
    let mut unit = vec![0.0; space.len()];
    let mut units = Vec::with_capacity(positions.len());
    for position in positions {
        if let Some(one) = unit.get_mut(position) {
            *one = 1.0;
        }
        units.push(space.vector(&unit)?);
        if let Some(one) = unit.get_mut(position) {
            *one = 0.0;
        }
    }
    Ok(units)
}
