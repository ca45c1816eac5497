//! Splits a program by what depends on some inputs, so that the rest runs once.

use std::collections::{HashMap, HashSet};

use super::{Graph, Node, Op, ValueId};

/// A program in two parts: one that does not depend on some inputs, one that does.
///
/// The outputs of `prepare` are, in order, the leading inputs of `finish`; the inputs the split was made by follow
/// them there.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    /// Takes the inputs that stay, returns what `finish` needs of them.
    pub prepare: Graph,
    /// Takes `prepare`'s outputs and then the inputs that vary, returns the program's outputs.
    pub finish: Graph,
}

impl Graph {
    /// Splits by dependence on the inputs at the given positions.
    ///
    /// `prepare` takes the other inputs in their order; see [`Split`]. Values that do not depend on the varying inputs
    /// are passed to `finish`, except those of operations for which `again` is true: it recomputes them just before
    /// their first use.
    pub(crate) fn split(&self, varying: &[usize], again: impl Fn(&Node) -> bool) -> Split {
        let is_varying = |index: &usize| varying.contains(index);
        let varying_inputs: Vec<ValueId> =
            varying.iter().map(|&index| self.inputs[index]).collect();
        let fixed_inputs: Vec<ValueId> = (0..self.inputs.len())
            .filter(|index| !is_varying(index))
            .map(|index| self.inputs[index])
            .collect();
        let dependents = self.dependents(&varying_inputs);
        let (late, early): (Vec<Node>, Vec<Node>) = self
            .nodes
            .iter()
            .cloned()
            .partition(|node| node.outputs.iter().any(|value| dependents.contains(value)));
        let constants = self.constants.iter().map(|constant| constant.value);
        let mut finish = Finish {
            known: dependents.into_iter().chain(constants).collect(),
            again: computed_again(&early, again),
            boundary: Vec::new(),
            nodes: Vec::with_capacity(late.len()),
        };
        for node in late {
            node.inputs.iter().for_each(|&value| finish.require(value));
            finish.nodes.push(node);
        }
        self.outputs.iter().for_each(|&value| finish.require(value));
        let Finish { boundary, nodes, .. } = finish;
        let part = |nodes, inputs, outputs| Graph {
            values: self.values.clone(),
            constants: self.constants.clone(),
            nodes,
            inputs,
            outputs,
            one_by_one: Vec::new(),
        };
        let finish_inputs = boundary.iter().copied().chain(varying_inputs).collect();
        Split {
            prepare: part(early, fixed_inputs, boundary).without_dead_code(),
            finish: part(nodes, finish_inputs, self.outputs.clone()).without_dead_code(),
        }
    }
}

/// The part that varies, under construction.
struct Finish<'a> {
    /// Values that need not be passed on.
    known: HashSet<ValueId>,
    /// Operations to run again, by the values they write.
    again: HashMap<ValueId, &'a Node>,
    /// Values passed from `prepare` to `finish`.
    boundary: Vec<ValueId>,
    nodes: Vec<Node>,
}

impl Finish<'_> {
    /// Makes a value known, by computing it again or by receiving it.
    fn require(&mut self, value: ValueId) {
        let mut wanted = vec![value];
        while let Some(&value) = wanted.last() {
            let again = self.again.get(&value).copied();
            let unknown = |input: &ValueId| !self.known.contains(input);
            if let Some(node) = again.filter(|_| unknown(&value))
                && node.inputs.iter().any(unknown)
            {
                wanted.extend(node.inputs.iter().rev().copied().filter(unknown));
                continue;
            }
            wanted.pop();
            match again {
                _ if !self.known.insert(value) => {}
                Some(node) => {
                    self.known.extend(&node.outputs);
                    self.nodes.push(node.clone());
                }
                None => self.boundary.push(value),
            }
        }
    }
}

/// Operations to be run again, with the views of what they write, by the values written.
fn computed_again(nodes: &[Node], again: impl Fn(&Node) -> bool) -> HashMap<ValueId, &Node> {
    let mut computed: HashMap<ValueId, &Node> = HashMap::new();
    for node in nodes {
        let of_such = |value: &ValueId| computed.contains_key(value);
        if again(node) || (is_view(&node.op) && node.inputs.iter().all(of_such)) {
            computed.extend(node.outputs.iter().map(|&value| (value, node)));
        }
    }
    computed
}

/// Whether the result shares the memory of the operand.
pub(super) fn is_view(op: &Op) -> bool {
    matches!(op, Op::Reshape | Op::SwapDims(..) | Op::Permute(_) | Op::Expand | Op::Slice(_))
}
