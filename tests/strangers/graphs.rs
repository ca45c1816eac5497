//! Networks that choose: mixtures of experts, and attention over graphs.

use burn::{
    module::{Module, Param},
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
    tensor::{
        IndexingUpdateOp,
        activation::{elu, leaky_relu, relu, softmax},
    },
};
use burn_curvature::Likelihood;

use crate::stranger::{as_given, device, labels, normal};

/// Two of four experts for every sample, by `topk` and `scatter`.
#[derive(Module, Debug)]
struct Mixture {
    gate: Linear,
    experts: Vec<(Linear, Linear)>,
    head: Linear,
}

impl Mixture {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let scores = self.gate.forward(x.clone());
        let (best, which) = scores.clone().topk_with_indices(2, 1);
        let weights =
            scores.zeros_like().scatter(1, which, softmax(best, 1), IndexingUpdateOp::Add);
        let outputs = self.experts.iter().enumerate().map(|(at, (up, down))| {
            let output = down.forward(relu(up.forward(x.clone())));
            output * weights.clone().narrow(1, at, 1)
        });
        let sum = outputs.reduce(|sum, output| sum + output).unwrap();
        self.head.forward(sum + x)
    }
}

#[test]
fn mixture_of_experts() {
    let linear = |i, o| LinearConfig::new(i, o).init(&device());
    let model = Mixture {
        gate: linear(6, 4),
        experts: (0..4).map(|_| (linear(6, 8), linear(8, 6))).collect(),
        head: linear(6, 3),
    };
    let batch = (normal([8, 6], 1), labels([8], 3, 2));
    as_given(model, batch, |model, (x, targets): (Tensor<2>, Tensor<1, Int>)| {
        let logits = model.forward(x);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        (logits.clone(), loss.forward(logits, targets))
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

/// Two layers of graph attention over one graph; every node is classified. Nodes depend on each other, so that no
/// reduction is stated.
#[derive(Module, Debug)]
struct Gat {
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
    fn new(input: usize, output: usize) -> Self {
        let vector = || Param::from_tensor(Tensor::zeros([output, 1], &device()));
        Self {
            linear: LinearConfig::new(input, output).with_bias(false).init(&device()),
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

#[test]
fn graph_attention() {
    let model = Gat { first: GatLayer::new(5, 6), second: GatLayer::new(6, 3) };
    let near = Tensor::<2, Bool>::tril_mask([7, 7], 1, &device()).bool_not();
    let near = near.bool_and(Tensor::<2, Bool>::triu_mask([7, 7], -1, &device()).bool_not());
    let batch = (normal([7, 5], 1), near, labels([7], 3, 2));
    as_given(
        model,
        batch,
        |model, (x, edges, targets): (Tensor<2>, Tensor<2, Bool>, Tensor<1, Int>)| {
            let hidden = elu(model.first.forward(x, edges.clone()), 1.0);
            let logits = model.second.forward(hidden, edges);
            let loss = CrossEntropyLossConfig::new().init(&logits.device());
            (logits.clone(), loss.forward(logits, targets))
        },
    )
    .passes();
}
