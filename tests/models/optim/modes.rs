//! Networks that train otherwise than they are evaluated: Burn's own gradient in training mode, the curvature of evaluation
//! mode at the running statistics of the moment.

use burn::{
    module::Module,
    nn::loss::CrossEntropyLossConfig,
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    CaptureConfig, KfacConfig, KfacOptimizerConfig, LinearOperator, Loss, Objective, ParamVector,
    Reduction, ValueAndGradient,
    errors::{BatchError, KfacError, ObjectiveError, OptimizerError},
    kfac::KfacFisher,
    optim::{KfacOptimizerState, StepRule},
};

use super::{TARGET, parameters};
use crate::{B, Samples, failure::failure, samples, without_draws};

#[derive(Module, Debug)]
struct Normed {
    hidden: Linear,
    norm: BatchNorm,
    dropout: Dropout,
    output: Linear,
}

fn normed(seed: u64, dropout: f64, device: &Device) -> Normed {
    let start = crate::Classifier::new(seed, device);
    let [inputs, hidden] = start.hidden.weight.dims();
    let [_, classes] = start.output.weight.dims();
    let model = Normed {
        hidden: LinearConfig::new(inputs, hidden).init(device),
        norm: BatchNormConfig::new(hidden).init(device),
        dropout: DropoutConfig::new(dropout).init(),
        output: LinearConfig::new(hidden, classes).init(device),
    };
    Normed { hidden: start.hidden, output: start.output, ..model }
}

fn loss(model: &Normed, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let z = model.norm.forward::<2>(model.hidden.forward(x));
    let z = model.output.forward(model.dropout.forward(tanh(z)));
    let loss = CrossEntropyLossConfig::new().init(&z.device()).forward(z.clone(), y);
    (z, loss)
}

fn capture(model: &Normed, batch: Samples) -> Objective<B> {
    let config = CaptureConfig::new().evaluation();
    let objective = Objective::<B>::capture_with(&config, model, batch, loss).unwrap();
    objective.reduced_by(Reduction::Mean).unwrap()
}

fn config(rate: f64) -> KfacOptimizerConfig {
    KfacOptimizerConfig::stochastic(rate)
        .with_kfac(without_draws())
        .with_rule(StepRule::LearningRate { rate, momentum: 0.0, limit: None })
}

fn statistics(model: &Normed) -> Vec<f64> {
    let norm = model.norm.valid();
    let each = [norm.running_mean.value(), norm.running_var.value()];
    each.into_iter().flat_map(|it| it.into_data().iter::<f64>().collect::<Vec<_>>()).collect()
}

/// A copy that shares no running statistics with the original.
fn apart(model: &Normed) -> Normed {
    model.valid().train()
}

/// One step by hand: Burn's gradient in training mode, then the net captured again in evaluation mode.
#[test]
fn a_step_is_the_one_by_hand() {
    let device = Device::flex().autodiff();
    let (model, batch) = (normed(1, 0.0, &device), samples(12, 101, &device));
    let (mut other, mut expected) = (apart(&model), vec![]);
    let mut optimizer = config(0.1).init(&capture(&model, batch.clone()), TARGET).unwrap();
    let mut model = model;
    for step in 1..=2 {
        let (_, value) = loss(&other, batch.clone());
        let by_burn: f64 = value.clone().into_data().iter::<f64>().next().unwrap();
        let gradient = ParamVector::<B>::from_backward(&other, value.backward()).unwrap();
        let now = capture(&other, batch.clone());
        if step == 1 {
            let kfac = without_draws().init(&now, TARGET).unwrap();
            let delta = kfac.factored_inverse(1e-2).unwrap().apply(&gradient).unwrap();
            other = delta.add_to(&other, -0.1).unwrap();
            expected = parameters(&other);
        }
        let report;
        (model, report) = optimizer.step(&model, batch.clone()).unwrap();
        assert!((report.value - by_burn).abs() < 1e-6, "{report} for {by_burn}");
        if step == 1 {
            for (found, expected) in parameters(&model).iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
            }
        }
        // The running statistics are those of as many passes in training mode.
        for (found, expected) in statistics(&model).iter().zip(statistics(&other)) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }
    // What the model is worth is seen in evaluation mode, at its own statistics.
    let start = capture(&normed(1, 0.0, &device), batch.clone());
    let found = start.at_model(&model).unwrap().value().unwrap();
    let (_, truth) = loss(&model.valid(), (batch.0.inner(), batch.1.inner()));
    let truth: f64 = truth.into_data().iter::<f64>().next().unwrap();
    assert!((found - truth).abs() < 1e-6, "{found} for {truth}");
}

