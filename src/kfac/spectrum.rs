//! The eigendecomposition of a factor, and the range of its eigenvalues.

use std::sync::{Arc, OnceLock};

use burn_backend::AutodiffBackend;

use crate::{
    operator::{KroneckerSide, upload},
    space::{Inner, ParamSpace},
};

use super::matrix::{Eigen, FactorShape};

/// An eigendecomposition on the host, with the eigenvectors on the device once they are needed there.
#[derive(Clone)]
pub(super) struct Eigenbasis<B: AutodiffBackend>(Arc<(Eigen, OnceLock<KroneckerSide<Inner<B>>>)>);

impl<B: AutodiffBackend> Eigenbasis<B> {
    pub fn new(eigen: Eigen) -> Self {
        Self(Arc::new((eigen, OnceLock::new())))
    }

    pub fn host(&self) -> &Eigen {
        &self.0.0
    }

    /// The eigenvectors on the device of a space.
    pub fn side(&self, space: &ParamSpace<B>) -> KroneckerSide<Inner<B>> {
        let (eigen, side) = &*self.0;
        let upload = || {
            let FactorShape { groups, size, diagonal } = eigen.shape;
            if diagonal {
                return KroneckerSide::Identity;
            }
            KroneckerSide::Matrix(upload(&eigen.vectors, [groups, size, size], space))
        };
        side.get_or_init(upload).clone()
    }

    pub fn spectrum(&self) -> FactorSpectrum {
        let values = self.host().values.iter().copied();
        FactorSpectrum {
            smallest: values.clone().fold(f64::INFINITY, f64::min),
            largest: values.fold(0.0, f64::max),
            damped_by: self.host().damped_by,
        }
    }
}

/// The eigenvalues of a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactorSpectrum {
    /// The smallest; values that are negative by rounding count as zero.
    pub smallest: f64,
    /// The largest.
    pub largest: f64,
    /// Damping that the decomposition needed to succeed, relative to the matrix's mean eigenvalue. It is almost always 0.
    ///
    /// It is subtracted from the eigenvalues again. Eigenvalues smaller than it are lost.
    pub damped_by: f64,
}

impl FactorSpectrum {
    /// The condition number κ; infinite for a singular factor.
    pub fn condition(&self) -> f64 {
        self.largest / self.smallest
    }
}
