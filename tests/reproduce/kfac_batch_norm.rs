//! A network with batch normalization and dropout on the handwritten digits, trained by K-FAC and by AdamW, and its sharpness
//! before and after training.

use burn::{
    lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig,
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig,
        conv::{Conv2d, Conv2dConfig},
        loss::CrossEntropyLossConfig,
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    optim::{AdamWConfig, GradientsParams},
    prelude::*,
    tensor::activation::relu,
};
use burn_curvature::{
    CaptureConfig, Hessian, KfacOptimizerConfig, LanczosConfig, Likelihood, Objective, Reduction,
    optim::KfacOptimizerState,
};

use crate::{Outcome, digits::Digits, figures::Figures, kfac_classifier::training::batches};

const TRAIN: usize = 1297;
const EPOCHS: usize = 8;
/// Batches of 64 in an epoch.
const STEPS: usize = 20;
const RATE: f64 = 0.1;
const DAMPING: f64 = 0.1;
const ADAMW_RATES: [f64; 3] = [3e-3, 1e-2, 3e-2];

type Samples = (Tensor<2>, Tensor<1, Int>);

#[derive(Module, Debug)]
struct Net {
    first: Conv2d,
    norm1: BatchNorm,
    second: Conv2d,
    norm2: BatchNorm,
    pool: MaxPool2d,
    dropout: Dropout,
    output: Linear,
}

impl Net {
    fn new(seed: u64, device: &Device) -> Self {
        device.seed(seed);
        let conv = |channels| {
            let padding = nn::PaddingConfig2d::Explicit(1, 1, 1, 1);
            Conv2dConfig::new(channels, [3, 3]).with_padding(padding).init(device)
        };
        let net = Self {
            first: conv([1, 8]),
            norm1: BatchNormConfig::new(8).init(device),
            second: conv([8, 16]),
            norm2: BatchNormConfig::new(16).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            dropout: DropoutConfig::new(0.25).init(),
            output: LinearConfig::new(64, 10).init(device),
        };
        assert_eq!(net.num_params(), 1946 + 48); // with the running statistics
        net
    }

    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let images = images.reshape([-1, 1, 8, 8]);
        let x = self.pool.forward(relu(self.norm1.forward(self.first.forward(images))));
        let x = self.pool.forward(relu(self.norm2.forward(self.second.forward(x))));
        self.output.forward(self.dropout.forward(x.flatten(1, 3)))
    }
}

fn loss(model: &Net, (images, labels): Samples) -> (Tensor<2>, Tensor<1>) {
    let logits = model.forward(images);
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), labels);
    (logits, loss)
}

/// Loss and accuracy in evaluation mode.
fn evaluated(model: &Net, digits: &Digits, device: &Device) -> (f64, f64) {
    let device = device.clone().inner();
    let classes = digits.classes(&device);
    let (logits, loss) = loss(&model.valid(), (digits.images(&device), classes.clone()));
    let right = logits.argmax(1).flatten::<1>(0, 1).equal(classes).float().mean();
    let read = |it: Tensor<1>| it.into_data().iter::<f64>().next().unwrap_or(f64::NAN);
    (read(loss), read(right))
}

fn capture(model: &Net, batch: Samples) -> Result<Objective, burn_curvature::Error> {
    let config = CaptureConfig::new().evaluation();
    config.init(model, batch, loss)?.reduced_by(Reduction::Mean)
}

fn schedule(rate: f64) -> CosineAnnealingLrSchedulerConfig {
    CosineAnnealingLrSchedulerConfig::new(rate, EPOCHS * STEPS - 1)
}

