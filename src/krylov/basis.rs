//! Vectors kept as the rows of matrices, so that orthogonalization is matrix products.

use burn_backend::{
    AutodiffBackend, Scalar, Slice, TensorData, TensorMetadata, ops::FloatTensorOps,
};
use faer::Mat;

use crate::{
    error::Error,
    seeds::Seeds,
    space::{Inner, InnerFloat, ParamSpace, ParamVector, read_tensor, sum},
    tensor::Precision,
};

/// Vectors in the order they came, as a few matrices on the device.
///
/// A new vector is a matrix of one row; matrices of equal height are put together, up to [`Basis::HEIGHT`] rows, so that
/// each entry is copied a few times at most.
pub(crate) struct Basis<B: AutodiffBackend> {
    /// Layout, device and precision of the vectors.
    space: ParamSpace<B>,
    /// Each of shape `[rows, n]`.
    chunks: Vec<InnerFloat<B>>,
}

/// A vector without its components in a basis, still on the device.
pub(crate) struct Projection<B: AutodiffBackend> {
    /// Shape `[n]`.
    pub(crate) rest: InnerFloat<B>,
    /// The overlaps that were removed, pass by pass; last the square of the rest.
    scalars: Vec<InnerFloat<B>>,
    /// First vector of each pass.
    passes: Vec<usize>,
    /// Number of vectors in the basis.
    size: usize,
}

/// The scalars of a [`Projection`], on the host.
pub(crate) struct Overlaps {
    /// ⟨qᵢ, v⟩ for every vector of the basis.
    pub(crate) coefficients: Vec<f64>,
    /// ‖v − Σᵢ qᵢ ⟨qᵢ, v⟩‖²
    pub(crate) square: f64,
}

impl<B: AutodiffBackend> Basis<B> {
    /// Rows up to which matrices are put together.
    const HEIGHT: usize = 16;

    /// No vectors yet.
    pub(crate) fn new(space: &ParamSpace<B>) -> Self {
        Self { space: space.clone(), chunks: Vec::new() }
    }

    /// These vectors.
    pub(crate) fn of(space: &ParamSpace<B>, vectors: Vec<ParamVector<B>>) -> Self {
        let mut basis = Self::new(space);
        for vector in vectors {
            basis.push(vector.flat_tensor());
        }
        basis
    }

