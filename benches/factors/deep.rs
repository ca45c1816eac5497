//! Residual, windowed and recurrent networks, a language model, and decoders with many outputs.

use burn::{
    module::Param,
    nn::{
        BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
        LinearConfig, PaddingConfig1d, PaddingConfig2d,
        attention::generate_autoregressive_mask,
        conv::{Conv1d, Conv1dConfig, Conv2d, Conv2dConfig},
        loss::CrossEntropyLossConfig,
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    prelude::*,
    tensor::activation::{gelu, log_sigmoid, relu, silu, softmax, softplus},
};
use burn_curvature::{Error, Loss};

use super::{
    BATCH, Bench, CLASSES, HALF, Labels, below, device, linear, networks::classified, normal,
};
use burn_curvature::Likelihood;

/// A residual network of three blocks with batch norms.
#[derive(Module, Debug)]
struct Residual {
    stem: Conv2d,
    blocks: Vec<(Conv2d, BatchNorm, Conv2d, BatchNorm)>,
    head: Linear,
}

fn residual() -> (Residual, (Tensor<4>, Labels)) {
    let conv = |from, to| {
        let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
        Conv2dConfig::new([from, to], [3, 3]).with_padding(padding).with_bias(false).init(&device())
    };
    let norm = || BatchNormConfig::new(16).init(&device());
    let block = || (conv(16, 16), norm(), conv(16, 16), norm());
    let model = Residual {
        stem: conv(3, 16),
        blocks: vec![block(), block(), block()],
        head: linear(16, 10),
    };
    (model, (normal([BATCH, 3, 12, 12]), below([BATCH], 10)))
}

fn residual_loss(model: &Residual, (x, y): (Tensor<4>, Labels)) -> (Tensor<2>, Tensor<1>) {
    let x = model.blocks.iter().fold(model.stem.forward(x), |x, (first, one, second, two)| {
        let inner = relu(one.forward(first.forward(x.clone())));
        relu(x + two.forward(second.forward(inner)))
    });
    let pooled = x.mean_dim(3).mean_dim(2).flatten(1, 3);
    classified(model.head.forward(pooled), y)
}

const SIDE: usize = 8;
const WINDOW: usize = 4;
const WIDTH: usize = 24;
const HEADS: usize = 3;

/// Attention in windows that are shifted in every other block, with a bias for every pair of places.
#[derive(Module, Debug)]
struct Windowed {
    norms: [LayerNorm; 2],
    qkv: Linear,
    bias: Param<Tensor<3>>,
    output: Linear,
    inner: [Linear; 2],
    shift: usize,
}

#[derive(Module, Debug)]
struct Swin {
    patches: Linear,
    blocks: Vec<Windowed>,
    norm: LayerNorm,
    head: Linear,
}

impl Windowed {
    fn new(shift: usize) -> Self {
        let places = WINDOW * WINDOW;
        let norm = || LayerNormConfig::new(WIDTH).init(&device());
        Self {
            norms: [norm(), norm()],
            qkv: linear(WIDTH, 3 * WIDTH),
            bias: Param::from_tensor(normal([HEADS, places, places])),
            output: linear(WIDTH, WIDTH),
            inner: [linear(WIDTH, 2 * WIDTH), linear(2 * WIDTH, WIDTH)],
            shift,
        }
    }

    /// `[batch, side, side, width]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shift = self.shift as i64;
        let rolled = self.norms[0].forward(x.clone()).roll(&[-shift, -shift], &[1, 2]);
        let x = x + self.attention(rolled).roll(&[shift, shift], &[1, 2]);
        let [up, down] = &self.inner;
        x.clone() + down.forward(gelu(up.forward(self.norms[1].forward(x))))
    }

    fn attention(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, ..] = x.dims();
        let (across, places) = (SIDE / WINDOW, WINDOW * WINDOW);
        let windows = batch * across * across;
        let cut = [batch, across, WINDOW, across, WINDOW, WIDTH];
        let x = x.reshape(cut).permute([0, 1, 3, 2, 4, 5]).reshape([windows, places, WIDTH]);
        let parts = [windows, places, 3, HEADS, WIDTH / HEADS];
        let qkv = self.qkv.forward(x).reshape(parts).permute([2, 0, 3, 1, 4]);
        let [q, k, v] =
            [0, 1, 2].map(|part| -> Tensor<4> { qkv.clone().narrow(0, part, 1).squeeze_dim(0) });
        let scores = q.matmul(k.swap_dims(2, 3)) / ((WIDTH / HEADS) as f64).sqrt();
        let x = softmax(scores + self.bias.val().unsqueeze(), 3).matmul(v).swap_dims(1, 2);
        let x = self.output.forward(x.reshape([windows, places, WIDTH]));
        let x = x.reshape([batch, across, across, WINDOW, WINDOW, WIDTH]);
        x.permute([0, 1, 3, 2, 4, 5]).reshape([batch, SIDE, SIDE, WIDTH])
    }
}

