//! A program of a product with one vector, rewritten for several vectors at once. Depends on graphs; independent of what
//! the product is.
//!
//! Every value that depends on a vector gets a leading axis, one entry per vector:
//!
//! ```text
//! f(v)  →  f(v₁), …, f(vₖ) as one value of shape [k, …]
//! ```
//!
//! Values that do not depend on a vector stay as they are and are broadcast, so that k products read them once. The rules
//! are those of [`rules`]; an operation without a rule is run for one vector after another, and the listing of the
//! program names it ([`Graph::one_by_one`]).

mod convolutions;
mod memory;
mod products;
mod rules;
mod stack;
#[cfg(test)]
mod tests;

pub(crate) use memory::Working;

use crate::graph::Graph;
use stack::Stack;

/// The program for `count` vectors: its last `varying` inputs and all outputs get a leading axis of that size.
pub(crate) fn many(program: &Graph, varying: usize, count: usize) -> Graph {
    let mut stack = Stack::new(program, count);
    let fixed = program.inputs.len().saturating_sub(varying);
    let (fixed, vectors) = program.inputs.split_at(fixed);
    let vectors = vectors.iter().map(|&input| stack.input(input));
    let inputs = fixed.iter().copied().chain(vectors.collect::<Vec<_>>()).collect();
    for node in program.nodes() {
        stack.visit(node);
    }
    let outputs = program.outputs.iter().map(|&output| stack.full(output)).collect();
    stack.finish(inputs, outputs)
}