    /// Number of vectors.
    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(height::<B>).sum()
    }

    /// Adds a vector.
    ///
    /// # Shapes
    /// - `vector`: `[n]`
    pub(crate) fn push(&mut self, vector: InnerFloat<B>) {
        let mut chunk = Inner::<B>::float_reshape(vector, [1, self.space.len()].into());
        while let Some(last) = self.chunks.pop() {
            let rows = height::<B>(&last);
            if rows != height::<B>(&chunk) || rows >= Self::HEIGHT {
                self.chunks.push(last);
                break;
            }
            chunk = Inner::<B>::float_cat(vec![last, chunk], 0);
        }
        self.chunks.push(chunk);
    }

    /// v − Q Qᵀ v for orthonormal vectors Q, by classical Gram-Schmidt in two passes: the first over the last `recent`
    /// vectors only, the second over all. Nothing is read.
    ///
    /// A vector that is orthogonal to all but the recent ones to rounding is orthogonal to all to rounding afterwards,
    /// relative to its own length (Giraud et al. 2005, The loss of orthogonality in the Gram-Schmidt process).
    pub(crate) fn project(&self, vector: InnerFloat<B>, recent: usize) -> Projection<B> {
        self.project_along(self, vector, recent)
    }

    /// v − Q Pᵀ v for the vectors P of another basis with PᵀQ = I, as [`project`](Self::project).
    pub(crate) fn project_along(
        &self,
        dual: &Self,
        vector: InnerFloat<B>,
        recent: usize,
    ) -> Projection<B> {
        let n = self.space.len();
        let size = self.len();
        let passes = vec![size.saturating_sub(recent), 0];
        let mut rest = Inner::<B>::float_reshape(vector, [1, n].into());
        let mut scalars = Vec::new();
        for first in &passes {
            let column = Inner::<B>::float_reshape(rest.clone(), [n, 1].into());
            let mut removed: Option<InnerFloat<B>> = None;
            for (rows, duals) in self.rows_from(*first).into_iter().zip(dual.rows_from(*first)) {
                let overlaps = Inner::<B>::float_matmul(duals, column.clone());
                let across = [1, height::<B>(&rows)].into();
                let row = Inner::<B>::float_reshape(overlaps.clone(), across);
                let part = Inner::<B>::float_matmul(row, rows);
                scalars.push(overlaps);
                removed = Some(match removed {
                    Some(sum) => Inner::<B>::float_add(sum, part),
                    None => part,
                });
            }
            drop(column);
            if let Some(removed) = removed {
                rest = Inner::<B>::float_sub(rest, removed);
            }
        }
        let square = Inner::<B>::float_mul(rest.clone(), rest.clone());
        scalars.push(Inner::<B>::float_reshape(sum::<B>(square), [1, 1].into()));
        Projection { rest: Inner::<B>::float_reshape(rest, [n].into()), scalars, passes, size }
    }

    /// All vectors from index `first`, as matrices.
    fn rows_from(&self, first: usize) -> Vec<InnerFloat<B>> {
        let mut start = 0;
        let mut rows = Vec::new();
        for chunk in &self.chunks {
            let end = start + height::<B>(chunk);
            if end > first {
                let skipped = first.saturating_sub(start);
                rows.push(match skipped {
                    0 => chunk.clone(),
                    _ => Inner::<B>::float_slice(
                        chunk.clone(),
                        &[Slice::from(skipped..end - start), Slice::from(0..self.space.len())],
                    ),
                });
            }
            start = end;
        }
        rows
    }

    /// One vector.
    pub(crate) fn vector(&self, index: usize) -> Result<Option<ParamVector<B>>, Error> {
        let mut rows = self.rows_from(index);
        if rows.is_empty() {
            return Ok(None);
        }
        let n = self.space.len();
        let range = [Slice::from(0..1), Slice::from(0..n)];
        let row = Inner::<B>::float_slice(rows.swap_remove(0), &range);
        let row = Inner::<B>::float_reshape(row, [n].into());
        Ok(Some(self.space.from_flat_tensor(row)?))
    }

    /// The combinations Σᵢ cᵢ qᵢ, one for each column c of the coefficients.
    pub(crate) fn combine(&self, coefficients: &Mat<f64>) -> Self {
        let mut first = 0;
        let mut sum: Option<InnerFloat<B>> = None;
        for chunk in &self.chunks {
            let rows = height::<B>(chunk);
            let block: Vec<f64> = (0..coefficients.ncols())
                .flat_map(|column| (first..first + rows).map(move |row| (row, column)))
                .map(|(row, column)| coefficients[(row, column)])
                .collect();
            let block = self.matrix(block, [coefficients.ncols(), rows]);
            let part = Inner::<B>::float_matmul(block, chunk.clone());
            sum = Some(match sum {
                Some(sum) => Inner::<B>::float_add(sum, part),
                None => part,
            });
            first += rows;
        }
        Self { space: self.space.clone(), chunks: sum.into_iter().collect() }
    }

    /// A random unit vector orthogonal to orthonormal vectors, or `None` if these span everything.
    ///
    /// # Shapes
    /// - output: `[n]`
    pub(crate) fn random_direction(
        &self,
        seeds: &mut Seeds,
    ) -> Result<Option<InnerFloat<B>>, Error> {
        while self.len() < self.space.len() {
            let drawn = self.space.normal(seeds.next());
            let length = drawn.norm()?;
            let projection = self.project(drawn.flat_tensor(), usize::MAX);
            let rest = projection.read_one()?.square.sqrt();
            // Too little is left only by rare chance; then another vector is drawn.
            if rest > 100.0 * self.space.precision().epsilon() * length {
                return Ok(Some(projection.scaled(1.0 / rest)));
            }
        }
        Ok(None)
    }

    /// ⟨pᵢ, qⱼ⟩ for the vectors of this basis and those of another.
    pub(crate) fn overlaps(&self, other: &Self) -> Result<Mat<f64>, Error> {
        let mut matrix = Mat::zeros(self.len(), other.len());
        let mut row = 0;
        for rows in &self.chunks {
            let mut column = 0;
            for columns in &other.chunks {
                let transposed = Inner::<B>::float_swap_dims(columns.clone(), 0, 1);
                let block = Inner::<B>::float_matmul(rows.clone(), transposed);
                let width = height::<B>(columns);
                for (position, value) in read_tensor::<B>(block)?.into_iter().enumerate() {
                    matrix[(row + position / width, column + position % width)] = value;
                }
                column += width;
            }
            row += height::<B>(rows);
        }
        Ok(matrix)
    }

    /// ‖qᵢ‖² for every vector.
    pub(crate) fn squares(&self) -> Result<Vec<f64>, Error> {
        let mut squares = Vec::with_capacity(self.len());
        for rows in &self.chunks {
            let square = Inner::<B>::float_mul(rows.clone(), rows.clone());
            squares.extend(read_tensor::<B>(Inner::<B>::float_sum_dim(square, 1))?);
        }
        Ok(squares)
    }

    fn matrix(&self, values: Vec<f64>, shape: [usize; 2]) -> InnerFloat<B> {
        let data = match self.space.precision() {
            Precision::F64 => TensorData::new(values, shape),
            Precision::F32 => {
                let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
                TensorData::new(values, shape)
            }
        };
        Inner::<B>::float_from_data(data, self.space.device())
    }
}

impl<B: AutodiffBackend> Projection<B> {
    /// Brings the overlaps of a projection to the host.
    pub(crate) fn read_one(&self) -> Result<Overlaps, Error> {
        let read = Self::read(std::slice::from_ref(self))?;
        let nothing = Overlaps { coefficients: vec![f64::NAN; self.size], square: f64::NAN };
        Ok(read.into_iter().next().unwrap_or(nothing))
    }

    /// Brings the overlaps of several projections to the host, in one transfer.
    pub(crate) fn read(projections: &[Self]) -> Result<Vec<Overlaps>, Error> {
        let scalars: Vec<_> =
            projections.iter().flat_map(|projection| projection.scalars.iter().cloned()).collect();
        if scalars.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = read_tensor::<B>(Inner::<B>::float_cat(scalars, 0))?.into_iter();
        let overlaps = projections.iter().map(|projection| projection.overlaps(&mut values));
        Ok(overlaps.collect())
    }

    fn overlaps(&self, values: &mut impl Iterator<Item = f64>) -> Overlaps {
        let mut coefficients = vec![0.0; self.size];
        for first in &self.passes {
            for coefficient in coefficients.iter_mut().skip(*first) {
                *coefficient += values.next().unwrap_or(f64::NAN);
            }
        }
        Overlaps { coefficients, square: values.next().unwrap_or(f64::NAN) }
    }

    /// `factor` times what is left, of shape `[n]`.
    pub(crate) fn scaled(self, factor: f64) -> InnerFloat<B> {
        Inner::<B>::float_mul_scalar(self.rest, Scalar::Float(factor))
    }
}

/// Rows of a matrix.
fn height<B: AutodiffBackend>(matrix: &InnerFloat<B>) -> usize {
    matrix.shape().first().copied().unwrap_or(0)
}
