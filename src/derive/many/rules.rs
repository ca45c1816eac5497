//! The rule of each operation for several vectors.

use burn_backend::Slice;

use super::stack::Stack;
use crate::graph::{Binary, Kind, Node, Op, ValueId, WithRespectTo};

/// How an operation is applied to several vectors at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// Element by element, operands aligned at the last dimension: a fixed one is broadcast.
    Broadcast,
    /// The same, with all operands in the shape of the result: not every backend broadcasts them.
    Expanded,
    /// This operation, whose dimensions are counted behind the axis, on operands that all have the axis.
    Behind(Op),
    /// The same, but operand 1 holds positions, which must be fixed.
    Positions(Op),
    /// The axis goes last: operand 1 holds tuples of positions, which must be fixed.
    Last,
    /// The operation itself takes any leading dimensions of this operand; the others must be fixed.
    Leading(usize),
    /// The axis is merged into the first dimension of the first operands of this number; the others must be fixed.
    Merged(usize),
    /// A rule of its own.
    Own,
    /// One vector after another.
    Each,
}

/// The table of rules, one row for each operation.
pub(super) fn rule(op: &Op) -> Rule {
    let shifted = |dims: &[usize]| dims.iter().map(|dim| dim + 1).collect::<Vec<_>>();
    match op {
        Op::Zeros | Op::Ones | Op::Full(_) | Op::Random(_) => Rule::Each,
        Op::Reshape | Op::StopGradient | Op::Cast | Op::Unary(_) => Rule::Behind(op.clone()),
        Op::BinaryScalar(..) | Op::CompareScalar(..) => Rule::Behind(op.clone()),
        Op::Clamp { .. } | Op::HardSigmoid { .. } => Rule::Behind(op.clone()),
        Op::SwapDims(a, b) => Rule::Behind(Op::SwapDims(a + 1, b + 1)),
        Op::Permute(axes) => {
            Rule::Behind(Op::Permute([0].into_iter().chain(shifted(axes)).collect()))
        }
        Op::Flip(dims) => Rule::Behind(Op::Flip(shifted(dims))),
        &Op::Unfold { dim, size, step } => Rule::Behind(Op::Unfold { dim: dim + 1, size, step }),
        Op::Slice(slices) => Rule::Behind(Op::Slice(behind(slices))),
        Op::SliceAssign(slices) => Rule::Behind(Op::SliceAssign(behind(slices))),
        &Op::RepeatDim { dim, times } => Rule::Behind(Op::RepeatDim { dim: dim + 1, times }),
        Op::Cat(dim) => Rule::Behind(Op::Cat(dim + 1)),
        Op::Pad { padding, mode } => {
            let padding = [(0, 0)].into_iter().chain(padding.iter().copied()).collect();
            Rule::Behind(Op::Pad { padding, mode: *mode })
        }
        Op::Gather(dim) => Rule::Behind(Op::Gather(dim + 1)),
        Op::Scatter(dim, update) => Rule::Behind(Op::Scatter(dim + 1, *update)),
        Op::Select(dim) => Rule::Positions(Op::Select(dim + 1)),
        Op::SelectAssign(dim, update) => Rule::Positions(Op::SelectAssign(dim + 1, *update)),
        Op::GatherNd | Op::ScatterNd(_) => Rule::Last,
        Op::MaskWhere | Op::Binary(Binary::PRelu) => Rule::Expanded,
        Op::Binary(_) | Op::Compare(_) | Op::MaskFill(_) => Rule::Broadcast,
        Op::Expand | Op::Reduce(_) | Op::Matmul => Rule::Own,
        Op::ReduceDim(of, dim) => Rule::Behind(Op::ReduceDim(*of, dim + 1)),
        Op::SumDims(dims) => Rule::Behind(Op::SumDims(shifted(dims))),
        &Op::ExtremumWithIndices { dim, largest } => {
            Rule::Behind(Op::ExtremumWithIndices { dim: dim + 1, largest })
        }
        &Op::TopK { dim, k, outputs } => Rule::Behind(Op::TopK { dim: dim + 1, k, outputs }),
        &Op::Sort { dim, descending, outputs } => {
            Rule::Behind(Op::Sort { dim: dim + 1, descending, outputs })
        }
        Op::Cumulative(of, dim) => Rule::Behind(Op::Cumulative(*of, dim + 1)),
        Op::Softmax(of, dim) => Rule::Behind(Op::Softmax(*of, dim + 1)),
        Op::Cross(dim) => Rule::Behind(Op::Cross(dim + 1)),
        Op::Linear { .. } | Op::LayerNorm { .. } => Rule::Leading(0),
        Op::LinearBackward(WithRespectTo::Input) => Rule::Leading(1),
        Op::LinearBackward(_) | Op::Embedding | Op::EmbeddingBackward => Rule::Each,
        Op::BatchNorm { .. } | Op::Unfold4d { .. } => Rule::Merged(1),
        Op::AvgPool { .. } | Op::AdaptiveAvgPool | Op::MaxPool { .. } => Rule::Merged(1),
        Op::Interpolate { .. } => Rule::Merged(1),
        Op::AvgPoolBackward { .. } | Op::AdaptiveAvgPoolBackward => Rule::Merged(2),
        Op::InterpolateBackward { .. } | Op::GridSample2d { .. } => Rule::Merged(2),
        Op::MaxPoolBackward(_) => Rule::Merged(3),
        Op::Attention { mask: false, attn_bias: false, .. } => Rule::Merged(3),
        Op::Attention { .. } | Op::CtcLoss { .. } | Op::CtcLossBackward { .. } => Rule::Each,
        Op::Conv { .. } | Op::ConvBackward(..) => Rule::Own,
        Op::ConvTranspose { .. } | Op::ConvTransposeBackward(..) => Rule::Own,
    }
}

