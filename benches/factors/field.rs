//! Networks that Burn's users train, of their authors' or other realistic sizes.

use burn::{module::Module, prelude::*};
use burn_curvature::{
    Batch, Captured, Error, GaussNewton, Hessian, KfacConfig, Likelihood, LinearOperator, Loss,
    errors::KfacError, kfac::UncoveredPolicy,
};

use super::{
    Bench, CLASSES, HALF, Problem, below, device,
    networks::{
        Continued, Labeled,
        convolutions::{Denoiser, Mnist, MobileNet, ResNet},
        encoders::{Encoder, distillation},
        graphs::{Gat, Mixture},
        llama::Llama,
        perceptrons::{Guide, Regression},
        physics::{Kan, Ode},
        transformers::{Albert, Gpt, Sizes, TextClassification, TextGeneration},
    },
    normal,
};

impl Bench {
    /// Prints what factors by default, preparation and products take.
    fn defaults<M, X, const D: usize, L>(
        &self,
        name: &str,
        problem: (M, X),
        likelihood: Likelihood,
        loss: fn(&M, X) -> (Tensor<D>, L),
    ) -> Result<(), Error>
    where
        M: Module + 'static,
        X: Batch + Clone + Send + 'static,
        L: Into<Loss> + 'static,
        (Tensor<D>, L): Captured,
    {
        let name = &format!("field.{name}");
        if !name.contains(&self.filter) {
            return Ok(());
        }
        let problem = Problem::new(problem, loss)?;
        let objective = &problem.objective;
        let mut config = KfacConfig::new();
        let error = config.init(objective, likelihood).err();
        let refused = error.as_ref().and_then(|error| error.downcast_ref());
        if matches!(refused, Some(KfacError::Uncovered { .. })) {
            config = config.with_uncovered(ESTIMATED);
            println!("{name}.uncovered = estimated");
        } else if let Some(error) = error {
            return Err(error);
        }
        let factors = || config.init(objective, likelihood);
        drop(factors()?);
        self.print(name, "factors", &problem, factors)?;
        let v = objective.parameters().space().normal(1);
        let hessian = Hessian::new(objective)?;
        drop(hessian.apply(&v)?);
        self.print(name, "hessian", &problem, || hessian.apply(&v))?;
        self.print(name, "preparation", &problem, || {
            objective.at_keeping_buffers(objective.parameters())?.prepare()
        })?;
        let newton = GaussNewton::new(objective)?;
        drop(newton.apply(&v)?);
        self.print(name, "gauss_newton", &problem, || newton.apply(&v))?;
        self.print_milliseconds(name, &problem)?;
        problem.print_outputs(name)
    }
}

/// For parameters without a layer that are too large for the default.
const ESTIMATED: UncoveredPolicy = UncoveredPolicy::Diagonal { probes: 2, seed: 0 };

const TEXT: Sizes = Sizes { width: 128, inner: 512, heads: 4, layers: 2, words: 1000, length: 64 };

/// So many sequences and tokens.
fn continued(shape: [usize; 2]) -> Continued {
    (below(shape, TEXT.words), below(shape, TEXT.words))
}

pub fn transformers(bench: &Bench) -> Result<(), Error> {
    for (name, norm_first) in [("text_norm_first", true), ("text_norm_last", false)] {
        let model = TextClassification::new(TEXT, 4, norm_first, &device());
        let batch = (below([16, 64], TEXT.words), below([16], 4));
        bench.defaults(name, (model, batch), CLASSES, TextClassification::loss)?;
    }
    let model = TextGeneration::new(TEXT, &device());
    bench.defaults("generation", (model, continued([8, 64])), CLASSES, TextGeneration::loss)?;
    let model = Gpt::new(TEXT, &device());
    bench.defaults("gpt", (model, continued([8, 64])), CLASSES, Gpt::loss)?;
    let model = Albert::new(TEXT, 64, &device());
    bench.defaults("albert", (model, continued([8, 64])), CLASSES, Albert::loss)?;
    let sizes = Sizes { inner: 344, ..TEXT };
    let batch = continued([8, 64]);
    bench.defaults("llama", (Llama::new(sizes, &device()), batch), CLASSES, Llama::loss)?;
    let batch = continued([16, 12]);
    let model = Llama::new(sizes, &device());
    bench.defaults("llama_cached", (model, batch), CLASSES, Llama::cached_loss)
}

