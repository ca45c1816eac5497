//! Networks that choose: mixtures of experts, and attention over graphs.

use burn::{
    module::{Module, Param},
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::{
        IndexingUpdateOp,
        activation::{elu, leaky_relu, relu, softmax},
    },
};

use super::{Labeled, classified, linear};

/// Two of several experts for every sample, by `topk` and `scatter`.
#[derive(Module, Debug)]
pub struct Mixture {
    gate: Linear,
    experts: Vec<(Linear, Linear)>,
    head: Linear,
}

impl Mixture {
    pub fn new([width, inner, experts, classes]: [usize; 4], device: &Device) -> Self {
        let expert = |_| (linear(width, inner, device), linear(inner, width, device));
        Self {
            gate: linear(width, experts, device),
            experts: (0..experts).map(expert).collect(),
            head: linear(width, classes, device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let scores = self.gate.forward(x.clone());
        let (best, which) = scores.clone().topk_with_indices(2, 1);
        let weights =
            scores.zeros_like().scatter(1, which, softmax(best, 1), IndexingUpdateOp::Add);
        let mixed = self.experts.iter().enumerate().fold(x.clone(), |sum, (at, (up, down))| {
            let output = down.forward(relu(up.forward(x.clone())));
            sum + output * weights.clone().narrow(1, at, 1)
        });
        self.head.forward(mixed)
    }

    pub fn loss(&self, (x, targets): Labeled<Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        classified(self.forward(x), targets)
    }
}

/// Two layers of graph attention over one graph; every node is classified.
#[derive(Module, Debug)]
pub struct Gat {
    first: GatLayer,
    second: GatLayer,
}

#[derive(Module, Debug)]
struct GatLayer {
    linear: Linear,
    source: Param<Tensor<2>>,
    target: Param<Tensor<2>>,
}

impl GatLayer {
    fn new(input: usize, output: usize, device: &Device) -> Self {
        let vector = || Param::from_tensor(Tensor::zeros([output, 1], device));
        Self {
            linear: LinearConfig::new(input, output).with_bias(false).init(device),
            source: vector(),
            target: vector(),
        }
    }

    fn forward(&self, x: Tensor<2>, edges: Tensor<2, Bool>) -> Tensor<2> {
        let h = self.linear.forward(x);
        let source = h.clone().matmul(self.source.val());
        let target = h.clone().matmul(self.target.val());
        let scores = leaky_relu(source + target.transpose(), 0.2);
        let scores = scores.mask_fill(edges.bool_not(), -1e9);
        let shift = scores.clone().max();
        softmax(scores - shift.unsqueeze(), 1).matmul(h)
    }
}

/// Nodes, their edges and classes.
pub type Nodes = (Tensor<2>, Tensor<2, Bool>, Tensor<1, Int>);

impl Gat {
    pub fn new([inputs, hidden, classes]: [usize; 3], device: &Device) -> Self {
        Self {
            first: GatLayer::new(inputs, hidden, device),
            second: GatLayer::new(hidden, classes, device),
        }
    }

    pub fn loss(&self, (x, edges, targets): Nodes) -> (Tensor<2>, Tensor<1>) {
        let hidden = elu(self.first.forward(x, edges.clone()), 1.0);
        classified(self.second.forward(hidden, edges), targets)
    }

    /// A graph in which each node is joined to itself and its two neighbors in a row.
    pub fn row(nodes: usize, device: &Device) -> Tensor<2, Bool> {
        let below = Tensor::<2, Bool>::tril_mask([nodes, nodes], 1, device).bool_not();
        below.bool_and(Tensor::<2, Bool>::triu_mask([nodes, nodes], -1, device).bool_not())
    }
}
