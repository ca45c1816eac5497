//! Inner products, quadratic and bilinear forms of the gradients of single samples, as recorded programs. Depends on taps;
//! independent of where vectors and operators come from.
//!
//! The gradient of a sample by the matrix of a layer is a sum over places of outer products of an input and the gradient
//! of an output. It is never written down for all samples at once.

mod inner;
mod outer;
mod paired;
mod quadratic;

use burn_backend::DType;
use burn_capture::CaptureBackend;

use super::{
    FactorKind, Passes, Probed, ProgramInputs, Reduced, Tensor, inputs,
    record::{input, record},
    rows::{Rows, joined},
};
use crate::{
    capture::Scope,
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
    recorded(network, parameters, |scope, dtype, gradients| {
        let each = gradients.iter().map(|gradient| {
            let [groups, d_in, d_out] = gradient.shape;
            let matrices = input(scope, vec![vectors, groups, d_in, d_out], dtype)?;
            Ok(gradient.outer.inner(&matrices))
        });
        each.collect()
    })
}

/// ⟨∇ₙ, M ∇ₙ⟩ for every sample: inputs as the loss program's, then for each layer and block the left and the right factor
/// of M, without identities, and the eigenvalues `[groups, d_in, d_out]` if it is spectral; output `[samples, parts]`.
pub(in crate::kfac) fn quadratic_forms(
    network: &NetworkLayers,
    parameters: usize,
    forms: &[Form],
) -> Result<Graph, Error> {
    recorded(network, parameters, |scope, dtype, gradients| {
        let each = gradients.iter().zip(forms).map(|(gradient, form)| {
            let [left, right] = gradient.sides(form, (&mut *scope, dtype))?;
            let eigenvalues =
                form.spectral.then(|| gradient.matrix_input((&mut *scope, dtype))).transpose()?;
            Ok(gradient.outer.quadratic(&Sides { left, right, eigenvalues }))
        });
        each.collect()
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
    let graph = with_gradients(network, parameters, |scope, dtype, gradients| {
        let at = scope.input(indices).into_int()?;
        let mut outputs = Vec::new();
        for (gradient, form) in gradients.iter().zip(forms) {
            let [left, right] = gradient.sides(form, (&mut *scope, dtype))?;
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
    recorded(network, parameters, |scope, dtype, gradients| {
        let each = gradients.iter().zip(forms).map(|(gradient, (form, single))| {
            let [groups, d_in, d_out] = gradient.shape;
            let [left, right] = gradient.sides(form, (&mut *scope, dtype))?;
            let eigenvalues = gradient.matrix_input((&mut *scope, dtype))?;
            let mut of = |shape: Vec<usize>| input(scope, shape, dtype);
            let given = if *single {
                let a = of(vec![others, 1, groups, d_in])?;
                Others::Outer(Rows::Rows(a), Rows::Rows(of(vec![others, 1, groups, d_out])?))
            } else {
                Others::Matrices(of(vec![others, groups, d_in, d_out])?)
            };
            Ok(gradient.outer.rotated(&left, &right).paired(&given, &eigenvalues))
        });
        each.collect()
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
        (scope, dtype): (&mut Scope, DType),
    ) -> Result<[KroneckerSide<CaptureBackend>; 2], Error> {
        let [groups, d_in, d_out] = self.shape;
        let mut side = |form: SideForm, size: usize| {
            Ok::<_, Error>(match form {
                SideForm::Identity => KroneckerSide::Identity,
                SideForm::Diagonal => KroneckerSide::Diagonal(input(scope, vec![size], dtype)?),
                SideForm::Matrix => {
                    KroneckerSide::Matrix(input(scope, vec![groups, size, size], dtype)?)
                }
            })
        };
        Ok([side(form.left, d_in)?, side(form.right, d_out)?])
    }

    /// An input of its own shape.
    fn matrix_input(&self, (scope, dtype): (&mut Scope, DType)) -> Result<Tensor, Error> {
        Ok(input(scope, self.shape.to_vec(), dtype)?)
    }
}

/// The program of the scores that `scores` computes from the gradients by all layers and blocks, side by side.
fn recorded(
    network: &NetworkLayers,
    parameters: usize,
    scores: impl FnOnce(&mut Scope, DType, &[Part]) -> Result<Vec<Tensor>, Error>,
) -> Result<Graph, Error> {
    with_gradients(network, parameters, |scope, dtype, parts| {
        let scores = scores(scope, dtype, parts)?;
        if scores.is_empty() {
            return Ok(scores);
        }
        Ok(vec![joined::<CaptureBackend>(scores, 1)])
    })
}

/// The program of what `compute` computes from the gradients by all layers and blocks.
fn with_gradients(
    network: &NetworkLayers,
    parameters: usize,
    compute: impl FnOnce(&mut Scope, DType, &[Part]) -> Result<Vec<Tensor>, Error>,
) -> Result<Graph, Error> {
    let probed = Probed::new(network, parameters);
    record(KIND, &probed, |scope, given| {
        let parts = gradients(&probed, &given)?;
        compute(scope, probed.dtype(), &parts)
    })
}

/// The gradients of the recorded loss by all layers and blocks, sample by sample.
fn gradients(probed: &Probed, given: &ProgramInputs<'_>) -> Result<Vec<Part>, Error> {
    let mut passes = Passes::forward(probed, given)?;
    let mut left = Vec::with_capacity(probed.layers.len());
    for (group, xs) in probed.layers.iter().zip(std::mem::take(&mut passes.inputs)) {
        left.push(match group.kind {
            LayerKind::Embedding => Left::Indices(inputs::indices(probed, group, xs)?),
            _ => Left::Rows(inputs::rows(KIND, (probed, group), xs, true)?),
        });
    }
    let mut parts = Vec::with_capacity(probed.layers.len() + probed.blocks.len());
    passes.back(KIND, |layers, blocks| {
        for ((group, right), left) in probed.layers.iter().zip(layers).zip(left.drain(..)) {
            let shape = [group.kind.groups(), group.d_in(), group.d_out()];
            parts.push(Part { shape, outer: Outer { left, right } });
        }
        for rows in blocks {
            let shape = [1, rows.width(), 1];
            parts.push(Part { shape, outer: Outer::of_rows(rows) });
        }
    })?;
    Ok(parts)
}
