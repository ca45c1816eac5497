//! An operator with a count of its products, and the random vectors it meets. Knows no method.

use std::cell::Cell;

use burn_backend::AutodiffBackend;

use crate::{
    Error,
    operator::{LinearOperator, expect_square},
    params::ParamVector,
};

/// A, and a count of the products with it.
pub(super) struct Products<'a, B: AutodiffBackend> {
    operator: &'a dyn LinearOperator<B>,
    like: &'a ParamVector<B>,
    count: Cell<usize>,
}

impl<'a, B: AutodiffBackend> Products<'a, B> {
    /// Checks that A takes vectors like the given one.
    pub(super) fn new(
        operator: &'a dyn LinearOperator<B>,
        like: &'a ParamVector<B>,
    ) -> Result<Self, Error> {
        operator.domain().expect_same(like.layout())?;
        Ok(Self {
            operator,
            like,
            count: Cell::new(0),
        })
    }

    /// Checks that A maps the space of the given vector to itself.
    pub(super) fn square(
        operator: &'a dyn LinearOperator<B>,
        like: &'a ParamVector<B>,
    ) -> Result<Self, Error> {
        expect_square(operator)?;
        Self::new(operator, like)
    }

    /// A vector of the right layout, device and precision.
    pub(super) fn like(&self) -> &'a ParamVector<B> {
        self.like
    }

    /// Products so far.
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// A v
    pub(super) fn multiply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply(vector)?;
        self.admit(1, &product)?;
        Ok(product)
    }

    /// A v for several vectors at once.
    pub(super) fn multiply_many(
        &self,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let products = self.operator.apply_many(vectors)?;
        for product in &products {
            self.admit(1, product)?;
        }
        Ok(products)
    }

    fn admit(&self, products: usize, product: &ParamVector<B>) -> Result<(), Error> {
        self.count.set(self.count.get() + products);
        self.operator.codomain().expect_same(product.layout())?;
        Ok(())
    }
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
    /// the sequences of neighbouring seeds apart.
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
