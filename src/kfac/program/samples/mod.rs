//! Inner products, quadratic and bilinear forms of the gradients of single samples, as recorded programs. Depends on taps;
//! independent of where vectors and operators come from.
//!
//! The gradient of a sample by the matrix of a layer is a sum over places of outer products of an input and the gradient
//! of an output. It is never written down for all samples at once.

mod inner;
mod outer;
mod paired;
mod quadratic;

use burn_capture::CaptureBackend;

use super::{
    FactorKind, Passes, Reduced, Tensor,
    record::{ProgramInputs, record},
    rows::{Rows, joined},
};
use crate::{
    derive::Metric,
    error::Error,
    graph::{Graph, ValueType},
    kfac::layers::{LayerKind, NetworkLayers},
    operator::KroneckerSide,
};
use outer::{Left, Outer};
use paired::Others;
use quadratic::Sides;

/// The taps of the gradients at the targets of the data.
pub(in crate::kfac) const KIND: FactorKind =
    FactorKind { metric: Some(Metric::Empirical), reduced: Reduced::Nothing };

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

/// ⟨∇ₙ, S⟩ for every sample: inputs as the loss program's, then the matrices S of each layer and block,
/// `[vectors, groups, d_in, d_out]`; output `[samples, parts·vectors]`.
pub(in crate::kfac) fn inner_products(
    network: &NetworkLayers,
    parameters: usize,
    vectors: usize,
) -> Result<Graph, Error> {
    recorded(network, parameters, |inputs, _, gradient| {
        let [groups, d_in, d_out] = gradient.shape;
        Ok(gradient.outer.inner(&inputs.float(&[vectors, groups, d_in, d_out])?))
    })
}

/// ⟨∇ₙ, M ∇ₙ⟩ for every sample: inputs as the loss program's, then for each layer and block the left and the right factor
/// of M, without identities, and the eigenvalues `[groups, d_in, d_out]` if it is spectral; output `[samples, parts]`.
pub(in crate::kfac) fn quadratic_forms(
    network: &NetworkLayers,
    parameters: usize,
    forms: &[Form],
) -> Result<Graph, Error> {
    recorded(network, parameters, |inputs, part, gradient| {
        let form = &forms[part];
        let [left, right] = gradient.sides(form, inputs)?;
        let eigenvalues = form.spectral.then(|| inputs.float(&gradient.shape)).transpose()?;
        Ok(gradient.outer.quadratic(&Sides { left, right, eigenvalues }))
    })
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

/// The gradients of some samples in bases, Lᵀ∇R: inputs as the loss program's, then the indices of the samples, `[count]`,
/// then for each layer and block the left and the right basis, without identities. Outputs for each of them as the returned
/// list says.
pub(in crate::kfac) fn selected_gradients(
    network: &NetworkLayers,
    parameters: usize,
    forms: &[Form],
    indices: &ValueType,
) -> Result<(Graph, Vec<Selected>), Error> {
    let mut selected = Vec::with_capacity(forms.len());
    let graph = record(KIND, network, parameters, |inputs, passes| {
        let at = inputs.scope.input(indices).into_int()?;
        let mut outputs = Vec::new();
        for (gradient, form) in gradients(&passes)?.iter().zip(forms) {
            let [left, right] = gradient.sides(form, inputs)?;
            let own = gradient.outer.selected(&at).rotated(&left, &right);
            let (factors, [_, places, ..]) = (own.single(), own.right.sizes());
            selected.push(Selected { single: factors.is_some(), places });
            match factors {
                Some(factors) => outputs.extend(factors),
                None => outputs.push(own.matrices(gradient.shape[1])),
            }
        }
        Ok(outputs)
    })?;
    Ok((graph, selected))
}

/// ⟨∇ₙ, L (S ∘ ∇ₘ) Rᵀ⟩ for every sample and other gradients ∇ₘ, which are given in the bases L and R. Inputs as the loss
/// program's, then for each layer and block the left and the right basis, without identities, the eigenvalues S, and the
/// other gradients as [`selected_gradients`] returns them; output `[samples, parts·others]`.
pub(in crate::kfac) fn bilinear_forms(
    network: &NetworkLayers,
    parameters: usize,
    forms: &[(Form, bool)],
    others: usize,
) -> Result<Graph, Error> {
    recorded(network, parameters, |inputs, part, gradient| {
        let ((form, single), [groups, d_in, d_out]) = (&forms[part], gradient.shape);
        let [left, right] = gradient.sides(form, inputs)?;
        let eigenvalues = inputs.float(&gradient.shape)?;
        let given = if *single {
            let [a, g] = [d_in, d_out].map(|width| inputs.float(&[others, 1, groups, width]));
            Others::Outer(Rows::Rows(a?), Rows::Rows(g?))
        } else {
            Others::Matrices(inputs.float(&[others, groups, d_in, d_out])?)
        };
        Ok(gradient.outer.rotated(&left, &right).paired(&given, &eigenvalues))
    })
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
        form: &Form,
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

/// The program of the scores that `score` computes from the gradients by each layer and block, side by side.
fn recorded(
    network: &NetworkLayers,
    parameters: usize,
    score: impl Fn(&mut ProgramInputs<'_>, usize, &Part) -> Result<Tensor, Error>,
) -> Result<Graph, Error> {
    record(KIND, network, parameters, |inputs, passes| {
        let parts = gradients(&passes)?;
        let scores = parts.iter().enumerate().map(|(at, part)| score(inputs, at, part));
        let scores = scores.collect::<Result<Vec<_>, Error>>()?;
        let any = !scores.is_empty();
        Ok(any.then(|| joined::<CaptureBackend>(scores, 1)).into_iter().collect())
    })
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
