//! Gradients of samples in the eigenbases of an operator, and their products with those of other samples there. Depends on
//! the programs of scores; independent of the purpose of the products.
//!
//! In the eigenbases U and W of its blocks, an operator M is multiplication by its eigenvalues S. A gradient a gᵀ
//! becomes (Uᵀa)(Wᵀg)ᵀ: two products of a vector and a matrix, where those of a matrix of the size of the weight take
//! thousands of times as many multiplications.

use std::{ops::Range, sync::Arc};

use burn_backend::{
    AutodiffBackend, DType, Shape, Slice, TensorData, TensorMetadata, get_or_init_device_settings,
    ops::FloatTensorOps, tensor::Device,
};

use super::{BlockForm, SampleGradients, SampleScores};
use crate::{
    error::Error,
    graph::{Graph, ValueType},
    kfac::{
        KfacError,
        layers::NetworkLayers,
        pass::{Results, Structure},
        program::{Form, SAMPLES, Selected, SideForm, selected_gradients, times},
    },
    objective::{Derivation, Objective},
    operator::{BlockDiagonal, Kronecker},
    space::{Inner, InnerFloat, read_tensor, sum},
    tensor::Operand,
};

/// Uᵀ∇ℓₙW of some samples, for each block with its eigenbases U and W.
pub(crate) struct EigenGradients<B: AutodiffBackend> {
    count: usize,
    blocks: Vec<OfBlock<B>>,
    selected: Vec<Selected>,
}

enum OfBlock<B: AutodiffBackend> {
    /// Uᵀa and Wᵀg, `[count, 1, groups, d_in]` and `[count, 1, groups, d_out]`.
    Outer([InnerFloat<B>; 2]),
    /// `[count, groups, d_in, d_out]`
    Matrices(InnerFloat<B>),
}

/// A program of the gradients of some samples in bases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SelectionProgram {
    structure: Arc<Structure>,
    forms: Vec<Form>,
    /// Of the indices of the samples.
    indices: ValueType,
}

