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
    let mut transposed: HashMap<ValueId, ValueId> = HashMap::new();
    for (position, node) in graph.nodes.iter().enumerate() {
        let alone =
            |value: &ValueId| readers[value.index()].len() == 1 && !returned.contains(value);
        // Where the product with this result that nothing else reads is run.
        let own = |value: &ValueId| {
            let at = *writer.get(value).filter(|_| alone(value))?;
            found.at.contains_key(&at).then_some(at)
        };
        if let Some(of) = transpose(graph, node) {
            transposed.insert(node.outputs[0], of);
        }
        if let Some(mut product) = Product::of(graph, node) {
            let (first, second) = (product.first, product.second);
            product.symmetric =
                transposed.get(&first) == Some(&second) || transposed.get(&second) == Some(&first);
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

/// For a sum of two products: where one of them is run that is not added to something itself, the later one if it can be
/// chosen, and the other.
fn added(
    graph: &Graph,
    node: &Node,
    own: impl Fn(&ValueId) -> Option<usize>,
) -> Option<(usize, Option<ValueId>)> {
    let (Op::Binary(Binary::Add), &[x, y]) = (&node.op, &node.inputs[..]) else { return None };
    let shape = &graph.value(*node.outputs.first()?).shape;
    let same = [x, y].iter().all(|&value| graph.value(value).shape == *shape);
    if !same || x == y {
        return None;
    }
    let mut choices = [(own(&x)?, y), (own(&y)?, x)];
    choices.sort_unstable_by_key(|&(at, _)| std::cmp::Reverse(at));
    let plain = |&(at, _): &(usize, ValueId)| Product::of(graph, &graph.nodes[at]).is_some();
    choices.into_iter().find(plain).map(|(at, onto)| (at, Some(onto)))
}

/// What is transposed in its last two dimensions.
fn transpose(graph: &Graph, node: &Node) -> Option<ValueId> {
    let (&Op::SwapDims(a, b), &[x]) = (&node.op, &node.inputs[..]) else { return None };
    let rank = graph.value(x).shape.len();
    (a.min(b) + 2 == rank && a.max(b) + 1 == rank).then_some(x)
}

/// What a sum along the first dimension sums, if all but this and the last two have one element.
fn summed(graph: &Graph, node: &Node) -> Option<ValueId> {
    let (Op::ReduceDim(Reduction::Sum, 0), &[x]) = (&node.op, &node.inputs[..]) else {
        return None;
    };
    let (of, result) = (&graph.value(x).shape[..], &graph.value(*node.outputs.first()?).shape[..]);
    let (&[_, ref others @ .., _, _], &[1, ref own @ ..]) = (of, result) else { return None };
    (own == &of[1..] && others.iter().all(|&size| size == 1)).then_some(x)
}
