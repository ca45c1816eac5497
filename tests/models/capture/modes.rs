//! Models that train otherwise than they are evaluated, and how one says which is meant.

use burn::{
    config::{Config, config_to_json},
    module::Module,
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{CaptureConfig, Loss, Objective, errors::CaptureError};

use super::{batch, device, refusal};

#[derive(Module, Debug)]
struct Noisy {
    linear: Linear,
    norm: BatchNorm,
    dropout: Dropout,
}

fn noisy(dropout: f64) -> Noisy {
    let device = device();
    Noisy {
        linear: LinearConfig::new(3, 2).init(&device),
        norm: BatchNormConfig::new(2).init(&device),
        dropout: DropoutConfig::new(dropout).init(),
    }
}

fn noisy_loss(model: &Noisy, (x, y): (Tensor<2>, Tensor<2>)) -> Tensor<1> {
    let z: Tensor<2> =
        model.norm.forward(model.linear.forward(x).unsqueeze_dim::<3>(2)).squeeze_dim(2);
    (tanh(model.dropout.forward(z)) - y).powf_scalar(2.0).mean()
}

#[test]
fn training_mode_is_not_recorded_in_silence() {
    for dropout in [0.0, 0.5] {
        let error: CaptureError =
            refusal(Objective::capture(&noisy(dropout), batch(5), noisy_loss));
        let layers = ["`norm` (BatchNorm)", "`dropout` (Dropout)"].map(String::from).to_vec();
        assert_eq!(error, CaptureError::TrainingMode { layers });
        for way in [
            "2 layers are in",
            "`CaptureConfig::new().evaluation()",
            "`CaptureConfig::new().training(seed)",
        ] {
            assert!(error.to_string().contains(way), "{error}");
        }
    }
}

/// Equal samples, for which one mask in four gives the gradient of evaluation mode by chance.
#[test]
fn dropout_is_refused_whatever_mask_is_drawn() {
    let device = device();
    let ones = || Tensor::<2>::ones([4, 1], &device);
    let half = |p: f64| -> (Linear, Dropout) {
        (LinearConfig::new(1, 1).init(&device), DropoutConfig::new(p).init())
    };
    let loss = |(linear, dropout): &(Linear, Dropout), x: Tensor<2>| -> Tensor<1> {
        dropout.forward(linear.forward(x)).mean()
    };
    for _ in 0..40 {
        let error: CaptureError = refusal(Objective::capture(&half(0.5), ones(), loss));
        assert!(matches!(error, CaptureError::TrainingMode { .. }), "{error}");
        // Where random values are drawn once, nothing is compared with Burn.
        let drawn = CaptureConfig::new().draw_once(1).init(&half(0.5), ones(), loss);
        let error: CaptureError = refusal(drawn);
        assert!(matches!(error, CaptureError::TrainingMode { .. }), "{error}");
    }
    let harmless = Objective::capture(&half(0.0), ones(), loss);
    assert!(harmless.is_ok(), "{harmless:?}"); // nothing is dropped
}

#[test]
fn evaluation_mode_can_be_meant() {
    let model = noisy(0.5);
    let config = CaptureConfig::new().evaluation();
    let meant =
        Objective::capture_with(&config, &model, batch(5), noisy_loss).expect("evaluation mode");
    let valid = Objective::capture(&model.valid(), batch(5), noisy_loss).expect("evaluation mode");
    let plain: f32 = noisy_loss(&model.valid(), {
        let (x, y) = batch(5);
        (x.inner(), y.inner())
    })
    .into_scalar();
    let meant: &Objective<burn::backend::Autodiff<burn::backend::Dispatch>> = &meant;
    assert!((meant.value().expect("a loss") - f64::from(plain)).abs() < 1e-6);
    assert_eq!(meant.value().expect("a loss"), valid.value().expect("a loss"));
    assert_eq!(meant.layout().len(), 3 * 2 + 2 + 2 + 2);
}

#[test]
fn a_configuration_captures_by_itself_and_is_read_from_json_with_defaults() {
    let config: CaptureConfig = serde_json::from_str(r#"{"mode":"Evaluation"}"#).expect("a choice");
    assert_eq!(config, CaptureConfig::new().evaluation());
    // It is a configuration of Burn.
    let saved = config_to_json(&config.with_tolerance(1e-2));
    let loaded = CaptureConfig::load_binary(saved.as_bytes()).expect("a configuration");
    assert_eq!(loaded, config.with_tolerance(1e-2));
    let objective = config.init(&noisy(0.5), batch(5), noisy_loss).expect("evaluation mode");
    assert!(objective.value().is_ok());
}

/// Integers and truth values are where the floats of a batch are: layers in training mode see that in what is computed
/// from them.
#[test]
fn batches_of_integers_and_truth_values_train_as_burn_trains() {
    let device = device();
    let pixels = Tensor::<2, Int>::from_ints([[0, 3, 1], [2, 2, 5], [7, 1, 4]], &device);
    let counts = Tensor::<1, Bool>::from_data([true, false, true], &device);
    let norm = BatchNormConfig::new(3).init(&device);
    let config = CaptureConfig::new().training(1);

    let loss = |norm: &BatchNorm, (x, counts): (Tensor<2, Int>, Tensor<1, Bool>)| {
        let counts = counts.float();
        let losses = norm.forward::<2>(x.float()).exp().sum_dim(1).squeeze_dim::<1>(1);
        Loss::weighted((losses * counts.clone()).sum(), counts.sum())
    };
    let by_burn = loss(&norm, (pixels.clone(), counts.clone())).into_tensor();
    let objective = config.init(&norm, (pixels.clone(), counts), loss).unwrap();
    let by_burn = f64::from(by_burn.into_scalar::<f32>());
    assert!((objective.value().unwrap() / by_burn - 1.0).abs() < 1e-5);

    // Where something else is drawn, nothing is compared with Burn: e^(2·mask) is e² or 1.
    let dropout = DropoutConfig::new(0.5).init();
    let model = (LinearConfig::new(3, 2).init(&device), dropout);
    let masks = |(linear, dropout): &(Linear, Dropout), x: Tensor<2, Int>| {
        let mask = dropout.forward(x.clone().float().ones_like());
        (dropout.forward(linear.forward(x.float())).sum() * 0.0 + mask.exp().sum()).reshape([1])
    };
    let value = config.init(&model, pixels, masks).unwrap().value().unwrap();
    let kept = (value - 9.0) / (2.0_f64.exp() - 1.0);
    assert!((kept - kept.round()).abs() < 1e-4 && kept < 9.0, "{value}");
}
