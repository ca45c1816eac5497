//! An operator with a count of its products, checked, one by one or several at once.

use std::marker::PhantomData;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::{Counted, LinearOperator, SelfAdjoint, expect_one_each, expect_square},
    space::{DeviceScalar, ParamSpace, ParamVector},
};

use super::{Basis, KrylovError};

/// Vectors that are given to an operator at once.
const TOGETHER: usize = 16;

/// A, and a count of the products with it.
pub(crate) struct Products<'a, B: AutodiffBackend, A: ?Sized = dyn LinearOperator<B> + 'a> {
    operator: Counted<&'a A>,
    backend: PhantomData<fn(B)>,
}

impl<'a, B: AutodiffBackend, A: LinearOperator<B> + ?Sized> Products<'a, B, A> {
    /// No products yet.
    pub(crate) fn new(operator: &'a A) -> Self {
        Self { operator: Counted::new(operator), backend: PhantomData }
    }

    /// Checks that A maps a space to itself.
    pub(crate) fn square(operator: &'a A) -> Result<Self, Error> {
        expect_square(operator)?;
        Ok(Self::new(operator))
    }

    /// A; its products are counted here.
    pub(crate) fn operator(&self) -> &Counted<&'a A> {
        &self.operator
    }

    /// The domain of A.
    pub(crate) fn space(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    /// Products so far.
    pub(crate) fn count(&self) -> usize {
        self.operator.applications()
    }

    /// Counts products that were made elsewhere.
    pub(crate) fn add(&self, products: usize) {
        self.operator.add(products);
    }

    /// A v
    pub(crate) fn multiply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply(vector)?;
        self.expect_fits(&product)?;
        Ok(product)
    }

    /// A v for several vectors, some of them at once.
    ///
    /// # Errors
    /// Those of the operator; [`OperatorError::ProductCount`](crate::errors::OperatorError::ProductCount).
    pub(crate) fn multiply_many(
        &self,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let mut all = Vec::with_capacity(vectors.len());
        for some in vectors.chunks(TOGETHER) {
            let products = self.operator.apply_many(some)?;
            expect_one_each(some, &products)?;
            for product in &products {
                self.expect_fits(product)?;
            }
            all.extend(products);
        }
        Ok(all)
    }

    /// A q for every vector of a basis.
    pub(crate) fn multiply_basis(&self, basis: &Basis<B>) -> Result<Basis<B>, Error> {
        let mut images = Basis::new(self.space());
        let indices: Vec<usize> = (0..basis.len()).collect();
        for some in indices.chunks(TOGETHER) {
            let vectors = some.iter().filter_map(|index| basis.vector(*index).transpose());
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

    fn expect_fits(&self, product: &ParamVector<B>) -> Result<(), Error> {
        Ok(self.operator.codomain().expect_same(product.space())?)
    }

    /// Draws `count` vectors, and passes each with its product to `take`; some at a time.
    pub(crate) fn sample<T>(
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

    /// What `take` returns for each unit vector e and A e.
    pub(crate) fn exhaust(
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

impl<B: AutodiffBackend, A: SelfAdjoint<B> + ?Sized> Products<'_, B, A> {
    /// A v and vᵀA v
    pub(crate) fn multiply_with_form(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
        let (product, form) = self.operator.apply_with_quadratic_form(vector)?;
        self.expect_fits(&product)?;
        Ok((product, form))
    }
}

/// ⟨u, A v⟩, checked.
///
/// # Errors
/// As [`not_finite`].
pub(crate) fn finite_dot<B: AutodiffBackend>(
    vector: &ParamVector<B>,
    product: &ParamVector<B>,
) -> Result<f64, Error> {
    let value = vector.dot(product)?;
    if !value.is_finite() {
        return Err(not_finite(product)?);
    }
    Ok(value)
}

/// Why a sum over the entries of a product is not finite.
///
/// # Errors
/// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if the product itself is not.
pub(crate) fn not_finite<B: AutodiffBackend>(product: &ParamVector<B>) -> Result<Error, Error> {
    product.expect_finite("the product A v")?;
    let (norm, precision) = (product.largest()?, product.precision());
    Ok(KrylovError::Range { norm, precision }.into())
}
