//! Where the samples of the outputs sit in the values of a program. Depends on graphs; independent of models and data.
//!
//! Samples sit in a value at a stride: in row-major order element f belongs to sample (f / stride) mod n. A reshape keeps
//! the stride, so that merging `[b, s, d]` to `[b·s, d]` and splitting it again loses nothing; other operations move it
//! from dimension to dimension as their [`Link`]s say.

mod links;
mod own;
#[cfg(test)]
mod tests;

pub(crate) use own::BatchAxes;

use links::{Link, link};

use crate::graph::{Class, Graph, Kind, Node, ValueId};

/// Where the samples sit in one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SampleAxis {
    /// Element f belongs to sample (f / stride) mod n.
    Samples {
        /// Elements between one sample and the next.
        stride: usize,
    },
    /// Every element serves all samples.
    Shared,
    /// An element reaches several samples.
    Mixed {
        /// Position of the operation through which it does.
        node: usize,
    },
}

/// The axes of all values of a program.
#[derive(Clone, Debug)]
pub(crate) struct SampleAxes {
    samples: usize,
    axes: Vec<Option<SampleAxis>>,
}

impl SampleAxes {
    /// Follows the samples back from a float value, whose element f belongs to sample (f / stride) mod n: a value that is
    /// `Samples` reaches, with each of its elements, one sample only. Values that do not reach it have no axis.
    pub fn backward(graph: &Graph, samples: usize, value: ValueId, stride: usize) -> Self {
        Self::followed(graph, samples, (value, stride), |kind| kind == Kind::Float)
    }

    /// As [`backward`](Self::backward), through integers and truth values too.
    fn of_all_kinds(graph: &Graph, samples: usize, value: ValueId, stride: usize) -> Self {
        Self::followed(graph, samples, (value, stride), |_| true)
    }

    fn followed(
        graph: &Graph,
        samples: usize,
        (value, stride): (ValueId, usize),
        follows: impl Fn(Kind) -> bool,
    ) -> Self {
        let mut found = Self::new(graph, samples);
        found.axes[value.index()] = Some(SampleAxis::Samples { stride });
        for (position, node) in graph.nodes().iter().enumerate().rev() {
            if node.op.class() == Class::Constant {
                continue;
            }
            for operand in 0..node.inputs.len() {
                let axis = found.read(graph, (position, node), operand);
                let input = node.inputs[operand];
                if let Some(axis) = axis.filter(|_| follows(graph.value(input).kind())) {
                    let joined = found.joined(found.axes[input.index()], axis, position);
                    found.axes[input.index()] = Some(joined);
                }
            }
        }
        found
    }

    fn new(graph: &Graph, samples: usize) -> Self {
        Self { samples, axes: vec![None; graph.values.len()] }
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The axis of a value; `None` if it was not reached.
    pub fn of(&self, value: ValueId) -> Option<SampleAxis> {
        self.axes.get(value.index()).copied().flatten()
    }

    /// The axis that an operation asks of an operand; `None` if no result of it reaches the outputs.
    fn read(
        &self,
        graph: &Graph,
        (position, node): (usize, &Node),
        operand: usize,
    ) -> Option<SampleAxis> {
        let mut joined = None;
        for &output in &node.outputs {
            let axis = match self.of(output) {
                None => continue,
                Some(SampleAxis::Samples { stride }) => {
                    let link = link(graph, node, operand, output);
                    let shapes =
                        [output, node.inputs[operand]].map(|value| &graph.value(value).shape[..]);
                    match self.moved(stride, &link, shapes) {
                        Some(stride) => SampleAxis::Samples { stride },
                        None if self.is_broadcast(stride, &link, shapes[0]) => SampleAxis::Shared,
                        None => SampleAxis::Mixed { node: position },
                    }
                }
                Some(other) => other,
            };
            joined = Some(self.joined(joined, axis, position));
        }
        joined
    }

    /// Whether an operand is broadcast along the samples of a result.
    fn is_broadcast(&self, stride: usize, link: &Link, shape: &[usize]) -> bool {
        self.dimensions(stride, shape).is_some_and(|dims| link.lacks(&dims))
    }

    fn joined(&self, old: Option<SampleAxis>, new: SampleAxis, node: usize) -> SampleAxis {
        match old {
            None => new,
            Some(old) if old == new => old,
            Some(mixed @ SampleAxis::Mixed { .. }) => mixed,
            Some(old) => match (old, new) {
                (SampleAxis::Samples { .. }, SampleAxis::Samples { .. }) if self.samples == 1 => {
                    old
                }
                (_, mixed @ SampleAxis::Mixed { .. }) => mixed,
                _ => SampleAxis::Mixed { node },
            },
        }
    }

    /// The stride in the shape of an operand; `None` if the samples do not move as one.
    fn moved(&self, stride: usize, link: &Link, [from, to]: [&[usize]; 2]) -> Option<usize> {
        if self.samples == 1 || *link == Link::Flat {
            return Some(stride);
        }
        let dims = self.dimensions(stride, from)?;
        let images: Vec<usize> = dims.iter().map(|&dim| link.source(dim)).collect::<Option<_>>()?;
        let beside = |pair: &[usize]| strides(to, pair[0]) == strides(to, pair[1]) * to[pair[1]];
        let (&inner, &image) = (dims.last()?, images.last()?);
        let adjacent = images.windows(2).all(beside);
        adjacent.then(|| stride / strides(from, inner) * strides(to, image))
    }

    /// The dimensions, from the outermost to the innermost, whose indices tell the sample of an element; `None` if these do
    /// not tell it alone.
    pub fn dimensions(&self, stride: usize, shape: &[usize]) -> Option<Vec<usize>> {
        let end = stride * self.samples;
        let total: usize = shape.iter().product();
        let divides = |small: usize, large: usize| small > 0 && large.is_multiple_of(small);
        let along = |one: usize, other: usize| divides(one, other) || divides(other, one);
        if !divides(end, total) {
            return None;
        }
        let mut dims = Vec::new();
        for (dim, &size) in shape.iter().enumerate() {
            let inner = strides(shape, dim);
            if !(along(inner, stride) && along(inner, end)) {
                return None;
            }
            if size > 1 && inner < end && inner * size > stride {
                dims.push(dim);
            }
        }
        Some(dims)
    }
}

/// Elements from one index of a dimension to the next.
fn strides(shape: &[usize], dim: usize) -> usize {
    shape.iter().skip(dim + 1).product()
}
