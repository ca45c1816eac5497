//! Linear maps between spaces of vectors. Depends on spaces and vectors; independent of models, losses and solvers.
//!
//! | operator | is | self-adjoint |
//! |---|---|---|
//! | [`Identity`] | I | yes |
//! | [`Scaled`] | c·A | if A is |
//! | [`Sum`] | A + B | if both are |
//! | [`Damped`] | A + λI, A + diag(d), A + λₖI on block k | if A is |
//! | [`Chain`] | A·B | no |
//! | [`Transposed`] | Aᵀ | if A is |
//! | [`Congruence`] | Aᵀ·M·A | if M is |
//! | [`Restricted`] | R·A·Rᵀ, the block of some parameters | if A is |
//! | [`BlockDiagonal`] | one operator for each part of the parameters | if all are |
//! | [`Mean`] | 1/n · Σ Aᵢ, a [`FiniteSum`] | if all are |
//! | [`LowRank`] | Σ cᵢvᵢvᵢᵀ + D, with its exact inverse | yes |
//! | [`Kronecker`] | A ⊗ G on the weight and bias of a layer | yes |
//! | [`Dense`] | an explicit matrix | no ([`SymmetricDense`]: checked) |
//! | [`Diagonal`] | an explicit diagonal | yes |
//! | [`FromFn`], [`WithAdjoint`] | a closure; one with a closure for its transpose | no |
//! | [`AssumeSelfAdjoint`] | A, promised by the caller to be self-adjoint | yes |
//! | [`Counted`] | A, with a count of its applications | if A is |
//!
//! [`materialize`] turns any of them into a [`DenseMatrix`] on the host, [`diagonal()`] into its diagonal. [`check_operator`],
//! [`check_self_adjoint`] and [`check_adjoint`] test one. An [`Adjoint`] has a transpose as well, a
//! [`FiniteSum`] is the mean of terms; most compositions pass both on.

mod block_diagonal;
mod by_reference;
mod chain;
mod check;
mod closure;
mod compose;
mod damped;
mod dense;
mod diagonal;
mod entries;
mod error;
mod kronecker;
mod linear_operator;
mod low_rank;
mod matrix;
mod mean;
mod restricted;
mod stack;
mod wrap;

pub use block_diagonal::BlockDiagonal;
pub use chain::{Chain, Congruence, Transposed};
pub(crate) use check::{Properties, measure_self_adjoint};
pub use check::{check_adjoint, check_operator, check_self_adjoint};
pub use closure::{FromFn, WithAdjoint};
pub use compose::{Identity, Scaled, Sum};
pub(crate) use damped::expect_damping;
pub use damped::{BlockDamping, Damped, Damping};
pub use dense::{Dense, SymmetricDense};
pub use diagonal::Diagonal;
pub use entries::{DEFAULT_SIZE_LIMIT, diagonal, materialize, materialize_up_to};
pub(crate) use entries::{columns_by_products, zeros_for_columns};
pub use error::OperatorError;
pub use kronecker::Kronecker;
pub(crate) use kronecker::{KroneckerSide, KroneckerSides, WeightMatrix};
pub use linear_operator::{Adjoint, FiniteSum, LinearOperator, SelfAdjoint};
pub(crate) use low_rank::InvertedLowRank;
pub use low_rank::LowRank;
pub use matrix::DenseMatrix;
pub use mean::Mean;
pub use restricted::Restricted;
pub use wrap::{AssumeSelfAdjoint, Counted};

use dense::SYMMETRY_TOLERANCE;
pub(crate) use stack::{stack, transpose, upload};

use burn_backend::AutodiffBackend;

use crate::{error::Error, space::ParamVector};

/// Checks that an operator maps a space to itself.
pub(crate) fn expect_square<B: AutodiffBackend>(
    operator: &(impl LinearOperator<B> + ?Sized),
) -> Result<(), Error> {
    let (domain, codomain) = (operator.domain(), operator.codomain());
    if domain.layout() != codomain.layout() {
        let (domain, codomain) = (domain.len(), codomain.len());
        return Err(OperatorError::NotSquare { domain, codomain }.into());
    }
    Ok(domain.expect_same(codomain)?)
}

/// `apply_many` must return one product per vector.
///
/// # Errors
/// [`OperatorError::ProductCount`].
pub(crate) fn expect_one_each<B: AutodiffBackend>(
    vectors: &[ParamVector<B>],
    products: &[ParamVector<B>],
) -> Result<(), Error> {
    let (expected, found) = (vectors.len(), products.len());
    if expected == found {
        return Ok(());
    }
    Err(OperatorError::ProductCount { expected, found }.into())
}
