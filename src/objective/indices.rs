//! Whether the indices in a batch, such as labels, are within the tensors that they pick from. Without a check a CPU would
//! fail in the middle of a program, and a GPU picks something else without a word.

use std::collections::HashSet;

use burn_backend::{AutodiffBackend, Slice, TensorMetadata, ops::IntTensorOps, tensor::Device};

use super::{BatchError, index_bounds::are_within};
use crate::{
    derive::Kernels,
    error::Error,
    execute::{Program, in_precision},
    graph::{Comparison, Graph, Node, Op, ValueId, ValueType},
    space::{Inner, is_processor},
    tensor::{Operand, Precision},
};

/// Programs of indices: of all that do not depend on the values of the model, or of those that do.
pub(super) struct IndexCheck<B: AutodiffBackend> {
    /// Indices of a later round are computed from what those of an earlier one have picked.
    rounds: Vec<Round<B>>,
}

struct Round<B: AutodiffBackend> {
    program: Program<B::InnerBackend>,
    picks: Vec<Pick>,
}

/// An operation that picks by indices.
#[derive(Clone)]
struct Pick {
    indices: ValueId,
    operation: String,
    /// From how many entries.
    limit: usize,
}

impl<B: AutodiffBackend> IndexCheck<B> {
    /// Of the indices that depend on the batch alone; `None` where nothing is picked. The first inputs of the program are
    /// parameters, and the last ones buffers.
    pub fn new(
        graph: &Graph,
        of_model: (usize, usize),
        precision: Precision,
        device: &Device<B>,
        kernels: Kernels<B::InnerBackend>,
    ) -> Result<Option<Self>, Error> {
        let (mut graph, dependent) = (graph.clone(), dependents(graph, of_model));
        let rounds = rounds(&mut graph, &|_, indices, _| !dependent.contains(&indices));
        Self::of(&graph, rounds, precision, device, kernels)
    }

    /// Of the indices that depend on the values of the model, if the program does not show that they are within bounds. `None`
    /// on a processor, whose own operations check them.
    pub fn at_model(
        graph: &Graph,
        of_model: (usize, usize),
        precision: Precision,
        device: &Device<B>,
        kernels: Kernels<B::InnerBackend>,
    ) -> Result<Option<Self>, Error> {
        if is_processor::<Inner<B>>(device) {
            return Ok(None);
        }
        let (mut graph, dependent) = (graph.clone(), dependents(graph, of_model));
        let rounds = rounds(&mut graph, &|graph, indices, limits| {
            let shown = || limits.iter().all(|&limit| are_within(graph, indices, limit));
            dependent.contains(&indices) && !shown()
        });
        Self::of(&graph, rounds, precision, device, kernels)
    }

    /// Of the labels that `one_hot` has compared with its number of classes, if that is the last output of a program.
    pub fn of_one_hot(
        graph: &Graph,
        precision: Precision,
        device: &Device<B>,
        kernels: Kernels<B::InnerBackend>,
    ) -> Result<Option<Self>, Error> {
        let rounds = compared(graph).map(|pick| vec![pick]).into_iter().collect();
        Self::of(graph, rounds, precision, device, kernels)
    }

    fn of(
        graph: &Graph,
        rounds: Vec<Vec<Pick>>,
        precision: Precision,
        device: &Device<B>,
        kernels: Kernels<B::InnerBackend>,
    ) -> Result<Option<Self>, Error> {
        let made = rounds.into_iter().map(|picks| {
            let indices = picks.iter().map(|pick| pick.indices).collect();
            let program = in_precision(graph.returning(indices), precision.dtype())?;
            Ok(Round { program: Program::new(program, device, kernels.apply)?, picks })
        });
        let rounds = made.collect::<Result<Vec<_>, Error>>()?;
        Ok((!rounds.is_empty()).then_some(Self { rounds }))
    }

    /// Refuses inputs with an index that is out of range. Two reductions for each tensor of indices, and one read for all.
    pub fn expect(&self, inputs: impl Fn() -> Vec<Operand<Inner<B>>>) -> Result<(), Error> {
        self.rounds.iter().try_for_each(|round| round.expect(inputs()))
    }
}

impl<B: AutodiffBackend> Round<B> {
    fn expect(&self, inputs: Vec<Operand<Inner<B>>>) -> Result<(), Error> {
        let found = self.program.run(inputs)?.into_iter().map(Operand::into_int);
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let mut ends = Vec::with_capacity(2 * found.len());
        for indices in &found {
            let one = |tensor| Inner::<B>::int_reshape(tensor, [1].into());
            ends.push(one(Inner::<B>::int_min(indices.clone())));
            ends.push(one(Inner::<B>::int_max(indices.clone())));
        }
        let ends = Operand::<Inner<B>>::Int(Inner::<B>::int_cat(ends, 0)).into_data()?;
        let ends: Vec<i64> = ends.iter::<i64>().collect();
        for ((range, pick), indices) in ends.chunks(2).zip(&self.picks).zip(found) {
            if range.iter().any(|&index| pick.excludes(index)) {
                let shape = indices.shape().to_vec();
                let data = Operand::<Inner<B>>::Int(indices).into_data()?;
                pick.expect(&shape, data.iter::<i64>())?;
            }
        }
        Ok(())
    }
}

impl Pick {
    fn excludes(&self, index: i64) -> bool {
        usize::try_from(index).map_or(true, |index| index >= self.limit)
    }

