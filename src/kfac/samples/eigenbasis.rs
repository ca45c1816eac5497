//! Gradients of samples in the eigenbases of an operator, and their products with those of other samples there. Depends on
//! the programs of scores; independent of the purpose of the products.
//!
//! In the eigenbases U and W of its blocks, an operator M is multiplication by its eigenvalues S. A gradient a gᵀ
//! becomes (Uᵀa)(Wᵀg)ᵀ: two products of a vector and a matrix, where those of a matrix of the size of the weight take
//! thousands of times as many multiplications.

use std::ops::Range;

use burn_backend::{
    AutodiffBackend, DType, TensorData, get_or_init_device_settings, tensor::Device,
};

use super::{
    SampleGradients, SampleScores,
    eigen_gradients::{EigenGradients, OfBlock},
    forms::BlockForm,
};
use crate::{
    error::Error,
    graph::ValueType,
    kfac::{
        KfacError,
        pass::LayerProgram,
        program::{Results, Score, Selected, SideForm, times},
    },
    objective::Objective,
    operator::{BlockDiagonal, Kronecker},
    space::Inner,
    tensor::Operand,
};

impl SampleGradients {
    /// Whether the blocks are those of other gradients, so that products of the two are known.
    pub(crate) fn has_blocks_of(&self, other: &Self) -> bool {
        let (own, others) = (&self.network.blocks, &other.network.blocks);
        let mut pairs = own.iter().zip(others);
        let same = pairs.all(|(a, b)| a.subset == b.subset && a.matrix == b.matrix);
        same && own.len() == others.len()
    }

    /// Whether all blocks of an operator are known by eigenvalues.
    pub(crate) fn has_eigenbases<B: AutodiffBackend>(
        &self,
        operator: &BlockDiagonal<B, Kronecker<B>>,
    ) -> Result<bool, Error> {
        Ok(self.forms(operator)?.iter().all(|block| block.eigenvalues.is_some()))
    }

