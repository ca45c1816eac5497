//! Attention in windows of an image, shifted from layer to layer.

use burn::{
    module::{Module, Param},
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
    tensor::activation::{gelu, softmax},
};
use burn_curvature::Likelihood;

use crate::stranger::{device, evaluated, labels, normal};

const SIDE: usize = 4;
const WINDOW: usize = 2;
const WIDTH: usize = 6;
const HEADS: usize = 2;

/// A block of a Swin transformer, with a table of biases by relative position.
#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    biases: Param<Tensor<2>>,
    output: Linear,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
    shift: usize,
}

#[derive(Module, Debug)]
struct Swin {
    patches: Linear,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Block {
    fn new(shift: usize) -> Self {
        let linear = |i, o| LinearConfig::new(i, o).init(&device());
        let norm = || LayerNormConfig::new(WIDTH).init(&device());
        let offsets = (2 * WINDOW - 1) * (2 * WINDOW - 1);
        Self {
            norm1: norm(),
            qkv: linear(WIDTH, 3 * WIDTH),
            biases: Param::from_tensor(Tensor::zeros([offsets, HEADS], &device())),
            output: linear(WIDTH, WIDTH),
            norm2: norm(),
            up: linear(WIDTH, 12),
            down: linear(12, WIDTH),
            shift,
        }
    }

    /// `[batch, side, side, width]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shift = self.shift as i64;
        let rolled = self.norm1.forward(x.clone()).roll(&[-shift, -shift], &[1, 2]);
        let x = x + self.attention(rolled).roll(&[shift, shift], &[1, 2]);
        let hidden = gelu(self.up.forward(self.norm2.forward(x.clone())));
        x + self.down.forward(hidden)
    }

    fn attention(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, ..] = x.dims();
        let (across, places) = (SIDE / WINDOW, WINDOW * WINDOW);
        let windows = batch * across * across;
        let x = x
            .reshape([batch, across, WINDOW, across, WINDOW, WIDTH])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([windows, places, WIDTH]);
        let qkv = self
            .qkv
            .forward(x)
            .reshape([windows, places, 3, HEADS, WIDTH / HEADS])
            .permute([2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|part| {
            let part: Tensor<4> = qkv.clone().narrow(0, part, 1).squeeze_dim(0);
            part
        });
        let scores = q.matmul(k.swap_dims(2, 3)) / ((WIDTH / HEADS) as f64).sqrt();
        let x = softmax(scores + self.relative().unsqueeze(), 3).matmul(v).swap_dims(1, 2);
        self.output
            .forward(x.reshape([windows, places, WIDTH]))
            .reshape([batch, across, across, WINDOW, WINDOW, WIDTH])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([batch, SIDE, SIDE, WIDTH])
    }

    /// The bias of every pair of places, `[heads, places, places]`.
    fn relative(&self) -> Tensor<3> {
        let places = WINDOW * WINDOW;
        let span = 2 * WINDOW as i32 - 1;
        let offset = |a: usize, b: usize| a as i32 - b as i32 + WINDOW as i32 - 1;
        let index: Vec<i32> = (0..places * places)
            .map(|pair| (pair / places, pair % places))
            .map(|(a, b)| offset(a / WINDOW, b / WINDOW) * span + offset(a % WINDOW, b % WINDOW))
            .collect();
        let index = Tensor::<1, Int>::from_ints(index.as_slice(), &self.biases.val().device());
        self.biases.val().select(0, index).reshape([places, places, HEADS]).permute([2, 0, 1])
    }
}

#[test]
fn swin() {
    let model = Swin {
        patches: LinearConfig::new(12, WIDTH).init(&device()),
        blocks: vec![Block::new(0), Block::new(1)],
        norm: LayerNormConfig::new(WIDTH).init(&device()),
        head: LinearConfig::new(WIDTH, 3).init(&device()),
    };
    let batch = (normal([4, SIDE, SIDE, 12], 1), labels([4], 3, 2));
    evaluated(model, batch, |model, (patches, targets): (Tensor<4>, Tensor<1, Int>)| {
        let x = model.patches.forward(patches);
        let x = model.blocks.iter().fold(x, |x, block| block.forward(x));
        let x: Tensor<2> = model.norm.forward(x).mean_dim(2).mean_dim(1).flatten(1, 3);
        let logits = model.head.forward(x);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        (logits.clone(), loss.forward(logits, targets))
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}