/// A selective state space, scanned step by step.
#[derive(Module, Debug)]
struct Mamba {
    into: Linear,
    conv: Conv1d,
    selected: Linear,
    step: Linear,
    rates: Param<Tensor<2>>,
    direct: Param<Tensor<1>>,
    out: Linear,
}

const INNER: usize = 32;
const STATES: usize = 8;
const LENGTH: usize = 16;

impl Mamba {
    fn new() -> Self {
        let plain = |i, o| LinearConfig::new(i, o).with_bias(false).init(&device());
        let conv = Conv1dConfig::new(INNER, INNER, 3)
            .with_groups(INNER)
            .with_padding(PaddingConfig1d::Explicit(2, 0));
        Self {
            into: plain(16, 2 * INNER),
            conv: conv.init(&device()),
            selected: plain(INNER, 2 + 2 * STATES),
            step: linear(2, INNER),
            rates: Param::from_tensor(Tensor::ones([INNER, STATES], &device())),
            direct: Param::from_tensor(Tensor::ones([INNER], &device())),
            out: plain(INNER, 16),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let parts = self.into.forward(x).chunk(2, 2);
        let x = silu(self.conv.forward(parts[0].clone().swap_dims(1, 2)).swap_dims(1, 2));
        self.out.forward(self.scan(x) * silu(parts[1].clone()))
    }

    fn scan(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, length, _] = x.dims();
        let selected = self.selected.forward(x.clone());
        let delta = softplus(self.step.forward(selected.clone().narrow(2, 0, 2)), 1.0);
        let b = selected.clone().narrow(2, 2, STATES);
        let c = selected.narrow(2, 2 + STATES, STATES);
        let a = self.rates.val().exp().neg().unsqueeze::<3>();
        let mut state = Tensor::<3>::zeros([batch, INNER, STATES], &x.device());
        let outputs = (0..length).map(|step| {
            let at = |t: &Tensor<3>| t.clone().narrow(1, step, 1);
            let (delta, input) = (at(&delta).swap_dims(1, 2), at(&x).swap_dims(1, 2));
            let decay = (delta.clone() * a.clone()).exp();
            state = decay * state.clone() + delta * at(&b) * input.clone();
            let direct = input * self.direct.val().reshape([1, INNER, 1]);
            ((state.clone() * at(&c)).sum_dim(2) + direct).swap_dims(1, 2)
        });
        Tensor::cat(outputs.collect(), 1)
    }
}

const WORDS: usize = 200;

/// A causal transformer that predicts the next word at every place.
#[derive(Module, Debug)]
struct Language {
    words: Embedding,
    places: Embedding,
    encoder: TransformerEncoder,
    head: Linear,
}

type Continued = (Tensor<2, Int>, Tensor<2, Int>);

