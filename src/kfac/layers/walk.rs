//! The walk through a program that finds how it uses each parameter.

use std::collections::HashMap;

use super::{LayerKind, Leftover, Role, Tap};
use crate::graph::{Binary, Class, Convolution, Graph, Node, Op, ValueId};

/// A parameter seen through reshapes and transposes.
#[derive(Clone, Copy)]
struct View {
    parameter: usize,
    /// Whether it is the matrix of the parameter transposed.
    transposed: bool,
    /// Whether its shape is another than the parameter's, leading ones aside.
    reshaped: bool,
    /// Where it was expanded: before and after.
    expanded: Option<(ValueId, ValueId)>,
    /// The operation that writes it, if it is a function of the parameter, element by element.
    function: Option<usize>,
}

impl View {
    fn of(parameter: usize) -> Self {
        Self { parameter, transposed: false, reshaped: false, expanded: None, function: None }
    }
}

/// How a program uses its parameters.
pub(super) struct Uses<'a> {
    pub graph: &'a Graph,
    views: HashMap<ValueId, View>,
    /// The parameters with their uses in layers and where they are broadcast, in order of execution.
    pub taps: Vec<(usize, Tap)>,
    /// Name of the operation that first broadcasts a parameter.
    pub broadcast_by: HashMap<usize, String>,
    /// Parameters with other uses.
    pub other: HashMap<usize, Leftover>,
    /// The use in a layer that writes a value.
    written: HashMap<ValueId, usize>,
    /// Readers of each value.
    readers: HashMap<ValueId, usize>,
}

impl<'a> Uses<'a> {
    /// Walks through a program whose first inputs are the parameters.
    pub fn of(graph: &'a Graph, parameters: usize) -> Self {
        let own = graph.inputs().iter().take(parameters).enumerate();
        let mut uses = Self {
            graph,
            views: own.map(|(parameter, &value)| (value, View::of(parameter))).collect(),
            taps: Vec::new(),
            broadcast_by: HashMap::new(),
            other: HashMap::new(),
            written: HashMap::new(),
            readers: graph.readers(),
        };
        graph.nodes().iter().enumerate().for_each(|(at, node)| uses.visit(at, node));
        uses
    }

    fn visit(&mut self, at: usize, node: &Node) {
        self.passes_product(node);
        if !node.inputs.iter().any(|value| self.views.contains_key(value)) {
            return;
        }
        if self.passes_view(at, node) || self.is_layer(node) || self.adds_bias(node) {
            return;
        }
        for (operand, value) in node.inputs.iter().enumerate() {
            let Some(&view) = self.views.get(value) else {
                continue;
            };
            if let Some(tap) = self.broadcast(node, operand, view) {
                self.taps.push((view.parameter, tap));
                self.broadcast_by.entry(view.parameter).or_insert_with(|| node.op.name());
                continue;
            }
            let node = view.function.and_then(|at| self.graph.nodes().get(at)).unwrap_or(node);
            let reason = Leftover::Operation(node.op.name());
            self.other.entry(view.parameter).or_insert(reason);
        }
    }

    /// The output of a layer, in another shape with the same last dimension.
    fn passes_product(&mut self, node: &Node) {
        if let (Op::Reshape, &[source], &[output]) = (&node.op, &node.inputs[..], &node.outputs[..])
            && let Some(&layer) = self.written.get(&source)
            && self.is_read_once(source)
            && self.shape(source).last() == self.shape(output).last()
        {
            self.written.insert(output, layer);
        }
    }

    /// A view of a view, with the same elements, or a function of it and of nothing else, element by element.
    fn passes_view(&mut self, at: usize, node: &Node) -> bool {
        let (&[source], &[output]) = (&node.inputs[..], &node.outputs[..]) else {
            return false;
        };
        let Some(&view) = self.views.get(&source) else {
            return false;
        };
        let (from, to) = (self.shape(source), self.shape(output));
        let same = without_leading_ones(from) == without_leading_ones(to);
        let passed = match &node.op {
            Op::Reshape if same => Some(view),
            Op::Reshape if !view.transposed && view.expanded.is_none() => {
                let own = self.shape(self.graph.inputs()[view.parameter]);
                let reshaped = without_leading_ones(own) != without_leading_ones(to);
                Some(View { reshaped, ..view })
            }
            Op::Expand if to.ends_with(without_leading_ones(from)) => {
                let expanded = view.expanded.or(Some((source, output)));
                Some(View { expanded, ..view })
            }
            Op::SwapDims(a, b) => {
                let rank = from.len();
                let matrix = rank >= 2 && a.min(b) + 2 == rank && a.max(b) + 1 == rank;
                let passes = matrix && !view.reshaped;
                passes.then_some(View { transposed: !view.transposed, ..view })
            }
            Op::Unary(_) | Op::BinaryScalar(..) | Op::Clamp { .. } | Op::HardSigmoid { .. } => {
                let plain = !view.transposed && view.expanded.is_none();
                let varies = node.op.class() != Class::Constant;
                (plain && varies).then_some(View { function: Some(at), ..view })
            }
            _ => None,
        };
        if let Some(view) = passed {
            self.views.insert(output, view);
        }
        passed.is_some()
    }

