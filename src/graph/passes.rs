//! Passes from graph to graph (dead code, common subexpressions) and queries that other passes need.

use std::{
    collections::{HashMap, HashSet, hash_map::DefaultHasher},
    fmt,
    hash::{Hash, Hasher},
};

use super::{Constant, Graph, Node, ValueId};

impl Graph {
    /// Checks that every value is defined exactly once and before its uses.
    pub(crate) fn validate(&self) -> Result<(), super::GraphError> {
        let mut defined = HashSet::new();
        let mut define = |value: ValueId| {
            defined
                .insert(value)
                .then_some(())
                .ok_or(super::GraphError::DefinedTwice { value: value.index() })
        };
        self.inputs.iter().try_for_each(|&value| define(value))?;
        self.constants.iter().try_for_each(|constant| define(constant.value))?;
        for node in &self.nodes {
            node.outputs.iter().try_for_each(|&value| define(value))?;
        }
        let mut known: HashSet<ValueId> = self
            .inputs
            .iter()
            .copied()
            .chain(self.constants.iter().map(|constant| constant.value))
            .collect();
        let undefined = |value: ValueId, user: String| super::GraphError::Undefined {
            value: value.index(),
            user,
        };
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(&value) = node.inputs.iter().find(|value| !known.contains(value)) {
                return Err(undefined(value, format!("operation {index} ({})", node.op.name())));
            }
            known.extend(&node.outputs);
        }
        match self.outputs.iter().find(|value| !known.contains(value)) {
            Some(&value) => Err(undefined(value, "the outputs".into())),
            None => Ok(()),
        }
    }

    /// Without the operations and constants that no output needs. Inputs stay, used or not.
    #[must_use]
    pub(crate) fn without_dead_code(mut self) -> Self {
        let mut live: HashSet<ValueId> = self.outputs.iter().copied().collect();
        let mut keep = vec![false; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if node.outputs.iter().any(|value| live.contains(value)) {
                keep[index] = true;
                live.extend(&node.inputs);
            }
        }
        let mut keep = keep.into_iter();
        self.nodes.retain(|_| keep.next().unwrap_or(true));
        self.constants.retain(|constant| live.contains(&constant.value));
        self
    }

    /// The same program with other outputs.
    #[must_use]
    pub(crate) fn returning(&self, outputs: Vec<ValueId>) -> Self {
        Self { outputs, ..self.clone() }.without_dead_code()
    }

    /// The same program with other inputs, which must define what it reads.
    #[must_use]
    pub(crate) fn taking(self, inputs: Vec<ValueId>) -> Self {
        Self { inputs, ..self }
    }

    /// Replaces a computed value by a new last input; also returns that input.
    #[must_use]
    pub(crate) fn with_value_as_input(mut self, value: ValueId) -> (Self, ValueId) {
        self.values.push(self.value(value).clone());
        let input = ValueId::new(self.values.len() - 1);
        let read = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        for reference in read.chain(&mut self.outputs) {
            if *reference == value {
                *reference = input;
            }
        }
        self.inputs.push(input);
        (self.without_dead_code(), input)
    }

    /// With every repeated computation done once. Random draws are never merged.
    #[must_use]
    pub(crate) fn without_common_subexpressions(mut self) -> Self {
        let mut same_as: HashMap<ValueId, ValueId> = HashMap::new();
        let mut seen: HashMap<u64, Vec<Node>> = HashMap::new();
        self.merge_equal_constants(&mut same_as);
        let mut kept = Vec::with_capacity(self.nodes.len());
        for mut node in std::mem::take(&mut self.nodes) {
            for input in &mut node.inputs {
                *input = *same_as.get(input).unwrap_or(input);
            }
            if node.op.is_random() {
                kept.push(node);
                continue;
            }
            let candidates = seen.entry(self.signature(&node)).or_default();
            match candidates.iter().find(|other| self.computes_the_same(&node, other)) {
                Some(other) => {
                    same_as.extend(node.outputs.iter().copied().zip(other.outputs.iter().copied()))
                }
                None => {
                    candidates.push(node.clone());
                    kept.push(node);
                }
            }
        }
        self.nodes = kept;
        for output in &mut self.outputs {
            *output = *same_as.get(output).unwrap_or(output);
        }
        self
    }

    /// A hash of the operation with its attributes, of what it reads, and of the types of what it writes.
    fn signature(&self, node: &Node) -> u64 {
        let mut hasher = DefaultHasher::new();
        // Floating-point attributes have no hash of their own, but all have a listing.
        let _ = fmt::write(&mut Listing(&mut hasher), format_args!("{:?}", node.op)); // never fails
        node.inputs.hash(&mut hasher);
        node.outputs.iter().for_each(|&output| self.value(output).hash(&mut hasher));
        hasher.finish()
    }

    fn computes_the_same(&self, a: &Node, b: &Node) -> bool {
        a.op == b.op
            && a.inputs == b.inputs
            && a.outputs.len() == b.outputs.len()
            && a.outputs.iter().zip(&b.outputs).all(|(&x, &y)| self.value(x) == self.value(y))
    }

    fn merge_equal_constants(&mut self, same_as: &mut HashMap<ValueId, ValueId>) {
        let mut seen: HashMap<Vec<u8>, Vec<Constant>> = HashMap::new();
        for constant in std::mem::take(&mut self.constants) {
            let candidates = seen.entry(constant.data.as_bytes().to_vec()).or_default();
            match candidates
                .iter()
                .find(|other| self.value(other.value) == self.value(constant.value))
            {
                Some(other) => {
                    same_as.insert(constant.value, other.value);
                }
                None => {
                    candidates.push(constant.clone());
                    self.constants.push(constant);
                }
            }
        }
    }

    /// The values that depend on any of the given ones, these included.
    pub(crate) fn dependents(&self, of: &[ValueId]) -> HashSet<ValueId> {
        let mut dependents: HashSet<ValueId> = of.iter().copied().collect();
        for node in &self.nodes {
            if node.inputs.iter().any(|value| dependents.contains(value)) {
                dependents.extend(&node.outputs);
            }
        }
        dependents
    }

    /// How often each value is read, by operations and as an output.
    pub(crate) fn readers(&self) -> HashMap<ValueId, usize> {
        let mut readers = HashMap::new();
        let read = self.nodes.iter().flat_map(|node| &node.inputs);
        for &value in read.chain(&self.outputs) {
            *readers.entry(value).or_default() += 1;
        }
        readers
    }

    /// For each node, which of its inputs no later node and no output reads.
    ///
    /// An input a node reads twice is marked at its last position only.
    pub(crate) fn last_uses(&self) -> Vec<Vec<bool>> {
        let mut needed_later: HashSet<ValueId> = self.outputs.iter().copied().collect();
        let mut last_uses: Vec<Vec<bool>> = self
            .nodes
            .iter()
            .rev()
            .map(|node| {
                let mut last: Vec<bool> =
                    node.inputs.iter().rev().map(|&value| needed_later.insert(value)).collect();
                last.reverse();
                last
            })
            .collect();
        last_uses.reverse();
        last_uses
    }

    /// For each output, whether the value is not returned again.
    pub(crate) fn last_outputs(&self) -> Vec<bool> {
        let mut returned = HashSet::new();
        let outputs = self.outputs.iter().rev();
        let mut last: Vec<bool> = outputs.map(|value| returned.insert(*value)).collect();
        last.reverse();
        last
    }
}

/// Feeds a text to a hasher as it is written.
struct Listing<'a, H>(&'a mut H);

impl<H: Hasher> fmt::Write for Listing<'_, H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
