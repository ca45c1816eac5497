//! Inverses, roots, traces and determinants of Kronecker factors.

use burn_backend::AutodiffBackend;

use super::{Ekfac, Kfac, KroneckerFactor, block::BlockProduct, factor::side_of};
use crate::{
    error::Error,
    operator::{BlockDiagonal, Kronecker, KroneckerSide, expect_damping},
    parallel::map_each,
};

impl<B: AutodiffBackend> Kfac<B> {
    /// (F̂ + λI)⁻¹, exactly, by eigendecompositions of A and G.
    ///
    /// # Errors
    /// [`OperatorError::Damping`](crate::errors::OperatorError::Damping) for a λ that is negative or not finite,
    /// [`KfacError::Singular`](crate::errors::KfacError::Singular) for λ = 0 if a factor is singular,
    /// [`OperatorError::Eigenvalues`](crate::errors::OperatorError::Eigenvalues).
    #[inline(never)]
    pub fn inverse(&self, damping: f64) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        Ekfac::uncorrected(self)?.inverse(damping)
    }

    /// (A + π√λ I)⁻¹ ⊗ (G + √λ/π I)⁻¹ with π² = (tr A / dim A) / (tr G / dim G): factored Tikhonov damping.
    ///
    /// Damps more than [`inverse`](Self::inverse) where both eigenvalues are large. Uncovered parameters have their
    /// exact damped inverse.
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    ///
    /// # References
    /// Martens & Grosse 2015, section 6.3.
    #[inline(never)]
    pub fn factored_inverse(&self, damping: f64) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        expect_damping(damping)?;
        if damping == 0.0 {
            return self.inverse(damping);
        }
        self.read()?;
        let root = damping.sqrt();
        let mut tasks: Vec<(&KroneckerFactor<B>, Vec<f64>)> = Vec::new();
        for block in &*self.0.blocks {
            if block.block.uncovered.is_some() {
                tasks.push((&block.input, vec![damping]));
                continue;
            }
            let pi = block.balance()?;
            tasks.push((&block.input, pi.iter().map(|pi| pi * root).collect()));
            tasks.push((&block.output, pi.iter().map(|pi| root / pi).collect()));
        }
        let inverses = map_each(
            &tasks,
            |(factor, _)| factor.cost(),
            |(factor, damping)| factor.host()?.inverse(damping),
        );
        let sides = inverses.into_iter().map(|inverse| Ok(side_of(&inverse?, &self.0.space)));
        let mut sides = sides.collect::<Result<Vec<_>, Error>>()?.into_iter();
        let mut products = Vec::with_capacity(self.0.blocks.len());
        while let Some(left) = sides.next() {
            let is_layer = products.len() < self.0.network.layers;
            let right = if is_layer { sides.next() } else { None };
            products.push(BlockProduct::Sides(left, right.unwrap_or(KroneckerSide::IDENTITY)));
        }
        self.0.network.operator(&self.0.space, products, damping.recip())
    }

    /// The square root F̂^½: applied to standard normal vectors it draws from the normal distribution with covariance F̂.
    ///
    /// # Errors
    /// [`OperatorError::Eigenvalues`](crate::errors::OperatorError::Eigenvalues).
    #[inline(never)]
    pub fn square_root(&self) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        Ekfac::uncorrected(self)?.square_root()
    }

    /// tr F̂ = Σ tr A·tr G
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    #[inline(never)]
    pub fn trace(&self) -> Result<f64, Error> {
        self.read()?;
        self.0.blocks.iter().map(|block| block.trace()).sum()
    }

    /// The Frobenius norm ‖F̂‖_F.
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    #[inline(never)]
    pub fn frobenius_norm(&self) -> Result<f64, Error> {
        self.read()?;
        let squares = self.0.blocks.iter().map(|block| block.squared_norm());
        Ok(squares.sum::<Result<f64, Error>>()?.sqrt())
    }

    /// log det (F̂ + λI)
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    #[inline(never)]
    pub fn log_determinant(&self, damping: f64) -> Result<f64, Error> {
        Ekfac::uncorrected(self)?.log_determinant(damping)
    }

    /// Reads all factors that were not read before, several at a time.
    pub(super) fn read(&self) -> Result<(), Error> {
        let factors: Vec<_> = self.0.blocks.iter().flat_map(|block| block.factors()).collect();
        let read = map_each(&factors, |factor| factor.size(), |factor| factor.host().map(drop));
        read.into_iter().collect()
    }
}
