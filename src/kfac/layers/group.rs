//! All uses of one weight, and their sizes.

use super::{LayerKind, LayerUse};
use crate::graph::{Convolution, Graph, ValueId};

/// All uses of one weight.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct LayerGroup {
    /// The first use; the others differ in input and output only.
    pub first: LayerUse,
    /// All uses.
    pub uses: Vec<(ValueId, ValueId)>,
    /// Shape of the weight.
    pub weight: Vec<usize>,
}

impl LayerGroup {
    /// How often the weight is used in a batch: samples times places, or samples alone if places are reduced.
    pub fn rows(&self, graph: &Graph, reduced: bool) -> usize {
        if reduced { self.samples(graph) } else { self.places(graph) }
    }

    /// How often the weight is used in a batch: samples times places.
    fn places(&self, graph: &Graph) -> usize {
        let outputs = self.uses.iter().map(|&(_, output)| output);
        let numbers = outputs.map(|output| graph.value(output).shape.num_elements());
        numbers.sum::<usize>() / self.width_out().max(1)
    }

    /// Whether it is an embedding that is used at several places of a sample.
    pub fn is_shared_embedding(&self, graph: &Graph) -> bool {
        self.first.kind == LayerKind::Embedding && self.places(graph) > self.samples(graph)
    }

    /// Size of the first dimension of the layer's output.
    pub fn samples(&self, graph: &Graph) -> usize {
        let shape = &graph.value(self.first.output).shape;
        match shape.num_dims() {
            0 | 1 => 1,
            _ => shape[0],
        }
    }

    /// Whether all uses have the same number of samples.
    pub fn has_even_uses(&self, graph: &Graph) -> bool {
        let samples = self.samples(graph);
        self.uses.iter().all(|&(_, output)| {
            let shape = &graph.value(output).shape;
            shape.num_dims() < 2 || shape[0] == samples
        })
    }

    /// Number of outputs of the layer.
    pub fn width_out(&self) -> usize {
        let (first, last) = (self.weight.first(), self.weight.last());
        let width = match self.first.kind {
            LayerKind::Linear { transposed: false } | LayerKind::Embedding => last,
            LayerKind::Linear { transposed: true } | LayerKind::Conv(_) => first,
        };
        width.copied().unwrap_or(1)
    }

    /// Number of inputs of each group, a one for the bias included.
    pub fn d_in(&self) -> usize {
        let total: usize = self.weight.iter().product();
        total / self.width_out().max(1) + usize::from(self.first.bias.is_some())
    }

    /// Number of groups of a convolution, else 1.
    pub fn groups(&self) -> usize {
        match &self.first.kind {
            LayerKind::Conv(conv) => groups(conv),
            _ => 1,
        }
    }

    /// Groups layers by their weights.
    pub fn all(graph: &Graph, layers: &[LayerUse]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for layer in layers {
            let one_use = (layer.input, layer.output);
            match groups.iter_mut().find(|group| group.first.weight == layer.weight) {
                Some(group) => group.uses.push(one_use),
                None => groups.push(Self {
                    weight: graph.value(graph.inputs()[layer.weight]).shape.to_vec(),
                    first: layer.clone(),
                    uses: vec![one_use],
                }),
            }
        }
        groups
    }
}

/// Number of groups of a convolution.
pub(in crate::kfac) fn groups(conv: &Convolution) -> usize {
    match conv {
        Convolution::D1(options) => options.groups,
        Convolution::D2(options) => options.groups,
        Convolution::D3(options) => options.groups,
    }
}
