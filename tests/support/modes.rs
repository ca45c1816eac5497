//! A network that trains otherwise than it is evaluated, and steps of K-FAC on it: by ranks, and by hand as data-parallel
//! training does them.

use std::sync::Arc;

use burn::{
    module::{Module, RunningState},
    nn,
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    CaptureConfig, Error, KfacConfig, KfacOptimizerConfig, Likelihood, Objective, ParamVector,
    Reduction, ValueAndGradient, communicator::Communicator, kfac::KfacFisher,
};

use crate::shares::{self, Figures, Network, Samples};

#[derive(Module, Debug)]
pub struct Normed {
    pub hidden: nn::Linear,
    pub norm: nn::BatchNorm,
    pub dropout: nn::Dropout,
    pub output: nn::Linear,
}

impl Normed {
    pub fn new(dropout: f64, device: &Device) -> Self {
        let Network { hidden, output, .. } = Network::new(4, device);
        let norm = nn::BatchNormConfig::new(5).init(device);
        Self { hidden, norm, dropout: nn::DropoutConfig::new(dropout).init(), output }
    }

    pub fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        let z = self.norm.forward::<2>(self.hidden.forward(x));
        self.output.forward(self.dropout.forward(tanh(z)))
    }

    pub fn loss(&self, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
        let z = self.logits(x);
        let loss = nn::loss::CrossEntropyLossConfig::new().init(&z.device()).forward(z.clone(), y);
        (z, loss)
    }

    /// A copy that shares no running statistics.
    fn apart(&self) -> Self {
        self.valid().train()
    }

    /// Mean and variance.
    pub fn statistics(&self) -> [Vec<f64>; 2] {
        let norm = self.norm.valid();
        [norm.running_mean.value(), norm.running_var.value()]
            .map(|it| it.into_data().iter::<f64>().collect())
    }

    fn with_statistics(&self, [mean, variance]: [Vec<f64>; 2], device: &Device) -> Self {
        let state = |values: Vec<f64>| {
            let data = TensorData::new(values, [5]).convert::<f32>();
            RunningState::new(Tensor::<1>::from_data(data, device))
        };
        let mut other = self.apart();
        (other.norm.running_mean, other.norm.running_var) = (state(mean), state(variance));
        other
    }
}

pub fn capture(model: &Normed, device: &Device) -> Result<Objective, Error> {
    let config = CaptureConfig::new().evaluation();
    let captured = config.init(model, shares::batch(0, device), Normed::loss)?;
    captured.in_f64()?.reduced_by(Reduction::Mean)
}

pub fn config() -> KfacOptimizerConfig {
    KfacOptimizerConfig::stochastic(0.1)
        .with_kfac(KfacConfig::new().with_fisher(KfacFisher::Exact))
        .with_damping(0.1)
}

/// The batch of a rank: the last one is ragged.
pub fn batch(rank: usize, size: usize, device: &Device) -> Samples {
    shares::batch(if rank + 1 == size { shares::BATCHES - 1 } else { rank }, device)
}

/// Three steps without dropout, of `size` ranks.
pub fn figures<C: Communicator + 'static>(
    ranks: Option<Arc<C>>,
    size: usize,
    device: &Device,
) -> Result<Figures, Error> {
    steps(capture, ranks, size, device)
}

/// The same of a loss that is captured in a way of its own.
pub fn steps<C: Communicator + 'static>(
    capture: impl Fn(&Normed, &Device) -> Result<Objective, Error>,
    ranks: Option<Arc<C>>,
    size: usize,
    device: &Device,
) -> Result<Figures, Error> {
    let mut model = Normed::new(0.0, device);
    let captured = capture(&model, device)?;
    let all: Vec<Samples> = (0..size).map(|rank| batch(rank, size, device)).collect();
    let objective = match &ranks {
        Some(ranks) => captured.shared(ranks.clone())?,
        None => captured.over(all.clone(), Reduction::Mean)?,
    };
    let mut optimizer = config().init(&objective, Likelihood::Categorical)?;
    let (mut values, mut statistics) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let step;
        (model, step) = match &ranks {
            Some(ranks) => optimizer.step(&model, all[ranks.rank()].clone())?,
            None => {
                let (averaged, gradient) = by_hand(&model, &all, device)?;
                optimizer.step_with_gradient(&averaged, &objective, gradient)?
            }
        };
        values.push(step.value);
        statistics.extend(model.statistics().concat());
    }
    let after: ParamVector = ParamVector::from_module(&model)?;
    Ok(vec![
        ("losses in training mode".into(), values),
        ("running statistics".into(), statistics),
        ("θ after three steps".into(), after.to_vec()?),
    ])
}

/// Burn's gradient on each batch, and the running statistics after it, averaged with the numbers of samples.
fn by_hand(
    model: &Normed,
    batches: &[Samples],
    device: &Device,
) -> Result<(Normed, ValueAndGradient), Error> {
    let total: usize = batches.iter().map(|(x, _)| x.dims()[0]).sum();
    let mut value = 0.0;
    let mut gradient = ParamVector::from_module(model)?.cast(burn_curvature::Precision::F64)?;
    gradient = gradient.scale(0.0);
    let mut statistics = [vec![0.0; 5], vec![0.0; 5]];
    for batch in batches {
        let share = batch.0.dims()[0] as f64 / total as f64;
        let own = model.apart();
        let (_, loss) = own.loss(batch.clone());
        value += share * f64::from(loss.clone().into_scalar::<f32>());
        let found = ParamVector::from_backward(&own, loss.backward())?;
        gradient = gradient.axpy(share, &found.cast(burn_curvature::Precision::F64)?)?;
        for (sum, own) in statistics.iter_mut().zip(own.statistics()) {
            sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += share * own);
        }
    }
    Ok((model.with_statistics(statistics, device), ValueAndGradient { value, gradient }))
}