impl Derivation for SelectionProgram {
    /// The number of samples, and how the gradients by each part are given.
    type Notes = (usize, Vec<Selected>);

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, Self::Notes), Error> {
        let found = NetworkLayers::of(loss, parameters, SAMPLES.separation());
        let network = self.structure.select(found)?;
        let (graph, selected) =
            selected_gradients(&network, parameters, &self.forms, &self.indices)?;
        Ok((graph, (self.indices.shape.num_elements(), selected)))
    }
}

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
        objective.pass_over(range, program, inputs, |part, (count, selected), found| {
            let mut found = found.into_iter().map(Operand::into_float);
            let mut next = || -> Result<_, Error> { Ok(found.next().ok_or(KfacError::State)??) };
            let scale = part.share(self.reduction).recip();
            let of_block = |selected: &Selected| {
                Ok(if selected.single {
                    OfBlock::Outer([next()?, times::<Inner<B>>(next()?, scale)])
                } else {
                    OfBlock::Matrices(times::<Inner<B>>(next()?, scale))
                })
            };
            let blocks = selected.iter().map(of_block).collect::<Result<_, Error>>()?;
            some.push(EigenGradients { count: *count, blocks, selected: selected.clone() });
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
        let mut all = self.nothing(others.count);
        let add = |scores| {
            all.append(scores);
            Ok(())
        };
        let columns = others.count;
        if rotates_samples(objective, &blocks, (&others.selected, columns)) {
            let results = pairing(&blocks, &others.selected, columns);
            self.run(objective, results, (columns, 1), &others.beside(&blocks), add)?;
        } else {
            let matrices = others.blocks.iter().zip(&blocks);
            let matrices: Vec<_> = matrices.map(|(own, block)| own.multiplied(block)).collect();
            let results = Results::InnerProducts { vectors: columns };
            self.run(objective, results, (columns, 1), &matrices, add)?;
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
        let selected = &derived.notes.1;
        let rotates = rotates_samples(samples, &blocks, (selected, count));
        let elements = |(block, selected): (&BlockForm<'_, B>, &Selected)| {
            let [groups, d_in, d_out] = block.shape();
            let own = if selected.single { d_in + d_out } else { d_in * d_out };
            // Out of the bases: one after another, then all side by side.
            count * groups * (own + if rotates { 0 } else { 2 * d_in * d_out })
        };
        let elements: usize = blocks.iter().zip(selected).map(elements).sum();
        let scoring = self.program(if rotates {
            pairing(&blocks, selected, count)
        } else {
            Results::InnerProducts { vectors: count }
        });
        let most = objective.transient_of(&program)?.max(samples.transient_of(&scoring)?);
        let width = objective.precision().bytes();
        Ok((elements * width, most))
    }

    fn selecting<B: AutodiffBackend>(
        &self,
        blocks: &[BlockForm<'_, B>],
        device: &Device<B>,
        count: usize,
    ) -> SelectionProgram {
        SelectionProgram {
            structure: Arc::clone(&self.structure),
            forms: blocks.iter().map(|block| block.form).collect(),
            indices: ValueType { shape: vec![count].into(), dtype: index_dtype::<B>(device) },
        }
    }
}

fn index_dtype<B: AutodiffBackend>(device: &Device<B>) -> DType {
    get_or_init_device_settings::<Inner<B>>(device).int_dtype.into()
}

/// The program of products with others that are given in the eigenbases.
fn pairing<B: AutodiffBackend>(
    blocks: &[BlockForm<'_, B>],
    selected: &[Selected],
    count: usize,
) -> Results {
    let each = blocks.iter().zip(selected).map(|(block, selected)| (block.form, selected.single));
    Results::BilinearForms(each.collect(), count)
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

impl<B: AutodiffBackend> EigenGradients<B> {
    /// Of several batches, one after another.
    fn joined(mut some: Vec<Self>) -> Option<Self> {
        if some.len() < 2 {
            return some.pop();
        }
        let count = some.iter().map(|one| one.count).sum();
        let mut selected = some.first()?.selected.clone();
        let mut blocks = Vec::with_capacity(selected.len());
        for (at, own) in selected.iter_mut().enumerate() {
            let each = some.iter().filter_map(|one| one.blocks.get(at));
            own.places = some.iter().filter_map(|one| Some(one.selected.get(at)?.places)).max()?;
            own.single = each.clone().all(|block| matches!(block, OfBlock::Outer(_)));
            blocks.push(if own.single {
                let side = |side| cat::<B>(each.clone().filter_map(|one| one.factor(side)));
                OfBlock::Outer([side(0), side(1)])
            } else {
                OfBlock::Matrices(cat::<B>(each.map(OfBlock::matrices)))
            });
        }
        Some(Self { count, blocks, selected })
    }

    /// Whether all elements are finite, and their sums too.
    pub fn are_finite(&self) -> Result<bool, Error> {
        let tensors = self.blocks.iter().flat_map(|block| match block {
            OfBlock::Outer([a, g]) => vec![a, g],
            OfBlock::Matrices(matrices) => vec![matrices],
        });
        let sums: Vec<_> = tensors.map(|tensor| sum::<B>(tensor.clone())).collect();
        if sums.is_empty() {
            return Ok(true);
        }
        Ok(read_tensor::<B>(cat::<B>(sums.into_iter()))?.iter().all(|sum| sum.is_finite()))
    }

    /// What the program of products takes for each block: the bases, the eigenvalues, and these gradients.
    fn beside(&self, blocks: &[BlockForm<'_, B>]) -> Vec<InnerFloat<B>> {
        let mut operands = Vec::new();
        for (own, block) in self.blocks.iter().zip(blocks) {
            operands.extend(block.sides.iter().chain(&block.eigenvalues).cloned());
            match own {
                OfBlock::Outer(factors) => operands.extend(factors.iter().cloned()),
                OfBlock::Matrices(matrices) => operands.push(matrices.clone()),
            }
        }
        operands
    }
}

impl<B: AutodiffBackend> OfBlock<B> {
    fn factor(&self, side: usize) -> Option<InnerFloat<B>> {
        match self {
            Self::Outer(factors) => factors.get(side).cloned(),
            Self::Matrices(_) => None,
        }
    }

    /// `[count, groups, d_in, d_out]`
    fn matrices(&self) -> InnerFloat<B> {
        let [a, g] = match self {
            Self::Matrices(matrices) => return matrices.clone(),
            Self::Outer([a, g]) => [a.clone(), g.clone()],
        };
        let (count, groups, d_in) = (a.shape()[0], a.shape()[2], a.shape()[3]);
        let d_out = g.shape()[3];
        let a = reshaped::<B>(a, vec![count * groups, d_in, 1]);
        let g = reshaped::<B>(g, vec![count * groups, 1, d_out]);
        reshaped::<B>(Inner::<B>::float_matmul(a, g), vec![count, groups, d_in, d_out])
    }

    /// U (S ∘ T) Wᵀ, out of the eigenbases.
    fn multiplied(&self, block: &BlockForm<'_, B>) -> InnerFloat<B> {
        let matrices = self.matrices();
        let (_, [left, right], eigenvalues) = block.product.factors();
        let shape = block.shape().to_vec();
        let each = (0..matrices.shape()[0]).map(|at| {
            let one = Inner::<B>::float_slice(matrices.clone(), &[Slice::from(at..at + 1)]);
            let mut own = reshaped::<B>(one, shape.clone());
            if let Some(eigenvalues) = eigenvalues {
                own = Inner::<B>::float_mul(own, eigenvalues.clone());
            }
            let own = right.right(true, left.left(false, own));
            reshaped::<B>(own, [vec![1], shape.clone()].concat())
        });
        cat::<B>(each)
    }
}

fn cat<B: AutodiffBackend>(tensors: impl Iterator<Item = InnerFloat<B>>) -> InnerFloat<B> {
    Inner::<B>::float_cat(tensors.collect(), 0)
}

fn reshaped<B: AutodiffBackend>(tensor: InnerFloat<B>, shape: Vec<usize>) -> InnerFloat<B> {
    Inner::<B>::float_reshape(tensor, Shape::from(shape))
}
