//! A likelihood is compared with the loss, by every operator that takes one.

use burn::{
    module::{Module, Param},
    nn::loss::CrossEntropyLossConfig,
    prelude::*,
    tensor::activation::log_softmax,
};
use burn_curvature::{
    EmpiricalFisher, Error, Fisher, Hessian, KfacConfig, Likelihood, LinearOperator, Loss,
    Objective, Reduction, errors::LikelihoodError, kfac::KfacFisher,
};

use super::{Labels, device, labels, weighted};

/// x W with x `[2, 3, 4]` for three tokens of each of two samples.
#[derive(Module, Debug)]
struct Tokens {
    w: Param<Tensor<2>>,
}

fn tokens() -> (Tokens, (Tensor<3>, Labels)) {
    let wave = |count: usize, step: f32| -> Vec<f32> {
        (0..count).map(|index| (step * (index as f32 + 1.0)).sin()).collect()
    };
    let w = Tensor::from_data(TensorData::new(wave(12, 1.7), [4, 3]), &device());
    let x = Tensor::from_data(TensorData::new(wave(24, 2.3), [2, 3, 4]), &device());
    (Tokens { w: Param::from_tensor(w) }, (x, labels([0, 1, 2, 2, 1, 0])))
}

impl Tokens {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        x.matmul(self.w.val().unsqueeze())
    }
}

#[test]
fn a_mean_over_tokens_is_refused_by_a_fisher_matrix_or_said() {
    let (model, batch) = tokens();
    let plain = Objective::capture(&model, batch.clone(), |model, (x, y)| {
        let z = model.forward(x);
        let loss = CrossEntropyLossConfig::new().init(&z.device());
        (z.clone(), loss.forward(z.flatten(0, 1), y))
    });
    let plain = plain.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap();
    let likelihood = Likelihood::Categorical;
    let refused = |error: Error| {
        let Some(LikelihoodError::LossIsNotLikelihood { ratio: Some(ratio), .. }) =
            error.downcast_ref()
        else {
            panic!("{error}");
        };
        assert!((ratio - 1.0 / 3.0).abs() < 1e-9);
        assert!(error.to_string().contains("Loss::mean_of"), "{error}");
    };
    refused(Fisher::exact(&plain, likelihood).unwrap_err());
    refused(Fisher::monte_carlo(&plain, likelihood, 1, 1).unwrap_err());
    let drawn = KfacFisher::MonteCarlo { draws: 1, seed: 1 };
    refused(KfacConfig::new().with_fisher(drawn).init(&plain, likelihood).unwrap_err());

    let said = Objective::capture(&model, batch, |model, (x, y)| {
        let z = model.forward(x);
        let losses = -log_softmax(z.clone().flatten::<2>(0, 1), 1).gather(1, y.unsqueeze_dim(1));
        (z, Loss::mean_of(losses.squeeze_dim(1)))
    });
    let said = said.unwrap().in_f64().unwrap();
    let v = said.parameters().space().normal(1);
    let expected = Hessian::new(&said).unwrap().apply(&v).unwrap();
    let found = Fisher::exact(&said, likelihood).unwrap().apply(&v).unwrap();
    assert!(found.sub(&expected).unwrap().norm().unwrap() < 1e-12);
}