/// A gradient of one's own makes the same step, and a model in evaluation mode the recorded one.
#[test]
fn gradients_from_elsewhere() {
    let device = Device::flex().autodiff();
    let (model, batch) = (normed(2, 0.0, &device), samples(12, 102, &device));
    let objective = capture(&model, batch.clone());
    let (mut one, mut other) = (
        config(0.1).init(&objective, TARGET).unwrap(),
        config(0.1).init(&objective, TARGET).unwrap(),
    );
    let twin = apart(&model);
    let (_, value) = loss(&twin, batch.clone());
    let gradient = ParamVector::<B>::from_backward(&twin, value.clone().backward()).unwrap();
    let value = value.into_data().iter::<f64>().next().unwrap();
    let given = ValueAndGradient { value, gradient };
    let (stepped, report) = one.step(&model, batch.clone()).unwrap();
    let (by_hand, same) = other.step_with_gradient(&twin, &objective, given).unwrap();
    assert_eq!((report, parameters(&stepped)), (same, parameters(&by_hand)));

    let (still, _) = one.step(&stepped.valid(), batch.clone()).unwrap();
    assert_eq!(statistics(&still), statistics(&stepped));
    let error = one.step_on(&stepped, &objective);
    assert!(matches!(failure(&error), Some(OptimizerError::TrainingMode { layers: 2, .. })));
    // Burn's pass needs the batch that the closure takes, not its tensors alone.
    #[derive(Clone, Debug)]
    struct Others(Samples);
    impl burn_curvature::Batch for Others {
        fn map_tensors<M: burn_curvature::BatchMapper>(self, mapper: &mut M) -> Self {
            Self(self.0.map_tensors(mapper))
        }
    }
    let error = one.step(&stepped, Others(batch));
    assert!(matches!(failure(&error), Some(BatchError::OtherType { .. })));
}

