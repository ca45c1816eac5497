//! Finds the layers of a network in its program: products of a parameter with an input, and parameters added to them.
//! Depends on graphs; independent of models.

mod group;

pub(super) use group::{LayerGroup, groups};

use std::collections::HashMap;

use crate::graph::{Binary, Convolution, Graph, Node, Op, ValueId};

/// How a layer uses its weight.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::kfac) enum LayerKind {
    /// y = x W with W of `[d_in, d_out]`, or of `[d_out, d_in]` where it is transposed first.
    Linear {
        /// Whether W is stored as `[d_out, d_in]`.
        transposed: bool,
    },
    /// y = x ∗ W with W of `[d_out, d_in / groups, kernel…]`.
    Conv(Convolution),
    /// y = rows of W, which is `[d_in, d_out]`.
    Embedding,
}

/// One use of a weight in a layer.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct LayerUse {
    pub kind: LayerKind,
    /// Position of the weight among the parameters.
    pub weight: usize,
    /// Position of the bias among the parameters.
    pub bias: Option<usize>,
    /// The value x that is multiplied; indices for an embedding.
    pub input: ValueId,
    /// The value x W, with the bias where the operation itself adds it.
    pub output: ValueId,
}

/// Why a parameter is not the weight or bias of layers only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::kfac) enum Leftover {
    /// It is used by another operation, of this name.
    Operation(String),
    /// Its uses are of different kinds, or with different biases.
    Mixed,
    /// The loss does not read it.
    Unused,
}

/// The layers of a network.
#[derive(Clone, Debug, Default)]
pub(in crate::kfac) struct Layers {
    /// In order of execution.
    pub layers: Vec<LayerUse>,
    /// The parameters that are not covered.
    pub leftover: Vec<(usize, Leftover)>,
}

/// A parameter seen through reshapes and transposes.
#[derive(Clone, Copy)]
struct View {
    parameter: usize,
    transposed: bool,
}

/// What is found while walking through a program.
struct Walk<'a> {
    graph: &'a Graph,
    views: HashMap<ValueId, View>,
    layers: Vec<LayerUse>,
    /// Which layer writes a value.
    written: HashMap<ValueId, usize>,
    /// Readers of each value.
    readers: HashMap<ValueId, usize>,
    other: HashMap<usize, Leftover>,
}

