//! Inner products, quadratic and bilinear forms of the gradients of single samples, as recorded programs. Depends on taps;
//! independent of where vectors and operators come from.
//!
//! The gradient of a sample by the matrix of a layer is a sum over places of outer products of an input and the gradient
//! of an output. It is never written down for all samples at once.

mod inner;
mod outer;
mod quadratic;

use burn_capture::CaptureBackend;

use super::{
    FactorKind, Passes, Reduced, Tensor,
    record::ProgramInputs,
    rows::{Rows, joined},
};
use crate::{
    derive::Metric, error::Error, graph::ValueType, kfac::layers::LayerKind,
    operator::KroneckerSide,
};
use outer::{Left, Others, Outer};
use quadratic::Sides;

/// The taps of the gradients at the targets of the data.
pub(in crate::kfac) const KIND: FactorKind =
    FactorKind { metric: Some(Metric::Empirical), reduced: Reduced::Nothing, in_panels: false };

/// What a factor of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::kfac) enum SideForm {
    Identity,
    /// `[size]`
    Diagonal,
    /// `[groups, size, size]`
    Matrix,
}

/// The form of a block: V ↦ L V R, or V ↦ L (S ∘ (Lᵀ V R)) Rᵀ if it is spectral.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::kfac) struct Form {
    pub left: SideForm,
    pub right: SideForm,
    pub spectral: bool,
}

/// A score of every sample by one matrix of parameters, and what it takes as further inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::kfac) enum Score {
    /// ⟨∇ₙ, S⟩ with matrices S, `[vectors, groups, d_in, d_out]`.
    Inner { vectors: usize },
    /// ⟨∇ₙ, M ∇ₙ⟩ with the left and the right factor of M, without identities, and its eigenvalues,
    /// `[groups, d_in, d_out]`, if it is spectral.
    Quadratic(Form),
    /// ⟨∇ₙ, L (S ∘ ∇ₘ) Rᵀ⟩ with other gradients ∇ₘ that are given in the bases L and R: with the left and the right basis,
    /// without identities, the eigenvalues S, and the other gradients as [`selected`] returns them.
    Bilinear { form: Form, others: usize, single: bool },
}

/// How the gradients of selected samples by a layer or block are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::kfac) struct Selected {
    /// As a gᵀ with a, `[count, 1, groups, d_in]`, and g, `[count, 1, groups, d_out]`; else as matrices
    /// `[count, groups, d_in, d_out]`.
    pub single: bool,
    /// How many products a gradient is the sum of.
    pub places: usize,
}

/// The scores of every sample by each layer and block, side by side: `[samples, …]`.
pub(super) fn scores(
    inputs: &mut ProgramInputs<'_>,
    passes: &Passes<'_>,
    scores: &[Score],
) -> Result<Vec<Tensor>, Error> {
    let each = gradients(passes)?.into_iter().zip(scores).map(|(gradient, score)| {
        let Part { shape: [groups, d_in, d_out], outer } = &gradient;
        Ok(match *score {
            Score::Inner { vectors } => {
                outer.inner(&inputs.float(&[vectors, *groups, *d_in, *d_out])?)
            }
            Score::Quadratic(form) => {
                let [left, right] = gradient.sides(form, inputs)?;
                let eigenvalues =
                    form.spectral.then(|| inputs.float(&gradient.shape)).transpose()?;
                outer.quadratic(&Sides { left, right, eigenvalues })
            }
            Score::Bilinear { form, others, single } => {
                let [left, right] = gradient.sides(form, inputs)?;
                let eigenvalues = inputs.float(&gradient.shape)?;
                let given = if single {
                    let a = Rows::Rows(inputs.float(&[others, 1, *groups, *d_in])?);
                    Others::Outer(a, Rows::Rows(inputs.float(&[others, 1, *groups, *d_out])?))
                } else {
                    Others::Matrices(inputs.float(&[others, *groups, *d_in, *d_out])?)
                };
                outer.rotated(&left, &right).paired(&given, &eigenvalues)
            }
        })
    });
    let each = each.collect::<Result<Vec<_>, Error>>()?;
    let any = !each.is_empty();
    Ok(any.then(|| joined::<CaptureBackend>(each, 1)).into_iter().collect())
}

/// The gradients of some samples in bases, Lᵀ∇R, with the indices of the samples, `[count]`, and for each layer and block
/// the left and the right basis, without identities, as further inputs. How they are given goes to a list.
pub(super) fn selected(
    inputs: &mut ProgramInputs<'_>,
    passes: &Passes<'_>,
    (forms, indices): (&[Form], &ValueType),
    selected: &mut Vec<Selected>,
) -> Result<Vec<Tensor>, Error> {
    let at = inputs.scope.input(indices).into_int()?;
    let mut outputs = Vec::new();
    for (gradient, form) in gradients(passes)?.iter().zip(forms) {
        let [left, right] = gradient.sides(*form, inputs)?;
        let own = gradient.outer.selected(&at).rotated(&left, &right);
        let (factors, [_, places, ..]) = (own.single(), own.right.sizes());
        selected.push(Selected { single: factors.is_some(), places });
        match factors {
            Some(factors) => outputs.extend(factors),
            None => outputs.push(own.matrices(gradient.shape[1])),
        }
    }
    Ok(outputs)
}

/// The gradients by one matrix of parameters.
struct Part {
    /// Groups, d_in, d_out.
    shape: [usize; 3],
    outer: Outer<CaptureBackend>,
}

impl Part {
    /// Inputs for the factors of a form.
    fn sides(
        &self,
        form: Form,
        inputs: &mut ProgramInputs<'_>,
    ) -> Result<[KroneckerSide<CaptureBackend>; 2], Error> {
        let [groups, d_in, d_out] = self.shape;
        let mut side = |form: SideForm, size: usize| {
            Ok::<_, Error>(match form {
                SideForm::Identity => KroneckerSide::Identity,
                SideForm::Diagonal => KroneckerSide::Diagonal(inputs.float(&[size])?),
                SideForm::Matrix => KroneckerSide::Matrix(inputs.float(&[groups, size, size])?),
            })
        };
        Ok([side(form.left, d_in)?, side(form.right, d_out)?])
    }
}

/// The gradients of the recorded loss by all layers and blocks, sample by sample.
fn gradients(passes: &Passes<'_>) -> Result<Vec<Part>, Error> {
    let left = passes.layers().map(|(group, xs)| {
        let left = match group.kind {
            LayerKind::Embedding => Left::Indices(passes.indices(group, xs)?),
            _ => Left::Rows(passes.rows(group, xs, true)?),
        };
        Ok(([group.kind.groups(), group.d_in(), group.d_out()], left))
    });
    let (mut left, mut parts) = (left.collect::<Result<Vec<_>, Error>>()?, Vec::new());
    passes.back(|layers, blocks| {
        let layers = left.drain(..).zip(layers);
        parts.extend(
            layers.map(|((shape, left), right)| Part { shape, outer: Outer { left, right } }),
        );
        let blocks = blocks.into_iter().map(|rows| ([1, rows.width(), 1], Outer::of_rows(rows)));
        parts.extend(blocks.map(|(shape, outer)| Part { shape, outer }));
    })?;
    Ok(parts)
}