/// Saved and resumed, the run is the same bit for bit; the running statistics come with the model's record.
#[test]
fn a_resumed_run_is_the_same() {
    let device = Device::flex().autodiff();
    let (mut model, batch) = (normed(3, 0.0, &device), samples(12, 103, &device));
    let folder = std::env::temp_dir().join(format!("kfac-modes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = KfacOptimizerConfig::stochastic(0.1);
    let mut whole = config.init(&capture(&model, batch.clone()), TARGET).unwrap();
    for _ in 0..5 {
        (model, _) = whole.step(&model, batch.clone()).unwrap();
    }
    whole.state().unwrap().save(folder.join("optimizer")).unwrap();
    model.clone().into_record().save(folder.join("model")).unwrap();

    let record = burn::store::ModuleRecord::load(folder.join("model")).unwrap();
    let mut other = normed(4, 0.0, &device).load_record(record);
    let state = KfacOptimizerState::load(folder.join("optimizer")).unwrap();
    let stranger = capture(&normed(3, 0.0, &device), batch.clone());
    let error = config.resume(&stranger, TARGET, &state);
    let Some(OptimizerError::Instance { parameters: others }) = failure(&error) else {
        panic!("{error:?}");
    };
    assert_eq!(others.len(), 6);
    let mut resumed = config.resume(&capture(&other, batch.clone()), TARGET, &state).unwrap();
    assert_eq!(statistics(&other), statistics(&model));
    for _ in 0..6 {
        let (one, two);
        (model, one) = whole.step(&model, batch.clone()).unwrap();
        (other, two) = resumed.step(&other, batch.clone()).unwrap();
        assert_eq!(one, two);
        assert_eq!(parameters(&model), parameters(&other));
        assert_eq!(statistics(&model), statistics(&other));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// With dropout and by every rule: the loss in evaluation mode falls.
#[test]
fn networks_with_dropout_train() {
    let device = Device::flex().autodiff();
    for (config, steps) in [
        (KfacOptimizerConfig::stochastic(0.3), 40),
        (KfacOptimizerConfig::new().with_damping(1.0), 40),
    ] {
        for seed in 1..4 {
            let (mut model, batch) = (normed(seed, 0.25, &device), samples(12, seed, &device));
            let objective = capture(&model, batch.clone());
            let before = objective.value().unwrap();
            let mut optimizer = config.init(&objective, TARGET).unwrap();
            for _ in 0..steps {
                (model, _) = optimizer.step(&model, batch.clone()).unwrap();
            }
            let after = objective.at_model(&model).unwrap().value().unwrap();
            assert!(after < 0.7 * before, "seed {seed}: {before} to {after}");
        }
    }
}

/// The end of a schedule.
#[test]
fn a_rate_of_zero_is_no_step() {
    let device = Device::flex().autodiff();
    let (model, batch) = (normed(5, 0.0, &device), samples(12, 105, &device));
    let mut optimizer = KfacOptimizerConfig::stochastic(0.5)
        .with_kfac(without_draws())
        .init(&capture(&model, batch.clone()), TARGET)
        .unwrap();
    let (model, first) = optimizer.step(&model, batch.clone()).unwrap();
    assert!(first.limited && first.to_string().contains("limited"), "{first}");
    optimizer.set_learning_rate(0.0).unwrap();
    let (same, step) = optimizer.step(&model, batch).unwrap();
    assert_eq!(parameters(&same), parameters(&model));
    assert!(step.taken && !step.limited && step.alpha == 0.0, "{step}");
}

/// Captured as it trains: gradient and curvature are both those of the statistics of the batch.
#[test]
fn a_net_captured_in_training_mode_trains_with_drawn_targets() {
    let device = Device::flex().autodiff();
    let (start, batch) = (normed(3, 0.0, &device), samples(12, 103, &device));
    let training = CaptureConfig::new().training(1);
    let scalar = Objective::<B>::capture_with(&training, &start, batch.clone(), loss).unwrap();
    // The losses of the samples depend on each other: a scalar does not show what it is a mean of.
    let error = scalar.reduced_by(Reduction::Mean);
    assert!(matches!(failure(&error), Some(ObjectiveError::NotReducedSo { .. })));
    let by_sample = |model: &Normed, (x, y): Samples| {
        let z = model.norm.forward::<2>(model.hidden.forward(x));
        let z = model.output.forward(model.dropout.forward(tanh(z)));
        let logs = burn::tensor::activation::log_softmax(z.clone(), 1);
        (z, Loss::mean_of(logs.gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1).neg()))
    };
    let objective = Objective::<B>::capture_with(&training, &start, batch.clone(), by_sample);
    let objective = objective.unwrap();
    // Without draws the samples cannot be distinguished.
    let error = config(0.1).init(&objective, TARGET);
    assert!(matches!(failure(&error), Some(KfacError::Places { .. })), "{:?}", error.err());

    // G = I needs none: the step by hand.
    let forward = KfacConfig::new().with_fisher(KfacFisher::ForwardOnly);
    let mut optimizer = config(0.1).with_kfac(forward).init(&objective, TARGET).unwrap();
    let by_hand = apart(&start);
    let (_, value) = loss(&by_hand, batch.clone());
    let gradient = ParamVector::<B>::from_backward(&by_hand, value.backward()).unwrap();
    let kfac = forward.init(&objective, TARGET).unwrap();
    let delta = kfac.factored_inverse(1e-2).unwrap().apply(&gradient).unwrap();
    let expected = parameters(&delta.add_to(&by_hand, -0.1).unwrap());
    let (moved, _) = optimizer.step(&apart(&start), batch.clone()).unwrap();
    for (found, expected) in parameters(&moved).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }
    // The pass in training mode has updated the running statistics.
    assert_ne!(statistics(&moved), statistics(&start));

    for seed in 0..3 {
        let drawn = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 1, seed });
        let mut optimizer = config(0.1).with_kfac(drawn).init(&objective, TARGET).unwrap();
        let (mut model, mut values) = (apart(&start), Vec::new());
        for _ in 0..20 {
            let report;
            (model, report) = optimizer.step(&model, batch.clone()).unwrap();
            values.push(report.value);
        }
        assert!(values[19] < 0.5 * values[0], "seed {seed}: {values:?}");
    }
}