impl Layers {
    /// Finds the layers of a program whose first inputs are the parameters.
    pub fn of(graph: &Graph, parameters: usize) -> Self {
        let mut walk = Walk::new(graph, parameters);
        for node in graph.nodes() {
            walk.visit(node);
        }
        walk.finish(parameters)
    }
}

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph, parameters: usize) -> Self {
        let own = graph.inputs().iter().take(parameters).enumerate();
        let views = own.map(|(parameter, &value)| {
            let transposed = false;
            (value, View { parameter, transposed })
        });
        let mut readers = HashMap::new();
        let read = graph.nodes().iter().flat_map(|node| &node.inputs);
        for &value in read.chain(graph.outputs()) {
            *readers.entry(value).or_default() += 1;
        }
        Self {
            graph,
            views: views.collect(),
            layers: Vec::new(),
            written: HashMap::new(),
            readers,
            other: HashMap::new(),
        }
    }

    fn visit(&mut self, node: &Node) {
        if !node.inputs.iter().any(|value| self.views.contains_key(value)) {
            return;
        }
        if self.passes_view(node) || self.is_layer(node) || self.adds_bias(node) {
            return;
        }
        for value in &node.inputs {
            if let Some(view) = self.views.get(value) {
                let reason = Leftover::Operation(node.op.name());
                self.other.entry(view.parameter).or_insert(reason);
            }
        }
    }

    /// A view of a view: the same elements in the same matrix.
    fn passes_view(&mut self, node: &Node) -> bool {
        let (&[source], &[output]) = (&node.inputs[..], &node.outputs[..]) else {
            return false;
        };
        let Some(&view) = self.views.get(&source) else {
            return false;
        };
        let (from, to) = (self.shape(source), self.shape(output));
        let same = match &node.op {
            Op::Reshape => without_leading_ones(from) == without_leading_ones(to),
            Op::Expand => to.ends_with(without_leading_ones(from)),
            Op::SwapDims(a, b) => {
                let rank = from.len();
                let matrix = rank >= 2 && a.min(b) + 2 == rank && a.max(b) + 1 == rank;
                if matrix {
                    let transposed = !view.transposed;
                    self.views.insert(output, View { transposed, ..view });
                }
                return matrix;
            }
            _ => false,
        };
        if same {
            self.views.insert(output, view);
        }
        same
    }

    fn is_layer(&mut self, node: &Node) -> bool {
        let inputs = &node.inputs[..];
        let found = match (&node.op, inputs) {
            (Op::Matmul, &[x, w]) | (Op::Linear { bias: false }, &[x, w]) => {
                self.linear(x, w, None)
            }
            (Op::Linear { bias: true }, &[x, w, b]) => self.linear(x, w, Some(b)),
            (Op::Conv { conv, bias: false }, &[x, w]) => self.conv(conv, x, w, None),
            (Op::Conv { conv, bias: true }, &[x, w, b]) => self.conv(conv, x, w, Some(b)),
            (Op::Embedding, &[w, x]) => {
                self.plain(w).map(|view| (LayerKind::Embedding, view, None, x))
            }
            (Op::Select(0), &[w, x]) => {
                let matrix = self.shape(w).len() == 2;
                let view = self.plain(w).filter(|_| matrix);
                view.map(|view| (LayerKind::Embedding, view, None, x))
            }
            _ => None,
        };
        let (Some((kind, view, bias, input)), Some(&output)) = (found, node.outputs.first()) else {
            return false;
        };
        self.written.insert(output, self.layers.len());
        self.layers.push(LayerUse { kind, weight: view.parameter, bias, input, output });
        true
    }

    fn linear(&self, x: ValueId, w: ValueId, b: Option<ValueId>) -> Option<Found> {
        let view = *self.views.get(&w)?;
        let own = self.shape(self.graph.inputs()[view.parameter]);
        if own.len() != 2 || self.views.contains_key(&x) {
            return None;
        }
        let transposed = view.transposed;
        Some((LayerKind::Linear { transposed }, view, self.bias(b)?, x))
    }

    fn conv(
        &self,
        conv: &Convolution,
        x: ValueId,
        w: ValueId,
        b: Option<ValueId>,
    ) -> Option<Found> {
        let view = self.plain(w).filter(|_| !self.views.contains_key(&x))?;
        Some((LayerKind::Conv(conv.clone()), view, self.bias(b)?, x))
    }

    /// The parameter of a bias operand: `Some(None)` without a bias, `None` if it is not a parameter.
    fn bias(&self, value: Option<ValueId>) -> Option<Option<usize>> {
        match value {
            None => Some(None),
            Some(value) => Some(Some(self.views.get(&value)?.parameter)),
        }
    }

    /// A parameter as it is stored.
    fn plain(&self, value: ValueId) -> Option<View> {
        let view = self.views.get(&value)?;
        let own = self.graph.inputs()[view.parameter];
        (!view.transposed && self.shape(value) == self.shape(own)).then_some(*view)
    }

    /// A vector added to the output of a layer that nothing else reads, along its last dimension.
    fn adds_bias(&mut self, node: &Node) -> bool {
        let (Op::Binary(Binary::Add), &[left, right]) = (&node.op, &node.inputs[..]) else {
            return false;
        };
        let pairs = [(left, right), (right, left)];
        let found = pairs.into_iter().find_map(|(product, vector)| {
            let layer = *self.written.get(&product)?;
            let view = *self.views.get(&vector)?;
            let width = self.shape(product).last()?;
            let own = self.shape(self.graph.inputs()[view.parameter]);
            let fits = own == [*width] && self.readers.get(&product) == Some(&1);
            (fits && self.layers.get(layer)?.bias.is_none()).then_some((layer, view.parameter))
        });
        let Some((layer, parameter)) = found else {
            return false;
        };
        match self.layers.get_mut(layer) {
            Some(layer) if !matches!(layer.kind, LayerKind::Conv(_) | LayerKind::Embedding) => {
                layer.bias = Some(parameter);
                true
            }
            _ => false,
        }
    }

    /// Separates parameters that also have other uses, or whose layers are incompatible.
    fn finish(mut self, parameters: usize) -> Layers {
        loop {
            let before = self.other.len();
            for layer in &self.layers {
                let mixed = self.layers.iter().any(|other| !goes_together(layer, other));
                let own = [Some(layer.weight), layer.bias].into_iter().flatten();
                if mixed || own.clone().any(|parameter| self.other.contains_key(&parameter)) {
                    for parameter in own {
                        self.other.entry(parameter).or_insert(Leftover::Mixed);
                    }
                }
            }
            let other = &self.other;
            self.layers.retain(|layer| !other.contains_key(&layer.weight));
            if self.other.len() == before {
                break;
            }
        }
        let used = |parameter| {
            let mut own = self.layers.iter().flat_map(|layer| [Some(layer.weight), layer.bias]);
            own.any(|one| one == Some(parameter))
        };
        let leftover = (0..parameters).filter(|&parameter| !used(parameter)).map(|parameter| {
            let reason = self.other.get(&parameter).cloned();
            (parameter, reason.unwrap_or(Leftover::Unused))
        });
        Layers { leftover: leftover.collect(), layers: self.layers }
    }

    fn shape(&self, value: ValueId) -> &'a [usize] {
        &self.graph.value(value).shape
    }
}

type Found = (LayerKind, View, Option<usize>, ValueId);

/// Whether two layers share nothing, or their weight and bias and the way they use them.
fn goes_together(one: &LayerUse, other: &LayerUse) -> bool {
    let shares = |layer: &LayerUse, parameter: usize| {
        layer.weight == parameter || layer.bias == Some(parameter)
    };
    let touching = shares(other, one.weight) || one.bias.is_some_and(|bias| shares(other, bias));
    !touching || (one.weight, one.bias, &one.kind) == (other.weight, other.bias, &other.kind)
}

fn without_leading_ones(shape: &[usize]) -> &[usize] {
    let ones = shape.iter().take_while(|&&size| size == 1).count();
    &shape[ones..]
}