    /// Refuses the first index that is out of range.
    fn expect(
        &self,
        shape: &[usize],
        mut indices: impl Iterator<Item = i64>,
    ) -> Result<(), BatchError> {
        let mut found = None;
        let place = indices.position(|index| {
            found = Some(index);
            self.excludes(index)
        });
        let (Some(place), Some(found)) = (place, found) else { return Ok(()) };
        let (operation, limit) = (self.operation.clone(), self.limit);
        let position = coordinates(place, shape);
        Err(BatchError::Index { operation, found, limit, position, batch: None })
    }
}

/// The coordinates of an element in a tensor: the first, and others along dimensions with more than one entry.
fn coordinates(element: usize, shape: &[usize]) -> Vec<usize> {
    let mut coordinates = Vec::with_capacity(shape.len());
    let mut rest = element;
    for (dim, &size) in shape.iter().enumerate().rev() {
        if size > 1 || dim == 0 {
            coordinates.push(rest % size.max(1));
        }
        rest /= size.max(1);
    }
    coordinates.reverse();
    coordinates
}

/// The values that depend on parameters, which are the first inputs, or on buffers, the last ones.
fn dependents(graph: &Graph, (parameters, buffers): (usize, usize)) -> HashSet<ValueId> {
    let inputs = graph.inputs.iter().copied();
    let last = inputs.clone().rev().take(buffers);
    graph.dependents(&inputs.take(parameters).chain(last).collect::<Vec<_>>())
}

/// Whether indices are checked, by what they are in a program, and the numbers of entries that they pick from.
type Chosen<'a> = &'a dyn Fn(&Graph, ValueId, &[usize]) -> bool;

/// What a program picks by some of its indices, in rounds that are not empty. Columns of indices of several dimensions become
/// values of their own.
fn rounds(graph: &mut Graph, chosen: Chosen<'_>) -> Vec<Vec<Pick>> {
    let mut rounds: Vec<Vec<Pick>> = Vec::new();
    let mut seen = HashSet::new();
    let mut depth = vec![0; graph.values.len()];
    let at = |value: ValueId, depth: &[usize]| depth.get(value.index()).copied().unwrap_or(0);
    for node in graph.nodes.clone() {
        let mut deepest = node.inputs.iter().map(|&input| at(input, &depth)).max().unwrap_or(0);
        for (indices, limit) in picked(graph, &node, chosen) {
            let source = node.inputs.get(1).copied().unwrap_or(indices);
            let round = at(source, &depth);
            deepest = deepest.max(round + 1);
            if seen.insert((indices, limit)) {
                rounds.resize_with(rounds.len().max(round + 1), Vec::new);
                rounds[round].push(Pick { indices, operation: node.op.name(), limit });
            }
        }
        for output in &node.outputs {
            depth[output.index()] = deepest;
        }
    }
    rounds.retain(|picks| !picks.is_empty());
    rounds
}

/// The indices by which an operation picks along each of its dimensions, and the sizes of these.
fn picked(graph: &mut Graph, node: &Node, chosen: Chosen<'_>) -> Vec<(ValueId, usize)> {
    let &[from, indices, ..] = node.inputs.as_slice() else { return Vec::new() };
    let of_indices = graph.value(indices).clone();
    let sizes = graph.value(from).shape.to_vec();
    let (first, count) = match node.op {
        Op::Gather(dim) | Op::Scatter(dim, _) | Op::Select(dim) | Op::SelectAssign(dim, _) => {
            (dim, 1)
        }
        Op::Embedding => (0, 1),
        Op::GatherNd | Op::ScatterNd(_) => {
            (0, of_indices.shape.iter().last().copied().unwrap_or(0))
        }
        _ => return Vec::new(),
    };
    let limits: Vec<usize> = sizes.into_iter().skip(first).take(count).collect();
    if of_indices.shape.num_elements() == 0 || !chosen(graph, indices, &limits) {
        return Vec::new();
    }
    if !matches!(node.op, Op::GatherNd | Op::ScatterNd(_)) {
        return limits.into_iter().map(|limit| (indices, limit)).collect();
    }
    let columns = limits.into_iter().enumerate();
    columns.map(|(at, limit)| (column(graph, indices, &of_indices, at), limit)).collect()
}

/// What is compared with a number that it must be below: the labels of `one_hot`, and its classes.
fn compared(graph: &Graph) -> Option<Pick> {
    let mut value = *graph.outputs.last()?;
    loop {
        let node = graph.nodes.iter().find(|node| node.outputs.contains(&value))?;
        let &[input] = node.inputs.as_slice() else { return None };
        if let Op::CompareScalar(Comparison::GreaterEqual, classes) = node.op {
            let limit = classes.as_f64() as usize;
            return Some(Pick { indices: input, operation: "OneHot".into(), limit });
        }
        value = input;
    }
}

/// One column, along the last dimension, of indices of several dimensions.
fn column(graph: &mut Graph, indices: ValueId, of: &ValueType, at: usize) -> ValueId {
    let mut shape = of.shape.to_vec();
    let mut slices = vec![Slice::full(); shape.len()];
    if let (Some(size), Some(slice)) = (shape.last_mut(), slices.last_mut()) {
        *size = 1;
        *slice = Slice::from(at..at + 1);
    }
    graph.append(Op::Slice(slices), vec![indices], ValueType { shape: shape.into(), ..of.clone() })
}

#[cfg(test)]
mod tests {
    use super::coordinates;

    #[test]
    fn coordinates_leave_out_dimensions_of_one_entry() {
        assert_eq!(coordinates(3, &[5]), [3]);
        assert_eq!(coordinates(3, &[5, 1]), [3]);
        assert_eq!(coordinates(7, &[1, 9]), [0, 7]);
        assert_eq!(coordinates(23, &[2, 3, 1, 4]), [1, 2, 3]);
        assert_eq!(coordinates(0, &[]), [0; 0]);
    }
}
