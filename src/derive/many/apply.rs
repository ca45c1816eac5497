//! Operations applied to several vectors by their rules.

use super::{
    rules::{Rule, around, rule},
    stack::{Stack, Stacked},
};
use crate::graph::{Kind, Node, Op, Reduction, ValueId};

impl Stack<'_> {
    /// The results of a node for all vectors at once; `None` if there is no rule for these operands.
    pub fn together(&mut self, node: &Node) -> Option<Vec<Stacked>> {
        let inputs = &node.inputs;
        match rule(&node.op) {
            Rule::Around => Some(self.around_axis(node, None)),
            Rule::Positions => {
                let &positions = inputs.get(1).filter(|&&positions| !self.varies(positions))?;
                Some(self.around_axis(node, Some(positions)))
            }
            Rule::Broadcast => {
                let &output = node.outputs.first()?;
                let rank = self.rank(output);
                let behind = self.common(inputs);
                let inputs: Vec<ValueId> =
                    inputs.iter().map(|&input| self.aligned(input, rank, behind)).collect();
                let axis = rank - behind;
                let shape = self.with_axis(output, axis);
                if let Some(merged) = self.merged_operands(&inputs, &shape) {
                    return Some(vec![self.on_merged(&node.op, merged, output, axis)]);
                }
                Some(self.like(node, node.op.clone(), inputs, axis))
            }
            Rule::Expanded => {
                let rank = self.rank(*node.outputs.first()?);
                let behind = self.common(inputs);
                let shape = self.with_axis(*node.outputs.first()?, rank - behind);
                let inputs = inputs.iter().map(|&input| {
                    let aligned = self.aligned(input, rank, behind);
                    self.expand(aligned, &shape)
                });
                let inputs = inputs.collect();
                Some(self.like(node, node.op.clone(), inputs, rank - behind))
            }
            Rule::Last => self.axis_last(node),
            Rule::Leading(operand) => {
                let others = inputs.iter().enumerate().filter(|&(place, _)| place != operand);
                if others.map(|(_, &input)| input).any(|input| self.varies(input)) {
                    return None;
                }
                let rank = self.rank(inputs[operand]);
                let axis = self.settled(inputs[operand]).axis.min(rank - 1);
                let mut given = inputs.clone();
                given[operand] = self.full(inputs[operand], axis);
                Some(self.like(node, node.op.clone(), given, axis))
            }
            Rule::Merged(operands) => self.merged_batch(node, operands),
            Rule::Own => match &node.op {
                Op::Reshape => Some(vec![self.reshaped_around(inputs[0], node.outputs[0])]),
                &Op::SwapDims(a, b) => {
                    let mut axes: Vec<usize> = (0..self.rank(inputs[0])).collect();
                    axes.swap(a, b);
                    Some(vec![self.turned(inputs[0], &axes)])
                }
                Op::Permute(axes) => Some(vec![self.turned(inputs[0], axes)]),
                Op::Expand => {
                    let (input, output) = (inputs[0], node.outputs[0]);
                    let (rank, behind) = (self.rank(output), self.common(inputs));
                    let lifted = self.aligned(input, rank, behind);
                    let axis = rank - behind;
                    let value = self.expand(lifted, &self.with_axis(output, axis));
                    Some(vec![Stacked { value, axis }])
                }
                Op::Reduce(of) => Some(vec![self.reduced(inputs[0], *of, node.outputs[0])]),
                Op::Matmul => self.product(node),
                _ => self.convolution(node),
            },
            Rule::Each => None,
        }
    }

    /// How many dimensions follow the axis of the largest operand; of equal ones, the first whose elements lie in
    /// order, with the axis before the last dimension.
    fn common(&mut self, inputs: &[ValueId]) -> usize {
        let mut best = (0, 0);
        for &input in inputs.iter().filter(|&&input| self.varies(input)).collect::<Vec<_>>() {
            let Stacked { value, axis } = self.settled(input);
            let (rank, stored) = (self.rank(input), self.is_stored(value));
            let elements: usize = self.shape(value).iter().product();
            let worth = 4 * elements + 2 * usize::from(stored) + usize::from(axis < rank);
            if worth > best.0 {
                best = (worth, rank - axis);
            }
        }
        best.1
    }

    /// An operation that leaves the axis alone, on operands of one rank that all have it.
    fn around_axis(&mut self, node: &Node, positions: Option<ValueId>) -> Vec<Stacked> {
        let inputs = &node.inputs;
        let values = inputs.iter().filter(|&&input| Some(input) != positions);
        let values: Vec<ValueId> = values.copied().collect();
        let rank = values.first().map_or(0, |&value| self.rank(value));
        let axis = match along(&node.op) {
            // Not every backend takes these along another dimension than the last.
            Some(dim) => (rank - self.common(&values)).min(dim),
            None => rank - self.common(&values),
        };
        let inputs = inputs
            .iter()
            .map(|&input| if Some(input) == positions { input } else { self.full(input, axis) });
        let inputs: Vec<ValueId> = inputs.collect();
        if let (true, &[output]) = (is_elementwise(&node.op), &node.outputs[..]) {
            let shape = self.with_axis(output, axis);
            if let Some(merged) = self.merged_operands(&inputs, &shape) {
                return vec![self.on_merged(&node.op, merged, output, axis)];
            }
        }
        self.like(node, around(&node.op, axis), inputs, axis)
    }

    /// An operation element by element on operands in another shape of as many elements.
    fn on_merged(
        &mut self,
        op: &Op,
        (inputs, shape): (Vec<ValueId>, Vec<usize>),
        output: ValueId,
        axis: usize,
    ) -> Stacked {
        let value = self.emit(op.clone(), inputs, &shape, output);
        Stacked { value: self.reshape(value, &self.with_axis(output, axis)), axis }
    }

    /// Another shape: the axis stays behind as many elements as before if the new shape has a place for it there, and goes to
    /// the front otherwise.
    fn reshaped_around(&mut self, input: ValueId, output: ValueId) -> Stacked {
        let Stacked { value, axis } = self.settled(input);
        let (from, to) = (self.shape(input), self.shape(output));
        let before: usize = from[..axis].iter().product();
        let places =
            (0..=to.len()).filter(|&place| to[..place].iter().product::<usize>() == before);
        let same_behind = |&place: &usize| (to.len() + axis).abs_diff(place + from.len());
        let (value, axis) = match places.min_by_key(same_behind) {
            Some(place) if !from.contains(&0) => (value, place),
            _ => (self.moved(Stacked { value, axis }, 0), 0),
        };
        Stacked { value: self.reshape(value, &self.with_axis(output, axis)), axis }
    }

    /// Dimensions in another order; the axis stays.
    fn turned(&mut self, input: ValueId, axes: &[usize]) -> Stacked {
        let Stacked { value, axis } = self.settled(input);
        let mut axes: Vec<usize> =
            axes.iter().map(|&dim| if dim < axis { dim } else { dim + 1 }).collect();
        axes.insert(axis, axis);
        Stacked { value: self.permute(value, &axes), axis }
    }

    /// Over everything but the axis.
    fn reduced(&mut self, input: ValueId, of: Reduction, output: ValueId) -> Stacked {
        let full = self.settled(input);
        let size = self.shape(input).iter().product();
        let front = self.moved(full, 0);
        let rows = self.reshape(front, &[self.count(), size]);
        let sums = self.emit(Op::ReduceDim(of, 1), vec![rows], &[self.count(), 1], output);
        Stacked { value: self.reshape(sums, &self.with_axis(output, 0)), axis: 0 }
    }

    /// The axis merged into the first dimension, the batch, of the first operands and of the results.
    fn merged_batch(&mut self, node: &Node, operands: usize) -> Option<Vec<Stacked>> {
        let (merged, others) = node.inputs.split_at(operands.min(node.inputs.len()));
        if others.iter().any(|&other| self.varies(other)) {
            return None;
        }
        let first = merged.iter().copied().find(|&input| self.varies(input))?;
        let after = self.is_after(first, 0);
        let given = merged.iter().map(|&input| self.merged(input, 0, after));
        let given = given.collect::<Vec<_>>().into_iter().chain(others.iter().copied()).collect();
        let shapes = node.outputs.iter().map(|&output| {
            let mut shape = self.shape(output);
            *shape.first_mut()? *= self.count();
            Some(shape)
        });
        let shapes = shapes.collect::<Option<_>>()?;
        let results = self.shaped_like(node, node.op.clone(), given, shapes);
        let parted = results.into_iter().zip(&node.outputs);
        Some(parted.map(|(value, &output)| self.parted(value, 0, after, output)).collect())
    }

    /// Tuples of positions count the leading dimensions: the axis goes behind the others.
    fn axis_last(&mut self, node: &Node) -> Option<Vec<Stacked>> {
        let &positions = node.inputs.get(1).filter(|&&positions| !self.varies(positions))?;
        let &output = node.outputs.first()?;
        let mut given = Vec::with_capacity(node.inputs.len());
        for &input in &node.inputs {
            if input == positions {
                given.push(positions);
                continue;
            }
            if self.kind(input) != Kind::Float {
                return None;
            }
            let full = self.full(input, self.rank(input));
            given.push(self.stored(full));
        }
        let axis = self.rank(output);
        Some(self.like(node, node.op.clone(), given, axis))
    }
}

/// Whether an operation computes each element of its result from one element of its operand.
fn is_elementwise(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(_)
            | Op::BinaryScalar(..)
            | Op::CompareScalar(..)
            | Op::Clamp { .. }
            | Op::HardSigmoid { .. }
    )
}

/// The dimension that an operation other than a sum works along.
fn along(op: &Op) -> Option<usize> {
    match op {
        &Op::Softmax(_, dim) | &Op::Cumulative(_, dim) | &Op::Cross(dim) => Some(dim),
        &Op::ExtremumWithIndices { dim, .. } | &Op::TopK { dim, .. } => Some(dim),
        &Op::Sort { dim, .. } => Some(dim),
        _ => None,
    }
}
