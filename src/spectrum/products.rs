//! An operator with a count of its products, and the random vectors it meets. Knows no method.

use std::cell::Cell;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::{LinearOperator, expect_square},
    space::{ParamSpace, ParamVector},
};

use super::{SpectrumError, frame::Frame};

/// Vectors that are given to an operator at once.
const TOGETHER: usize = 16;

/// A, and a count of the products with it.
pub(super) struct Products<'a, B: AutodiffBackend> {
    operator: &'a dyn LinearOperator<B>,
    count: Cell<usize>,
}

impl<'a, B: AutodiffBackend> Products<'a, B> {
    /// No products yet.
    pub(super) fn new(operator: &'a dyn LinearOperator<B>) -> Self {
        Self { operator, count: Cell::new(0) }
    }

    /// Checks that A maps a space to itself.
    pub(super) fn square(operator: &'a dyn LinearOperator<B>) -> Result<Self, Error> {
        expect_square(operator)?;
        Ok(Self::new(operator))
    }

    /// The domain of A.
    pub(super) fn space(&self) -> &'a ParamSpace<B> {
        self.operator.domain()
    }

    /// Products so far.
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// A v
    pub(super) fn multiply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply(vector)?;
        self.admit(&product)?;
        Ok(product)
    }

    /// A v for several vectors, some of them at once.
    pub(super) fn multiply_many(
        &self,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let mut all = Vec::with_capacity(vectors.len());
        for some in vectors.chunks(TOGETHER) {
            let products = self.operator.apply_many(some)?;
            for product in &products {
                self.admit(product)?;
            }
            all.extend(products);
        }
        Ok(all)
    }

    /// A q for every vector of a frame.
    pub(super) fn multiply_frame(&self, frame: &Frame<B>) -> Result<Frame<B>, Error> {
        let mut images = Frame::new(self.space());
        let indices: Vec<usize> = (0..frame.len()).collect();
        for some in indices.chunks(TOGETHER) {
            let vectors = some.iter().filter_map(|index| frame.vector(*index).transpose());
            let vectors: Vec<_> = vectors.collect::<Result<_, Error>>()?;
            for product in self.multiply_many(&vectors)? {
                self.space().expect_same(product.space())?;
                images.push(product.flat_tensor());
            }
        }
        let squares = images.squares()?;
        if let Some(index) = squares.iter().position(|square| !square.is_finite())
            && let Some(product) = images.vector(index)?
        {
            return Err(not_finite(&product)?);
        }
        Ok(images)
    }

    fn admit(&self, product: &ParamVector<B>) -> Result<(), Error> {
        self.count.set(self.count.get() + 1);
        Ok(self.operator.codomain().expect_same(product.space())?)
    }

    /// Random vectors with A v for each, some at a time, and what becomes of a pair.
    pub(super) fn sample<T>(
        &self,
        count: usize,
        mut draw: impl FnMut() -> Result<ParamVector<B>, Error>,
        mut take: impl FnMut(ParamVector<B>, ParamVector<B>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut results = Vec::with_capacity(count);
        while results.len() < count {
            let some = TOGETHER.min(count - results.len());
            let vectors: Vec<_> = (0..some).map(|_| draw()).collect::<Result<_, _>>()?;
            let products = self.multiply_many(&vectors)?;
            for (vector, product) in vectors.into_iter().zip(products) {
                results.push(take(vector, product)?);
            }
        }
        Ok(results)
    }

    /// The number that a function makes of each unit vector e and A e.
    pub(super) fn exhaust(
        &self,
        take: impl FnMut(ParamVector<B>, ParamVector<B>) -> Result<f64, Error>,
    ) -> Result<Vec<f64>, Error> {
        let n = self.space().len();
        let mut position = 0;
        let draw = || {
            let mut unit = vec![0.0; n];
            unit.iter_mut().skip(position).take(1).for_each(|one| *one = 1.0);
            position += 1;
            Ok(self.space().vector(&unit)?)
        };
        self.sample(n, draw, take)
    }
}

/// ⟨u, A v⟩, checked.
///
/// # Errors
/// As [`not_finite`].
pub(super) fn finite_dot<B: AutodiffBackend>(
    vector: &ParamVector<B>,
    product: &ParamVector<B>,
) -> Result<f64, Error> {
    let value = vector.dot(product)?;
    if !value.is_finite() {
        return Err(not_finite(product)?);
    }
    Ok(value)
}

/// Why a sum over the numbers of a product is not finite.
///
/// # Errors
/// [`VectorError::NonFinite`](crate::VectorError::NonFinite) if the product itself is not.
pub(super) fn not_finite<B: AutodiffBackend>(product: &ParamVector<B>) -> Result<Error, Error> {
    product.expect_finite("the product A v")?;
    let (norm, precision) = (product.largest()?, product.precision());
    Ok(SpectrumError::Range { norm, precision }.into())
}

/// An endless sequence of seeds, another one for each seed to start from.
#[derive(Debug, Clone)]
pub(super) struct Seeds {
    state: u64,
}

impl Seeds {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, section 4. The first mixing keeps
    /// the sequences of neighboring seeds apart.
    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

fn mix(bits: u64) -> u64 {
    let mixed = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
