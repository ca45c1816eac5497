//! Convolutions for several vectors: the axis is merged into the batch, or into the channels.
//!
//! A convolution and its two gradients are linear in each of three tensors: the image x `[batch, in, …]`, the kernel W
//! `[out, in, …]` and the result y `[batch, out, …]`. Each pair of them shares one of these dimensions, into which the
//! axis of the one that varies goes, to come out of the result:
//!
//! ```text
//! y = x ∗ W:   x varies: batch → batch       W varies: out → out
//! ```
//!
//! With several groups the channels cannot be regrouped; such kernels are run one vector after another.

use super::stack::{Stack, Stacked};
use crate::graph::{Convolution, ConvolutionTranspose, Node, Op, ValueId, WithRespectTo};

/// Where the axis goes in.
struct Way {
    /// The operand that varies, and the dimension that the axis is merged into.
    operand: (usize, usize),
    /// An operand of which only the shape matters, and the dimension there.
    shape_of: Option<(usize, usize)>,
    /// The dimension of the result.
    result: usize,
}

impl Way {
    fn new(operand: (usize, usize), shape_of: Option<(usize, usize)>, result: usize) -> Self {
        Self { operand, shape_of, result }
    }
}

/// The way for a convolution of which one operand varies.
fn way(op: &Op, varying: usize) -> Option<Way> {
    use WithRespectTo::{Bias, Input, Weight};
    Some(match (op, varying) {
        (Op::Conv { .. } | Op::ConvTranspose { .. }, 0) => Way::new((0, 0), None, 0),
        (Op::Conv { .. }, 1) => Way::new((1, 0), None, 1),
        (Op::ConvTranspose { .. }, 1) => Way::new((1, 1), None, 1),
        (Op::ConvBackward(_, Input), 2) => Way::new((2, 0), Some((0, 0)), 0),
        (Op::ConvBackward(_, Input), 1) => Way::new((1, 1), Some((0, 1)), 1),
        (Op::ConvBackward(_, Weight), 0) => Way::new((0, 1), Some((1, 1)), 1),
        (Op::ConvBackward(_, Weight), 2) => Way::new((2, 1), Some((1, 0)), 0),
        (Op::ConvTransposeBackward(_, Input), 1) => Way::new((1, 0), None, 0),
        (Op::ConvTransposeBackward(_, Input), 0) => Way::new((0, 0), None, 1),
        (Op::ConvTransposeBackward(_, Weight), 0) => Way::new((0, 1), Some((1, 0)), 0),
        (Op::ConvTransposeBackward(_, Weight), 2) => Way::new((2, 1), Some((1, 1)), 1),
        (Op::ConvBackward(_, Bias) | Op::ConvTransposeBackward(_, Bias), _) => return None,
        _ => return None,
    })
}

impl Stack<'_> {
    pub fn convolution(&mut self, node: &Node) -> Option<Vec<Stacked>> {
        let inputs = &node.inputs;
        let mut varying = (0..inputs.len()).filter(|&place| self.varies(inputs[place]));
        let (first, None) = (varying.next()?, varying.next()) else {
            return None;
        };
        if sums_cotangents(&node.op) {
            return self.channel_sums(node, first);
        }
        let way = way(&node.op, first)?;
        let Way { operand: (operand, at), shape_of, result } = way;
        let batch_alone = at == 0 && result == 0 && touches_batch(&node.op, operand);
        if !batch_alone && groups(&node.op) != 1 {
            return None;
        }
        let after = self.is_after(inputs[operand], at);
        let mut given = inputs.clone();
        given[operand] = self.merged(inputs[operand], at, after);
        if let Some((place, at)) = shape_of {
            given[place] = self.placeholder(inputs[place], at);
        }
        if let (Some(&bias), false) = (inputs.get(2).filter(|_| has_bias(&node.op)), batch_alone) {
            given[2] = self.merged(bias, 0, after);
        }
        let &output = node.outputs.first()?;
        let mut shape = self.shape(output);
        shape[result] *= self.count();
        let made = self.emit(node.op.clone(), given, &shape, output);
        Some(vec![self.parted(made, result, after, output)])
    }

    /// A value of which only the shape is read, with one of its dimensions k times as large: a zero, broadcast.
    fn placeholder(&mut self, like: ValueId, at: usize) -> ValueId {
        let mut shape = self.shape(like);
        shape[at] *= self.count();
        let zero = self.emit(Op::Zeros, vec![], &vec![1; shape.len()], like);
        self.expand(zero, &shape)
    }

    /// The gradient with respect to a bias: the sum of the cotangent over everything but the channels.
    fn channel_sums(&mut self, node: &Node, varying: usize) -> Option<Vec<Stacked>> {
        let (&cotangent, &output) = (node.inputs.get(2)?, node.outputs.first()?);
        if varying != 2 {
            return None;
        }
        let full = self.settled(cotangent);
        let axis = full.axis.min(1);
        let stacked = self.moved(full, axis);
        let dims = (0..self.rank(stacked)).filter(|&dim| dim != axis && dim != 2);
        let dims: Vec<usize> = dims.collect();
        let mut shape = self.shape(stacked);
        dims.iter().for_each(|&dim| shape[dim] = 1);
        let sums = self.emit(Op::SumDims(dims), vec![stacked], &shape, output);
        let shape = self.with_axis(output, 0);
        Some(vec![Stacked { value: self.reshape(sums, &shape), axis: 0 }])
    }
}

fn sums_cotangents(op: &Op) -> bool {
    use WithRespectTo::Bias;
    matches!(op, Op::ConvBackward(_, Bias) | Op::ConvTransposeBackward(_, Bias))
}

/// Whether the first dimension of an operand counts images.
fn touches_batch(op: &Op, operand: usize) -> bool {
    match op {
        Op::Conv { .. } | Op::ConvTranspose { .. } => operand == 0,
        Op::ConvTransposeBackward(_, WithRespectTo::Input) => operand == 1,
        _ => operand != 1,
    }
}

fn has_bias(op: &Op) -> bool {
    matches!(op, Op::Conv { bias: true, .. } | Op::ConvTranspose { bias: true, .. })
}

fn groups(op: &Op) -> usize {
    match op {
        Op::Conv { conv, .. } | Op::ConvBackward(conv, _) => match conv {
            Convolution::D1(options) => options.groups,
            Convolution::D2(options) => options.groups,
            Convolution::D3(options) => options.groups,
        },
        Op::ConvTranspose { conv, .. } | Op::ConvTransposeBackward(conv, _) => match conv {
            ConvolutionTranspose::D1(options) => options.groups,
            ConvolutionTranspose::D2(options) => options.groups,
            ConvolutionTranspose::D3(options) => options.groups,
        },
        _ => 1,
    }
}