    /// Uᵀ∇ℓₙW of this rank's samples in a range, in the [eigenbases](Self::has_eigenbases) of an operator.
    pub(crate) fn in_eigenbasis<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        operator: &BlockDiagonal<B, Kronecker<B>>,
        range: &Range<usize>,
    ) -> Result<EigenGradients<B>, Error> {
        let blocks = self.forms(operator)?;
        let objective = objective.stating(self.reduction)?;
        let device = objective.parameters().device();
        let inputs = |own: Range<usize>| {
            let indices: Vec<i64> = own.map(|at| at as i64).collect();
            let shape = [indices.len()];
            let indices = TensorData::new(indices, shape).convert_dtype(index_dtype::<B>(device));
            let indices = Operand::from_data(indices, device)?;
            let sides = blocks.iter().flat_map(|block| &block.sides).cloned();
            Ok([indices].into_iter().chain(sides.map(Operand::Float)).collect())
        };
        let program = |count: usize| self.selecting::<B>(&blocks, device, count);
        let mut some = Vec::new();
        objective.pass_over(range, program, inputs, |part, notes, found| {
            let mut found = found.into_iter().map(Operand::into_float);
            let mut next = || -> Result<_, Error> { Ok(found.next().ok_or(KfacError::State)??) };
            let scale = part.share(self.reduction).recip();
            let of_block = |&selected: &Selected| {
                let mut tensors = vec![next()?];
                if selected.single {
                    tensors.push(next()?);
                }
                let scaled = tensors.pop().map(|last| times::<Inner<B>>(last, scale));
                tensors.extend(scaled);
                Ok(OfBlock { selected, tensors })
            };
            let blocks = notes.selected.iter().map(of_block).collect::<Result<_, Error>>()?;
            some.push(EigenGradients { count: notes.count(), blocks });
            Ok(())
        })?;
        EigenGradients::joined(some).ok_or_else(|| KfacError::NoVectors.into())
    }

    /// ⟨∇ℓₙ, M∇ₘ⟩ for all samples n of all batches of this rank, in order, and gradients ∇ₘ of others in the eigenbases
    /// of M.
    ///
    /// Either the samples are rotated into the eigenbases, or the others out of them, whichever is less work.
    pub(crate) fn bilinear_forms<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        operator: &BlockDiagonal<B, Kronecker<B>>,
        others: &EigenGradients<B>,
    ) -> Result<SampleScores, Error> {
        let blocks = self.forms(operator)?;
        let columns = others.count;
        let mut all = self.nothing(columns);
        let add = |scores| {
            all.append(scores);
            Ok(())
        };
        let selected: Vec<_> = others.blocks.iter().map(|block| block.selected).collect();
        if rotates_samples(objective, &blocks, (&selected, columns)) {
            let scores = pairing(&blocks, &selected, columns);
            self.run(objective, scores, (columns, 1), &others.beside(&blocks), add)?;
        } else {
            let matrices = others.blocks.iter().zip(&blocks);
            let matrices: Vec<_> = matrices.map(|(own, block)| own.multiplied(block)).collect();
            self.run(objective, self.inner(columns), (columns, 1), &matrices, add)?;
        }
        Ok(all)
    }

    /// Bytes of the gradients of some samples in eigenbases, and the most that computing them and their products with
    /// the samples of another objective takes on top, on the largest batch.
    pub(crate) fn bilinear_bytes<B: AutodiffBackend>(
        &self,
        (objective, samples): (&Objective<B>, &Objective<B>),
        operator: &BlockDiagonal<B, Kronecker<B>>,
        count: usize,
    ) -> Result<(usize, usize), Error> {
        let blocks = self.forms(operator)?;
        let objective = objective.stating(self.reduction)?;
        let program = self.selecting::<B>(&blocks, objective.parameters().device(), count);
        let derived = objective.first_derived(&program)?;
        let selected = &derived.notes.selected;
        let rotates = rotates_samples(samples, &blocks, (selected, count));
        let elements = |(block, selected): (&BlockForm<'_, B>, &Selected)| {
            let [groups, d_in, d_out] = block.shape();
            let own = if selected.single { d_in + d_out } else { d_in * d_out };
            // Out of the bases: one after another, then all side by side.
            count * groups * (own + if rotates { 0 } else { 2 * d_in * d_out })
        };
        let elements: usize = blocks.iter().zip(selected).map(elements).sum();
        let scores = if rotates { pairing(&blocks, selected, count) } else { self.inner(count) };
        let scoring = self.program(Results::Scores(scores));
        let most = objective.transient_of(&program)?.max(samples.transient_of(&scoring)?);
        let width = objective.precision().bytes();
        Ok((elements * width, most))
    }

    fn selecting<B: AutodiffBackend>(
        &self,
        blocks: &[BlockForm<'_, B>],
        device: &Device<B>,
        count: usize,
    ) -> LayerProgram {
        let indices = ValueType { shape: vec![count].into(), dtype: index_dtype::<B>(device) };
        let forms = blocks.iter().map(|block| block.form).collect();
        self.program(Results::Selected(forms, indices))
    }
}

fn index_dtype<B: AutodiffBackend>(device: &Device<B>) -> DType {
    get_or_init_device_settings::<Inner<B>>(device).int_dtype.into()
}

/// The program of products with others that are given in the eigenbases.
fn pairing<B: AutodiffBackend>(
    blocks: &[BlockForm<'_, B>],
    selected: &[Selected],
    others: usize,
) -> Vec<Score> {
    let each = blocks.iter().zip(selected);
    let score = |(block, selected): (&BlockForm<'_, B>, &Selected)| Score::Bilinear {
        form: block.form,
        others,
        single: selected.single,
    };
    each.map(score).collect()
}

/// Whether fewer multiplications rotate the samples into the eigenbases than some others out of them.
fn rotates_samples<B: AutodiffBackend>(
    objective: &Objective<B>,
    blocks: &[BlockForm<'_, B>],
    (others, count): (&[Selected], usize),
) -> bool {
    let samples: usize = objective.samples().iter().sum();
    let (mut of_samples, mut of_others) = (0.0, 0.0);
    for (block, other) in blocks.iter().zip(others) {
        let [groups, d_in, d_out] = block.shape().map(|size| size as f64);
        let [left, right] = [block.form.left, block.form.right].map(|side| match side {
            SideForm::Matrix => 1.0,
            SideForm::Diagonal | SideForm::Identity => 0.0,
        });
        let rows = (samples * other.places) as f64;
        of_samples += rows * groups * (left * d_in * d_in + right * d_out * d_out);
        let matrices = count as f64 * groups * d_in * d_out;
        of_others += matrices * (left * d_in + right * d_out);
    }
    of_samples <= of_others
}