    fn is_layer(&mut self, node: &Node) -> bool {
        let found = match (&node.op, &node.inputs[..]) {
            (Op::Matmul | Op::Linear { .. }, &[x, w, ref b @ ..]) => self.linear(x, w, b.first()),
            (Op::Conv { conv, .. }, &[x, w, ref b @ ..]) => self.conv(conv, x, w, b.first()),
            (Op::Embedding | Op::Select(0), &[w, x]) if self.shape(w).len() == 2 => {
                self.plain(w).map(|view| (LayerKind::Embedding, view, None, x))
            }
            _ => None,
        };
        let (Some((kind, view, bias, input)), Some(&output)) = (found, node.outputs.first()) else {
            return false;
        };
        self.written.insert(output, self.taps.len());
        let tap = Tap { input: Some(input), bias, ..Tap::of(Role::Weight(kind), output) };
        self.taps.push((view.parameter, tap));
        true
    }

    fn linear(&self, x: ValueId, w: ValueId, b: Option<&ValueId>) -> Option<FoundLayer> {
        let view = self.parameter(w)?;
        let transposed = view.transposed;
        let (own, used) = (self.shape(self.graph.inputs()[view.parameter]), self.shape(w));
        let &[d_in, d_out] = own else { return None };
        let matrix = if transposed { [d_out, d_in] } else { [d_in, d_out] };
        // A row that is repeated is another matrix.
        if !used.ends_with(&matrix) || view.reshaped || self.views.contains_key(&x) {
            return None;
        }
        Some((LayerKind::Linear { transposed }, view, self.bias(b)?, x))
    }

    fn conv(
        &self,
        conv: &Convolution,
        x: ValueId,
        w: ValueId,
        b: Option<&ValueId>,
    ) -> Option<FoundLayer> {
        let view = self.plain(w).filter(|_| !self.views.contains_key(&x))?;
        Some((LayerKind::Conv(conv.clone()), view, self.bias(b)?, x))
    }

    /// The parameter of a bias operand: `Some(None)` without one, as where it is frozen; `None` if it is a parameter in another
    /// form than the one that is stored.
    fn bias(&self, value: Option<&ValueId>) -> Option<Option<usize>> {
        match value {
            Some(&value) if self.views.contains_key(&value) => {
                Some(Some(self.plain(value)?.parameter))
            }
            _ => Some(None),
        }
    }

    /// A view of a parameter itself, not of a function of it.
    fn parameter(&self, value: ValueId) -> Option<View> {
        self.views.get(&value).copied().filter(|view| view.function.is_none())
    }

    /// A parameter as it is stored.
    fn plain(&self, value: ValueId) -> Option<View> {
        let view = self.parameter(value)?;
        let own = self.graph.inputs()[view.parameter];
        (!view.transposed && self.shape(value) == self.shape(own)).then_some(view)
    }

    /// A vector added to the output of a layer that nothing else reads, along its last dimension.
    fn adds_bias(&mut self, node: &Node) -> bool {
        let (Op::Binary(Binary::Add), &[left, right]) = (&node.op, &node.inputs[..]) else {
            return false;
        };
        let pairs = [(left, right), (right, left)];
        let found = pairs.into_iter().find_map(|(product, vector)| {
            let layer = *self.written.get(&product)?;
            let parameter = self.parameter(vector)?.parameter;
            let width = self.shape(product).last()?;
            let own = self.shape(self.graph.inputs()[parameter]);
            let fits = own == [*width] && self.shape(vector).last() == Some(width);
            let tap = &self.taps.get(layer)?.1;
            let alone = self.is_read_once(product) && tap.bias.is_none();
            let is_linear = matches!(tap.role, Role::Weight(LayerKind::Linear { .. }));
            (fits && alone && is_linear).then_some((layer, parameter))
        });
        let Some((layer, parameter)) = found else {
            return false;
        };
        self.taps[layer].1.bias = Some(parameter);
        true
    }

    /// A parameter with its elements in order that an operation broadcasts.
    fn broadcast(&self, node: &Node, operand: usize, view: View) -> Option<Tap> {
        let (&[output], value) = (&node.outputs[..], node.inputs[operand]) else {
            return None;
        };
        if view.transposed {
            return None;
        }
        let function =
            view.function.and_then(|at| self.graph.nodes().get(at)?.outputs.first().copied());
        let made = |value, operand, from: ValueId| {
            let role = Role::Broadcast(self.shape(from).to_vec());
            Some(Tap { operand, function, ..Tap::of(role, value) })
        };
        if let Some((before, after)) = view.expanded {
            let alone = self.is_the_only_use(value, after);
            return if alone { made(after, None, before) } else { None };
        }
        match &node.op {
            Op::Binary(_) if node.op.class() != Class::Constant => {
                made(output, Some(operand), value)
            }
            Op::Expand => made(output, None, value),
            Op::RepeatDim { dim, .. } if self.shape(value).get(*dim) == Some(&1) => {
                made(output, None, value)
            }
            _ => None,
        }
    }

    /// Whether a view of a value, and each view between them, is all that is read of it.
    fn is_the_only_use(&self, mut view: ValueId, value: ValueId) -> bool {
        while view != value && self.is_read_once(view) {
            let writer = self.graph.nodes().iter().find(|node| node.outputs.contains(&view));
            let Some(&[source]) = writer.map(|node| &node.inputs[..]) else { return false };
            view = source;
        }
        self.is_read_once(view)
    }

    fn is_read_once(&self, value: ValueId) -> bool {
        self.readers.get(&value) == Some(&1)
    }

    fn shape(&self, value: ValueId) -> &'a [usize] {
        &self.graph.value(value).shape
    }
}

type FoundLayer = (LayerKind, View, Option<usize>, ValueId);

fn without_leading_ones(shape: &[usize]) -> &[usize] {
    let ones = shape.iter().take_while(|&&size| size == 1).count();
    &shape[ones..]
}