/// All of the axis, then the slices.
fn behind(slices: &[Slice]) -> Vec<Slice> {
    [Slice::full()].into_iter().chain(slices.iter().copied()).collect()
}

impl Stack<'_> {
    /// The results of a node for all vectors at once; `None` if there is no rule for these operands.
    pub fn together(&mut self, node: &Node) -> Option<Vec<ValueId>> {
        let inputs = &node.inputs;
        match rule(&node.op) {
            Rule::Behind(op) => {
                let inputs = inputs.iter().map(|&input| self.full(input)).collect();
                Some(self.like(node, op, inputs))
            }
            Rule::Broadcast => {
                let rank = self.with_axis(*node.outputs.first()?).len();
                let inputs = inputs.iter().map(|&input| self.lifted(input, rank)).collect();
                Some(self.like(node, node.op.clone(), inputs))
            }
            Rule::Expanded => self.expanded_operands(node),
            Rule::Positions(op) => {
                let &positions = inputs.get(1).filter(|&&positions| !self.varies(positions))?;
                let mut inputs: Vec<_> = inputs.iter().map(|&input| self.full(input)).collect();
                inputs[1] = positions;
                Some(self.like(node, op, inputs))
            }
            Rule::Last => self.axis_last(node),
            Rule::Leading(operand) => {
                let mut others = (0..inputs.len()).filter(|&other| other != operand);
                if others.any(|other| self.varies(inputs[other])) {
                    return None;
                }
                let mut given = inputs.clone();
                given[operand] = self.full(inputs[operand]);
                Some(self.like(node, node.op.clone(), given))
            }
            Rule::Merged(operands) => {
                let parts = inputs.iter().enumerate().map(|(place, &input)| {
                    if place < operands {
                        Some((input, true))
                    } else {
                        (!self.varies(input)).then_some((input, false))
                    }
                });
                let parts: Vec<(ValueId, bool)> = parts.collect::<Option<_>>()?;
                self.merged_batch(node, &parts)
            }
            Rule::Own => match &node.op {
                Op::Expand => self.expanded(node),
                Op::Reduce(of) => self.reduced(node, Op::ReduceDim(*of, 1)),
                Op::Matmul => self.product(node),
                _ => self.convolution(node),
            },
            Rule::Each => None,
        }
    }

    /// The axis merged into the first dimension, the batch, of some operands and of the results.
    pub fn merged_batch(
        &mut self,
        node: &Node,
        inputs: &[(ValueId, bool)],
    ) -> Option<Vec<ValueId>> {
        let given = inputs.iter().map(|&(input, merge)| {
            if !merge {
                return input;
            }
            let full = self.full(input);
            self.merged(full, 0)
        });
        let given: Vec<ValueId> = given.collect();
        let mut shapes = Vec::with_capacity(node.outputs.len());
        for &output in &node.outputs {
            let mut shape = self.with_axis(output);
            let axis = shape.remove(0);
            *shape.first_mut()? *= axis;
            shapes.push(shape);
        }
        let merged = self.shaped_like(node, node.op.clone(), given, shapes);
        let parted = merged.into_iter().zip(&node.outputs);
        Some(parted.map(|(value, &output)| self.parted(value, 0, output)).collect())
    }

    /// New dimensions come behind the axis.
    fn expanded(&mut self, node: &Node) -> Option<Vec<ValueId>> {
        let (&input, &output) = (node.inputs.first()?, node.outputs.first()?);
        let shape = self.with_axis(output);
        let lifted = self.lifted(input, shape.len());
        Some(vec![self.expand(lifted, &shape)])
    }

    fn expanded_operands(&mut self, node: &Node) -> Option<Vec<ValueId>> {
        let shape = self.with_axis(*node.outputs.first()?);
        let inputs = node.inputs.iter().map(|&input| {
            let lifted = self.lifted(input, shape.len());
            self.expand(lifted, &shape)
        });
        let inputs = inputs.collect();
        Some(self.like(node, node.op.clone(), inputs))
    }

    /// Over everything but the axis.
    fn reduced(&mut self, node: &Node, along: Op) -> Option<Vec<ValueId>> {
        let (&input, &output) = (node.inputs.first()?, node.outputs.first()?);
        let full = self.full(input);
        let size = self.shape(full).iter().skip(1).product();
        let rows = self.reshape(full, &[self.count(), size]);
        let sums = self.emit(along, vec![rows], &[self.count(), 1], output);
        let shape = self.with_axis(output);
        Some(vec![self.reshape(sums, &shape)])
    }

    /// Tuples of positions count the leading dimensions: the axis goes behind the others.
    fn axis_last(&mut self, node: &Node) -> Option<Vec<ValueId>> {
        let &positions = node.inputs.get(1).filter(|&&positions| !self.varies(positions))?;
        let &output = node.outputs.first()?;
        let mut given = Vec::with_capacity(node.inputs.len());
        for &input in &node.inputs {
            if input == positions {
                given.push(positions);
                continue;
            }
            let full = self.full(input);
            if self.kind(full) != Kind::Float {
                return None;
            }
            let rank = self.shape(full).len();
            let last = self.permute(full, (1..rank).chain([0]).collect());
            given.push(self.stored(last));
        }
        let mut shape = self.with_axis(output);
        shape.rotate_left(1);
        let made = self.emit(node.op.clone(), given, &shape, output);
        let rank = shape.len();
        Some(vec![self.permute(made, [rank - 1].into_iter().chain(0..rank - 1).collect())])
    }
}