#[test]
fn a_likelihood_that_is_not_the_loss_is_refused_by_name() {
    let (model, (x, y)) = tokens();
    let (x, y) = (x.flatten::<2>(0, 1), y);
    let capture = |loss: fn(Tensor<2>, Labels) -> (Tensor<2>, Tensor<1>)| {
        Objective::capture(
            &model,
            (x.clone(), y.clone()),
            move |model: &Tokens, (x, y): (Tensor<2>, _)| loss(x.matmul(model.w.val()), y),
        )
        .unwrap()
    };
    let right =
        capture(|z, y| (z.clone(), CrossEntropyLossConfig::new().init(&z.device()).forward(z, y)));
    let probabilities = capture(|z, y| {
        let loss = CrossEntropyLossConfig::new().init(&z.device()).forward(z.clone(), y);
        (burn::tensor::activation::softmax(z, 1), loss)
    });
    drop(probabilities);
    let of_probabilities = capture(|z, y| {
        let p = burn::tensor::activation::softmax(z, 1);
        (p.clone(), -p.log().gather(1, y.unsqueeze_dim(1)).mean())
    });
    for precise in [false, true] {
        let own = |objective: &Objective| {
            let objective = objective.reduced_by(Reduction::Mean).unwrap();
            if precise { objective.in_f64().unwrap() } else { objective }
        };
        let categorical = Likelihood::Categorical;
        assert!(KfacConfig::new().init(&own(&right), categorical).is_ok());
        assert!(KfacConfig::new().init_ekfac(&own(&right), categorical).is_ok());
        for (objective, likelihood) in [
            (&right, Likelihood::Bernoulli),
            (&right, Likelihood::Poisson),
            (&right, Likelihood::Gaussian { variance: 1.0 }),
            (&of_probabilities, categorical),
        ] {
            let objective = own(objective);
            let error = KfacConfig::new().init(&objective, likelihood).unwrap_err();
            assert!(
                matches!(
                    error.downcast_ref(),
                    Some(LikelihoodError::LossIsNotLikelihood { ratio: None, .. })
                ),
                "{error}"
            );
            assert!(Fisher::exact(&objective, likelihood).is_err());
            assert!(KfacConfig::new().init_ekfac(&objective, likelihood).is_err());
            assert!(KfacConfig::new().init(&objective.without_loss_check(), likelihood).is_ok());
        }
        let half = Likelihood::Gaussian { variance: 0.5 };
        let squares =
            capture(|z, _| (z.clone(), z.clone().powf_scalar(2.0).sum() / z.dims()[0] as f64));
        assert!(Fisher::exact(&own(&squares), half).is_ok());
        let error = Fisher::exact(&own(&squares), Likelihood::Gaussian { variance: 1.0 });
        assert!(error.unwrap_err().to_string().contains("2.000000 times"));
    }
}

#[test]
fn a_said_loss_is_the_plain_one_to_fisher_and_kfac() {
    let (model, (x, y)) = tokens();
    let batch = (x.flatten::<2>(0, 1), y);
    let plain =
        Objective::capture(&model, batch.clone(), |model: &Tokens, (x, y): (Tensor<2>, _)| {
            let z = x.matmul(model.w.val());
            (z.clone(), CrossEntropyLossConfig::new().init(&z.device()).forward(z, y))
        });
    let plain = plain.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap();
    let said =
        Objective::capture(&model, batch.clone(), |model: &Tokens, (x, y): (Tensor<2>, Labels)| {
            let z = x.matmul(model.w.val());
            let ones = y.ones_like().float();
            (z.clone(), weighted(z, y, ones))
        });
    let said = said.unwrap().in_f64().unwrap();
    let parts = |ranges: [std::ops::Range<usize>; 2]| {
        ranges.map(|range| (batch.0.clone().slice([range.clone()]), batch.1.clone().slice([range])))
    };
    let ragged = said.over(parts([0..4, 4..6]), Reduction::Mean).unwrap();
    let likelihood = Likelihood::Categorical;
    let v = plain.parameters().space().normal(2);
    let fishers =
        [KfacFisher::Exact, KfacFisher::Empirical, KfacFisher::MonteCarlo { draws: 2, seed: 3 }];
    for fisher in fishers {
        let config = KfacConfig::new().with_fisher(fisher);
        let figures = |objective: &Objective| {
            vec![
                config.init(objective, likelihood).unwrap().apply(&v).unwrap(),
                config.init_ekfac(objective, likelihood).unwrap().apply(&v).unwrap(),
                Fisher::exact(objective, likelihood).unwrap().apply(&v).unwrap(),
                EmpiricalFisher::new(objective).unwrap().apply(&v).unwrap(),
            ]
        };
        let expected = figures(&plain);
        let others = match fisher {
            KfacFisher::MonteCarlo { .. } => vec![&said], // other batches, other draws
            _ => vec![&said, &ragged],
        };
        for objective in others {
            for (found, expected) in figures(objective).iter().zip(&expected) {
                let error = found.clone().sub(expected).unwrap().norm().unwrap();
                assert!(error < 1e-10, "{fisher:?}: {error}");
            }
        }
    }
}