fn by_kfac(digits: &Digits, seed: u64, device: &Device) -> Result<Net, Box<dyn std::error::Error>> {
    let mut model = Net::new(seed, device);
    let objective = capture(&model, batches(digits, seed, device).swap_remove(0))?;
    let config = KfacOptimizerConfig::stochastic(RATE).with_damping(DAMPING);
    let mut optimizer = config.init(&objective, Likelihood::Categorical)?;
    let mut rates = schedule(RATE).init()?;
    let folder = std::env::temp_dir().join(format!("batch-norm-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    for epoch in 0..EPOCHS {
        let batches = batches(digits, seed + 100 * epoch as u64, device);
        assert_eq!(batches.len(), STEPS);
        if epoch == EPOCHS / 2 {
            // Stopped here, and resumed from files.
            optimizer.state()?.save(folder.join("optimizer"))?;
            model.into_record().save(folder.join("model"))?;
            let record = burn::store::ModuleRecord::load(folder.join("model"))?;
            model = Net::new(seed + 1, device).load_record(record);
            let objective = capture(&model, batches[0].clone())?;
            let state = KfacOptimizerState::load(folder.join("optimizer"))?;
            optimizer = config.resume(&objective, Likelihood::Categorical, &state)?;
        }
        for batch in batches {
            optimizer.set_learning_rate(rates.step().base())?;
            (model, _) = optimizer.step(&model, batch)?;
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(model)
}

fn by_adamw(
    digits: &Digits,
    (seed, rate): (u64, f64),
    device: &Device,
) -> Result<Net, Box<dyn std::error::Error>> {
    let mut model = Net::new(seed, device);
    let (mut optimizer, mut rates) = (AdamWConfig::new().init(), schedule(rate).init()?);
    for epoch in 0..EPOCHS {
        for batch in batches(digits, seed + 100 * epoch as u64, device) {
            let gradients = GradientsParams::from_grads(loss(&model, batch).1.backward(), &model);
            model = optimizer.step(rates.step(), model, gradients);
        }
    }
    Ok(model)
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn kfac_batch_norm() -> Outcome {
    let device = Device::default().autodiff();
    let (train, test) = Digits::load()?.split(TRAIN, 1);
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let kfac = by_kfac(&train, seed, &device)?;
        let (whole, _) = evaluated(&kfac, &train, &device);
        let (loss, accuracy) = evaluated(&kfac, &test, &device);
        figures.expect(&format!("kfac.{seed}.train_loss"), whole, 0.0..=0.03);
        figures.expect(&format!("kfac.{seed}.test_loss"), loss, 0.0..=0.07);
        figures.expect(&format!("kfac.{seed}.test_accuracy"), accuracy, 0.98..=1.0);
        for rate in ADAMW_RATES {
            let adamw = by_adamw(&train, (seed, rate), &device)?;
            let (whole, _) = evaluated(&adamw, &train, &device);
            let (loss, accuracy) = evaluated(&adamw, &test, &device);
            figures.note(&format!("adamw.{seed}.{rate}.train_loss"), whole);
            figures.note(&format!("adamw.{seed}.{rate}.test_loss"), loss);
            figures.note(&format!("adamw.{seed}.{rate}.test_accuracy"), accuracy);
        }
        sharpness(&kfac, seed, &train, &mut figures)?;
    }
    assert!(figures.print());
    Ok(())
}

/// Before training, of a model built from scratch: by a recording of its own, and by that of the trained model.
fn sharpness(trained: &Net, seed: u64, train: &Digits, figures: &mut Figures) -> Outcome {
    let device = Device::default().autodiff();
    let all = batches(train, 1, &device);
    let largest = |objective: &Objective| -> Result<f64, Box<dyn std::error::Error>> {
        let over = objective.over(all.clone(), Reduction::Mean)?;
        Ok(LanczosConfig::new().init()?.eigenpairs(&Hessian::new(&over)?)?.report.largest())
    };
    let objective = capture(trained, all[0].clone())?;
    let start = Net::new(seed, &device);
    let (truth, found) =
        (largest(&capture(&start, all[0].clone())?)?, largest(&objective.at_model(&start)?)?);
    figures.note(&format!("sharpness.{seed}.trained"), largest(&objective)?);
    figures.note(&format!("sharpness.{seed}.start"), truth);
    figures.expect(
        &format!("sharpness.{seed}.difference"),
        (found / truth - 1.0).abs(),
        0.0..=1e-3,
    );
    Ok(())
}
