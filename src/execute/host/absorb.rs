//! Matrix products that are written where they are added, and those of a batch that are added up as they are computed.

use std::collections::{HashMap, HashSet};

use super::product::Product;
use crate::graph::{Binary, Graph, Node, Op, Reduction, ValueId};

/// The products of a graph, by the operation at which each is run.
pub(super) struct Products {
    pub at: HashMap<usize, Product>,
    /// Matrix products that are run at a later operation.
    pub later: HashMap<usize, usize>,
}

/// Finds them. `readers` are the operations that read each value.
pub(super) fn products(
    graph: &Graph,
    readers: &[Vec<usize>],
    returned: &HashSet<ValueId>,
) -> Products {
    let mut found = Products { at: HashMap::new(), later: HashMap::new() };
    let mut writer: HashMap<ValueId, usize> = HashMap::new();
    for (position, node) in graph.nodes.iter().enumerate() {
        let alone =
            |value: &ValueId| readers[value.index()].len() == 1 && !returned.contains(value);
        // Where the product with this result that nothing else reads is run.
        let own = |value: &ValueId| {
            let at = *writer.get(value).filter(|_| alone(value))?;
            found.at.contains_key(&at).then_some(at)
        };
        if let Some(product) = Product::of(graph, node) {
            writer.insert(product.result, position);
            found.at.insert(position, product);
        } else if let Some((earlier, onto)) = added(graph, node, own).or_else(|| {
            let at = own(&summed(graph, node)?)?;
            Product::of(graph, &graph.nodes[at]).map(|_| (at, None))
        }) && let Some(mut product) = found.at.remove(&earlier)
        {
            let result = node.outputs[0];
            product.onto = onto;
            product.summed |= onto.is_none();
            product.result = result;
            product.shape = graph.value(result).shape.clone();
            writer.insert(result, position);
            found.later.insert(earlier, position);
            found.at.insert(position, product);
        }
    }
    found
}

/// For a sum of two products: where the later of them is run, and the earlier.
fn added(
    graph: &Graph,
    node: &Node,
    own: impl Fn(&ValueId) -> Option<usize>,
) -> Option<(usize, Option<ValueId>)> {
    let (Op::Binary(Binary::Add), &[x, y]) = (&node.op, &node.inputs[..]) else { return None };
    let shape = &graph.value(*node.outputs.first()?).shape;
    let same = [x, y].iter().all(|&value| graph.value(value).shape == *shape);
    let (at_x, at_y) = (own(&x)?, own(&y)?);
    let (later, onto) = if at_x > at_y { (at_x, y) } else { (at_y, x) };
    // A product that is itself added to something is not run again.
    let plain = Product::of(graph, &graph.nodes[later]).is_some();
    (same && x != y && plain).then_some((later, Some(onto)))
}

/// What a sum along the first of three dimensions sums.
fn summed(graph: &Graph, node: &Node) -> Option<ValueId> {
    let (Op::ReduceDim(Reduction::Sum, 0), &[x]) = (&node.op, &node.inputs[..]) else {
        return None;
    };
    let (of, result) = (&graph.value(x).shape[..], &graph.value(*node.outputs.first()?).shape[..]);
    let plain = matches!((of, result), (&[_, m, n], &[1, k, l]) if (m, n) == (k, l));
    plain.then_some(x)
}