fn next_words(model: &Language, (tokens, next): Continued) -> (Tensor<3>, Loss) {
    let [batch, length] = tokens.dims();
    let device = tokens.device();
    let places = Tensor::arange(0..length as i64, &device).unsqueeze();
    let embedded = model.words.forward(tokens) + model.places.forward(places);
    let mask = generate_autoregressive_mask(batch, length, &device);
    let encoded = model.encoder.forward(TransformerEncoderInput::new(embedded).mask_attn(mask));
    let z = model.head.forward(encoded);
    let loss = CrossEntropyLossConfig::new().init(&device);
    let loss = loss.forward(z.clone().flatten::<2>(0, 1), next.flatten(0, 1));
    (z, Loss::from(loss * length as f64))
}

pub fn classifiers(bench: &Bench) -> Result<(), Error> {
    bench.costs("residual", residual(), CLASSES, residual_loss)?;
    let swin = Swin {
        patches: linear(12, WIDTH),
        blocks: vec![Windowed::new(0), Windowed::new(2)],
        norm: LayerNormConfig::new(WIDTH).init(&device()),
        head: linear(WIDTH, 10),
    };
    let batch = (normal([BATCH, SIDE, SIDE, 12]), below([BATCH], 10));
    bench.costs("swin", (swin, batch), CLASSES, |model, (x, y): (Tensor<4>, Labels)| {
        let x = model.blocks.iter().fold(model.patches.forward(x), |x, block| block.forward(x));
        let pooled = model.norm.forward(x).mean_dim(2).mean_dim(1).flatten(1, 3);
        classified(model.head.forward(pooled), y)
    })?;
    let language = Language {
        words: EmbeddingConfig::new(WORDS, 32).init(&device()),
        places: EmbeddingConfig::new(20, 32).init(&device()),
        encoder: TransformerEncoderConfig::new(32, 64, 4, 2).init(&device()),
        head: linear(32, WORDS),
    };
    let batch = (below([BATCH, 20], WORDS), below([BATCH, 20], WORDS));
    bench.costs("language", (language, batch), CLASSES, next_words)?;
    let net = vec![linear(32, 64), linear(64, 64), linear(64, 100)];
    bench.costs(
        "classes",
        (net, (normal([BATCH, 32]), below([BATCH], 100))),
        CLASSES,
        |net, (x, y)| {
            let layers: &[Linear] = net;
            let x = layers[..2].iter().fold(x, |x, layer| relu(layer.forward(x)));
            classified(layers[2].forward(x), y)
        },
    )
}

pub fn decoders(bench: &Bench) -> Result<(), Error> {
    let batch = (normal([BATCH, LENGTH, 16]), normal([BATCH, LENGTH, 16]));
    bench.costs(
        "mamba",
        (Mamba::new(), batch),
        HALF,
        |model, (x, y): (Tensor<3>, Tensor<3>)| {
            let z = model.forward(x);
            (z.clone(), (z - y).square().mean() * (LENGTH * 16) as f64)
        },
    )?;
    let vae = [linear(64, 32), linear(32, 16), linear(8, 32), linear(32, 64)];
    let vae: Vec<Linear> = vae.into();
    let batch = (normal([BATCH, 64]).sign() * 0.5 + 0.5, normal([BATCH, 8]));
    bench.costs("vae", (vae, batch), Likelihood::Bernoulli, |net, (x, noise)| {
        let encoded = net[1].forward(relu(net[0].forward(x.clone())));
        let (mean, log) = (encoded.clone().narrow(1, 0, 8), encoded.narrow(1, 8, 8));
        let sample = mean + noise * (log * 0.5).exp();
        let z = net[3].forward(relu(net[2].forward(sample)));
        let losses =
            log_sigmoid(z.clone()) * x.clone() + log_sigmoid(-z.clone()) * (x * -1.0 + 1.0);
        (z, -losses.sum_dim(1).mean())
    })
}
