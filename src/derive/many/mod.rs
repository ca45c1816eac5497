//! A program of a product with one vector, rewritten for several vectors at once. Depends on graphs; independent of what
//! the product is.
//!
//! Every value that depends on a vector gets one more dimension, the axis, with one entry per vector:
//!
//! ```text
//! f(v)  →  f(v₁), …, f(vₖ) as one value of shape […, k, …]
//! ```
//!
//! Values that do not depend on a vector stay as they are and are broadcast, so that k products read them once. The axis
//! of each value is where the operation that writes it leaves it, so that a matrix product for k vectors is one
//! product with k times the rows or columns, and little is copied to move it:
//!
//! ```text
//! X [m, n] · V [n, k, p]  =  X · (V as [n, k·p])  →  [m, k, p]
//! Y [m, k, n] · W [n, p]  =  (Y as [m·k, n]) · W  →  [m, k, p]
//! ```
//!
//! [`rules`] says how each operation is applied; one without a rule is run for one vector after another, and the listing of
//! the program names it ([`Graph::one_by_one`]).

mod apply;
mod convolutions;
mod memory;
mod products;
mod rules;
mod stack;
#[cfg(test)]
mod tests;
mod views;

pub(crate) use memory::Working;

use super::fold::fold;
use crate::graph::{Graph, Node, Op};
use stack::Stack;

/// A program for several vectors.
#[derive(Clone, Debug)]
pub(crate) struct Many {
    pub graph: Graph,
    /// Where the axis is in each of the vectors' parts, which are the last inputs.
    pub inputs: Vec<usize>,
    /// Where it is in each output.
    pub outputs: Vec<usize>,
}

/// The program for `count` vectors, whose last `varying` inputs are the parts of a vector.
pub(crate) fn many(program: &Graph, varying: usize, count: usize) -> Many {
    let fixed = program.inputs.len().saturating_sub(varying);
    let rank = |input: &_| program.value(*input).shape.num_dims();
    let axes = program.inputs.iter().skip(fixed).map(|input| usual_axis(rank(input)));
    with_axes(program, &axes.collect::<Vec<_>>(), count, None)
}

/// The same with the axis first in the parts of the vectors and in the outputs.
pub(crate) fn many_in_front(program: &Graph, varying: usize, count: usize) -> Graph {
    with_axes(program, &vec![0; varying], count, Some(0)).graph
}

/// The same with the axis of each part of the vectors, and maybe that of the outputs, at a place of the caller's choice.
fn with_axes(program: &Graph, axes: &[usize], count: usize, outputs: Option<usize>) -> Many {
    let mut stack = Stack::new(program, count);
    let fixed = program.inputs.len().saturating_sub(axes.len());
    let (fixed, vectors) = program.inputs.split_at(fixed);
    let vectors: Vec<_> =
        vectors.iter().zip(axes).map(|(&input, &axis)| stack.input(input, axis)).collect();
    for node in program.nodes() {
        stack.visit(node);
    }
    stack.finish(fixed.iter().copied().chain(vectors).collect(), axes.to_vec(), outputs)
}

/// In front of the last dimension of matrices and of what consists of rows, as products take it; first otherwise.
fn usual_axis(rank: usize) -> usize {
    if rank == 2 || rank == 3 { rank - 1 } else { 0 }
}

/// A program of a product whose last `varying` inputs are the parts of a vector, for vectors that are zero but in one of these
/// parts: it is the last input then. What is zero for all of them is not computed.
pub(crate) fn with_only(program: &Graph, varying: usize, part: usize) -> Graph {
    let mut graph = program.clone();
    let fixed = graph.inputs.len().saturating_sub(varying);
    let parts = graph.inputs.split_off(fixed);
    let mut zeros = Vec::with_capacity(parts.len());
    for (place, input) in parts.into_iter().enumerate() {
        if place == part {
            graph.inputs.push(input);
        } else {
            zeros.push(Node { op: Op::Zeros, inputs: Vec::new(), outputs: vec![input] });
        }
    }
    graph.nodes.splice(0..0, zeros);
    fold(graph).without_common_subexpressions().without_dead_code()
}