fn images(batch: usize, side: usize) -> Labeled<Tensor<4>> {
    (normal([batch, 3, side, side]), below([batch], 10))
}

pub fn convolutions(bench: &Bench) -> Result<(), Error> {
    let model = Mnist::new([28, 64, 128], &device());
    let batch = (normal([64, 28, 28]), below([64], 10));
    bench.defaults("mnist", (model, batch), CLASSES, Mnist::loss)?;
    let model = ResNet::new(&[16, 16, 32, 64], 10, &device());
    bench.defaults("resnet", (model, images(16, 32)), CLASSES, ResNet::loss)?;
    let model = ResNet::new(&[16, 16, 32, 64], 10, &device()).with_frozen_trunk();
    bench.defaults("resnet_head", (model, images(16, 32)), CLASSES, ResNet::loss)?;
    let model = MobileNet::new(&[3, 16, 16, 24, 32], [6, 10], &device());
    bench.defaults("mobilenet", (model, images(16, 32)), CLASSES, MobileNet::loss)?;
    let batch = (normal([16, 1, 28, 28]), normal([16, 1, 28, 28]), below([16], 20));
    bench.defaults("ddpm", (Denoiser::new([32, 4], &device()), batch), HALF, Denoiser::loss)
}

fn graphs(bench: &Bench) -> Result<(), Error> {
    let nodes = 700;
    let batch = (normal([nodes, 500]), Gat::row(nodes, &device()), below([nodes], 7));
    bench.defaults("gat", (Gat::new([500, 64, 7], &device()), batch), CLASSES, Gat::loss)?;
    let batch = (normal([256, 128]), below([256], 10));
    let model = Mixture::new([128, 256, 8, 10], &device());
    bench.defaults("mixture", (model, batch), CLASSES, Mixture::loss)
}

fn encoders(bench: &Bench) -> Result<(), Error> {
    let encoder = |hidden, outputs| Encoder::new([784, hidden, outputs], &device());
    let batch = (normal([128, 784]), below([128], 10));
    let model = (encoder(256, 10), encoder(1024, 10).no_grad());
    bench.defaults("distillation", (model, batch.clone()), CLASSES, distillation)?;
    bench.defaults("smoothing", (encoder(512, 10), batch), CLASSES, Encoder::smoothed_loss)?;
    let batch = (normal([128, 784]), normal([128, 784]), below([128], 2));
    bench.defaults("siamese", (encoder(512, 64), batch), HALF, Encoder::siamese_loss)
}

pub fn others(bench: &Bench) -> Result<(), Error> {
    let model = Guide::new([784, 512, 10], &device());
    let batch = (normal([64, 28, 28]), below([64], 10));
    bench.defaults("guide", (model, batch), CLASSES, Guide::loss)?;
    let batch = (normal([1024, 8]), normal([1024]));
    let model = Regression::new([8, 64], &device());
    bench.defaults("regression", (model, batch), HALF, Regression::loss)?;
    let batch = (normal([256, 16]), normal([256, 16]));
    bench.defaults("ode", (Ode::new([16, 128], &device()), batch), HALF, Ode::loss)?;
    let batch = (normal([512, 8]), normal([512, 1]));
    bench.defaults("kan", (Kan::new(&[8, 32, 32, 1], &device()), batch), HALF, Kan::loss)?;
    graphs(bench)?;
    encoders(bench)
}
