//! K-FAC's gradient and factors by its defaults, on architectures that Burn's users train.
//!
//! ```text
//! cargo bench --bench factors
//! ```
//!
//! Prints `<model>.factors = <value>`, the median of five ratios, each of the shortest of three runs, in units of a plain Burn
//! gradient (forward and `backward()`) of the same model and batch, and `<model>.outputs`. `<model>.exact` is that of exact
//! factors, which send one cotangent back for every output and are refused where the cotangents of a sample cannot be told
//! apart, as in a language model; `<model>.drawn` that of one drawn target for each sample.
#![allow(clippy::print_stdout)]

mod deep;

use std::time::Instant;

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, Linear, LinearConfig, Lstm,
        LstmConfig,
        conv::{Conv2d, Conv2dConfig},
        loss::CrossEntropyLossConfig,
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    prelude::*,
    tensor::{
        Distribution,
        activation::{gelu, relu},
    },
};
use burn_curvature::{
    Batch, CaptureConfig, Captured, Error, KfacConfig, Likelihood, Loss, Objective, Reduction,
    errors::KfacError, kfac::KfacFisher,
};

const BATCH: usize = 32;
const DRAWN: KfacFisher = KfacFisher::MonteCarlo { draws: 1, seed: 1 };

type Labels = Tensor<1, Int>;

fn device() -> Device {
    Device::flex().autodiff()
}

fn normal<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device())
}

fn below<const D: usize>(shape: [usize; D], bound: usize) -> Tensor<D, Int> {
    Tensor::random(shape, Distribution::Uniform(0.0, bound as f64), &device())
}

fn linear(from: usize, to: usize) -> Linear {
    LinearConfig::new(from, to).init(&device())
}

fn classified(z: Tensor<2>, y: Labels) -> (Tensor<2>, Tensor<1>) {
    let loss = CrossEntropyLossConfig::new().init(&z.device());
    (z.clone(), loss.forward(z, y))
}

/// Seconds of the fastest of some runs.
fn fastest<T>(runs: usize, mut run: impl FnMut() -> Result<T, Error>) -> Result<f64, Error> {
    let mut least = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

/// Prints what the factors of a model take: those by default, exact ones unless rows reach several rows of the outputs, and
/// drawn ones.
fn costs<M, X, const D: usize, L>(
    name: &str,
    (model, batch): (M, X),
    likelihood: Likelihood,
    loss: fn(&M, X) -> (Tensor<D>, L),
) -> Result<(), Error>
where
    M: Module + 'static,
    X: Batch + Clone + Send + 'static,
    L: Into<Loss> + 'static,
    (Tensor<D>, L): Captured,
{
    let recorded: Objective =
        CaptureConfig::new().evaluation().init(&model, batch.clone(), loss)?;
    let objective = recorded.reduced_by(Reduction::Mean)?.without_loss_check();
    let gradient = || {
        let value: Loss = loss(&model, batch.clone()).1.into();
        value.into_tensor().backward()
    };
    let with = |fisher| KfacConfig::new().with_fisher(fisher);
    for (kind, config) in
        [("factors", KfacConfig::new()), ("exact", with(KfacFisher::Exact)), ("drawn", with(DRAWN))]
    {
        // Warms up.
        match config.init(&objective, likelihood) {
            Err(error) if matches!(error.downcast_ref(), Some(KfacError::Places { .. })) => {
                continue;
            }
            other => drop(other?),
        }
        let (mut ratios, runs) = (Vec::new(), 3);
        for _ in 0..5 {
            let unit = fastest(runs, || Ok(gradient()))?;
            ratios.push(fastest(runs, || config.init(&objective, likelihood))? / unit);
        }
        ratios.sort_by(f64::total_cmp);
        println!("{name}.{kind} = {:.2}", ratios[2]);
    }
    let outputs = objective.outputs()?;
    let shape = outputs.layout().blocks()[0].shape().to_vec();
    println!("{name}.outputs = {}", shape.iter().skip(1).product::<usize>());
    Ok(())
}

#[derive(Module, Debug)]
struct Images {
    conv: Vec<Conv2d>,
    norm: Vec<BatchNorm>,
    head: Vec<Linear>,
}

fn images() -> (Images, (Tensor<4>, Labels)) {
    let conv = |from, to, stride| {
        Conv2dConfig::new([from, to], [3, 3]).with_stride([stride; 2]).init(&device())
    };
    let norm = |channels| BatchNormConfig::new(channels).init(&device());
    let model = Images {
        conv: vec![conv(1, 16, 1), conv(16, 32, 2)],
        norm: vec![norm(16), norm(32)],
        head: vec![linear(32 * 6 * 6, 64), linear(64, 10)],
    };
    (model, (normal([BATCH, 1, 16, 16]), below([BATCH], 10)))
}

#[derive(Module, Debug)]
struct Text {
    words: Embedding,
    places: Embedding,
    encoder: TransformerEncoder,
    head: Linear,
}

fn text() -> (Text, (Tensor<2, Int>, Labels)) {
    let model = Text {
        words: EmbeddingConfig::new(200, 32).init(&device()),
        places: EmbeddingConfig::new(20, 32).init(&device()),
        encoder: TransformerEncoderConfig::new(32, 64, 4, 2).init(&device()),
        head: linear(32, 4),
    };
    (model, (below([BATCH, 20], 200), below([BATCH], 4)))
}

fn encoded(model: &Text, tokens: Tensor<2, Int>) -> Tensor<3> {
    let [_, length] = tokens.dims();
    let places = Tensor::arange(0..length as i64, &tokens.device()).unsqueeze();
    let embedded = model.words.forward(tokens) + model.places.forward(places);
    model.encoder.forward(TransformerEncoderInput::new(embedded))
}

/// u″ of a network by the chain rule.
#[allow(clippy::ptr_arg, reason = "it is the model of a closure")]
fn residuals(layers: &Vec<Linear>, x: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let mut jet = [x.clone(), x.ones_like(), x.zeros_like()];
    for (place, layer) in layers.iter().enumerate() {
        let [u, du, ddu] = jet;
        let weight = layer.weight.val();
        let (u, du, ddu) = (layer.forward(u), du.matmul(weight.clone()), ddu.matmul(weight));
        if place + 1 == layers.len() {
            let residual = ddu + u;
            return (residual.clone(), residual.square().mean());
        }
        let t = u.tanh();
        let slope = t.clone().square() * -1.0 + 1.0;
        let bend = t.clone() * slope.clone() * -2.0 * du.clone().square();
        jet = [t, slope.clone() * du, bend + slope * ddu];
    }
    (x.clone(), x.mean())
}

const CLASSES: Likelihood = Likelihood::Categorical;
const HALF: Likelihood = Likelihood::Gaussian { variance: 0.5 };

fn classifiers() -> Result<(), Error> {
    costs("images", images(), CLASSES, |model, (x, y)| {
        let norms = model.norm.iter().zip(&model.conv);
        let x = norms.fold(x, |x, (norm, conv)| gelu(norm.forward(conv.forward(x))));
        classified(model.head[1].forward(relu(model.head[0].forward(x.flatten(1, 3)))), y)
    })?;
    costs("transformer", text(), CLASSES, |model, (tokens, y)| {
        classified(model.head.forward(encoded(model, tokens).mean_dim(1).squeeze_dim(1)), y)
    })?;
    type Sequences = (Tensor<3>, Labels);
    let lstm = (LstmConfig::new(8, 32, true).init(&device()), linear(32, 5));
    let batch = (normal([BATCH, 12, 8]), below([BATCH], 5));
    let loss = |(lstm, head): &(Lstm, Linear), (x, y): Sequences| {
        let (_, state) = lstm.forward(x, None);
        classified(head.forward(state.hidden), y)
    };
    costs("lstm", (lstm, batch), CLASSES, loss)
}

fn regressions() -> Result<(), Error> {
    let net = vec![linear(1, 32), linear(32, 32), linear(32, 1)];
    costs("pinn", (net, normal([4 * BATCH, 1])), HALF, residuals)?;
    let pair = (vec![linear(20, 64), linear(64, 16)], vec![linear(2, 64), linear(64, 16)]);
    let batch = (normal([BATCH, 20]), normal([BATCH, 2]), normal([BATCH, 1]));
    type Places = (Tensor<2>, Tensor<2>, Tensor<2>);
    costs("deeponet", (pair, batch), HALF, |(branch, trunk), (u, x, y): Places| {
        let through = |net: &Vec<Linear>, x| net[1].forward(net[0].forward(x).tanh());
        let z = (through(branch, u) * through(trunk, x)).sum_dim(1);
        (z.clone(), (z - y).square().mean())
    })?;
    let net = vec![linear(20, 64), linear(64, 16)];
    let batch = (normal([BATCH, 20]), below([BATCH, 16], 6).float());
    costs("counts", (net, batch), Likelihood::Poisson, |net, (x, y): (Tensor<2>, Tensor<2>)| {
        let z = net[1].forward(net[0].forward(x).tanh());
        (z.clone(), (z.clone().exp() - y * z).sum_dim(1).mean())
    })?;
    let net = vec![linear(64, 32), linear(32, 8), linear(8, 32), linear(32, 64)];
    costs("autoencoder", (net, normal([BATCH, 64])), HALF, |net, x| {
        let z = net.iter().fold(x.clone(), |x, layer| layer.forward(x).tanh());
        (z.clone(), (z - x).square().sum_dim(1).mean())
    })
}

fn main() -> Result<(), Error> {
    classifiers()?;
    regressions()?;
    deep::classifiers()?;
    deep::decoders()
}
