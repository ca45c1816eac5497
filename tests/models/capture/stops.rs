//! Stop-gradients: recorded as constants to both derivatives, as PyTorch and JAX differentiate them.

use burn::{
    backend::{Autodiff, Flex},
    module::Module,
    prelude::*,
    tensor::activation::{log_softmax, softmax, tanh},
};
use burn_curvature::{CaptureConfig, Engine, Objective, errors::CaptureError};

use super::{Weights, batch, close, device, hessian, small, trace_error, weights};

fn x() -> Tensor<2> {
    Tensor::from_data([[1.0, 2.0], [-1.0, 0.5], [0.0, 3.0]], &device())
}

fn two() -> Weights<2> {
    weights([[0.25], [-0.75]])
}

#[test]
fn a_value_against_its_own_stopped_value() {
    let x = Tensor::<2>::from_data([[1.0, 2.0]], &device());
    let objective = Objective::capture(&two(), x, |m, x: Tensor<2>| {
        let f = x.matmul(m.w.val());
        (f.clone() - f.detach()).powf_scalar(2.0).sum()
    });
    close(&hessian(&objective.unwrap()), &[2.0, 4.0, 4.0, 8.0]); // 2 xᵀx
}

#[test]
fn a_stopped_term_beside_another_loss() {
    let y = Tensor::<2>::from_data([[1.0], [0.0], [-2.0]], &device());
    let objective = Objective::capture(&two(), (x(), y), |m, (x, y): (Tensor<2>, Tensor<2>)| {
        let f = x.matmul(m.w.val());
        let own = (f.clone() - f.clone().detach()).powf_scalar(2.0).sum();
        (f - y).powf_scalar(2.0).mean() + own * 10.0
    });
    // (2/3 + 20) xᵀx
    close(&hessian(&objective.unwrap()), &[41.0 + 1.0 / 3.0, 31.0, 31.0, 273.0 + 5.0 / 6.0]);
}

#[test]
fn a_product_with_its_own_stopped_value() {
    let model = weights::<1>([0.0, 0.0]);
    let objective =
        Objective::capture(&model, (), |m, ()| (m.w.val() * m.w.val().detach()).sum()).unwrap();
    close(&hessian(&objective), &[0.0; 4]);
    // w·sg(w)²: gradient w², Hessian 0; w²·sg(w): gradient 2w², Hessian 2w.
    let model = weights::<1>([0.5, -2.0]);
    let objective = Objective::capture(&model, (), |m: &Weights<1>, ()| {
        (m.w.val() * m.w.val().square().detach()).sum()
    });
    close(&hessian(&objective.unwrap()), &[0.0; 4]);
    let objective = Objective::capture(&model, (), |m: &Weights<1>, ()| {
        (m.w.val().square() * m.w.val().detach()).sum()
    });
    close(&hessian(&objective.unwrap()), &[1.0, 0.0, 0.0, -4.0]);
}

#[test]
fn a_frozen_clone_made_in_the_closure() {
    let model = weights::<1>([0.3, -0.4]);
    let objective = Objective::capture(&model, (), |m: &Weights<1>, ()| {
        let old = m.clone().no_grad();
        (m.w.val() - old.w.val()).square().sum()
    });
    close(&hessian(&objective.unwrap()), &[2.0, 0.0, 0.0, 2.0]);
}

#[test]
fn the_divergence_of_a_policy_from_itself() {
    // Σ p_old (log p_old − log p): H = diag(p) − p pᵀ in the logits.
    let logits = [0.2f64, -0.1, 0.4];
    let objective = Objective::capture(&weights([logits]), (), |m: &Weights<2>, ()| {
        let new = log_softmax(m.w.val(), 1);
        let old = new.clone().detach();
        (old.clone().exp() * (old - new)).sum()
    });
    let total: f64 = logits.iter().map(|z| z.exp()).sum();
    let p = logits.map(|z| z.exp() / total);
    let entry = |at: usize| {
        let (i, j) = (at / 3, at % 3);
        f64::from(u8::from(i == j)) * p[i] - p[i] * p[j]
    };
    close(&hessian(&objective.unwrap()), &(0..9).map(entry).collect::<Vec<_>>());
}

#[test]
fn a_stopped_target() {
    // Σ (xw − sg(2xw))²: gradient −2 Σ x²w, curvature 2 Σ x².
    let x = Tensor::<1>::from_data([1.0, 2.0], &device());
    let objective = Objective::capture(&weights::<1>([0.5]), x, |m, x: Tensor<1>| {
        let f = x * m.w.val();
        (f.clone() - (f * 2.0).detach()).square().sum()
    })
    .unwrap();
    close(&objective.gradient().unwrap().to_vec().unwrap(), &[-5.0]);
    close(&hessian(&objective), &[10.0]);
}

#[test]
fn a_straight_through_estimator() {
    // q = z + sg(round(z) − z): gradient 2(q − y)x, curvature 2x².
    let x = Tensor::<1>::from_data([2.0], &device());
    let objective = Objective::capture(&weights::<1>([0.7]), x, |m, x: Tensor<1>| {
        let z = x * m.w.val();
        let q = z.clone() + (z.clone().round() - z).detach();
        (q - 3.0).square().sum()
    })
    .unwrap();
    close(&objective.gradient().unwrap().to_vec().unwrap(), &[-8.0]);
    close(&hessian(&objective), &[8.0]);
}

#[test]
fn a_branch_of_a_network() {
    // The eager engine and the compiled one leave the tape alike; central differences of a copy with the target handed
    // in are the reference.
    let bent = |m: &super::Small, x: Tensor<2>| tanh(m.linear.forward(x));
    let loss = move |m: &super::Small, (x, y): (Tensor<2>, Tensor<2>)| {
        let z = bent(m, x);
        (z.clone() * z.detach() - y).square().mean()
    };
    let (input, target) = batch(5);
    let compiled = Objective::capture(&small(), (input.clone(), target.clone()), loss).unwrap();
    let stopped = bent(&small(), input.clone()).detach();
    let handed = (input.clone(), target.clone(), stopped);
    let reference = Objective::capture(
        &small(),
        handed,
        move |m: &super::Small, (x, y, stopped): (Tensor<2>, Tensor<2>, Tensor<2>)| {
            (bent(m, x) * stopped - y).square().mean()
        },
    );
    close(&hessian(&compiled), &hessian(&reference.unwrap()));
    let config = CaptureConfig::new().with_engine(Engine::Eager);
    let eager = Objective::<Autodiff<Flex>>::capture_with(&config, &small(), (input, target), loss);
    let v = compiled.parameters().space().normal(3).to_vec().unwrap();
    let eager = eager.unwrap();
    let found = eager.hessian_vector_product(&eager.parameters().space().vector(&v).unwrap());
    let expected =
        compiled.hessian_vector_product(&compiled.parameters().space().vector(&v).unwrap());
    let (found, expected) = (found.unwrap().to_vec().unwrap(), expected.unwrap().to_vec().unwrap());
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} and {b}");
    }
}

#[test]
fn a_stop_that_changes_nothing() {
    let logsumexp = Objective::capture(&weights([[0.2, -0.1, 0.4]]), (), |m: &Weights<2>, ()| {
        let z = m.w.val();
        let shift = z.clone().detach().max_dim(1);
        ((z - shift.clone()).exp().sum_dim(1).log() + shift.detach()).sum()
    });
    let plain = Objective::capture(&weights([[0.2, -0.1, 0.4]]), (), |m: &Weights<2>, ()| {
        m.w.val().exp().sum_dim(1).log().sum()
    });
    close(&hessian(&logsumexp.unwrap()), &hessian(&plain.unwrap()));
    // Burn's own stop within softmax, and one of the batch: nothing is added to the program.
    let objective = Objective::capture(&two(), x(), |m, x: Tensor<2>| {
        softmax(x.detach().matmul(m.w.val()), 0).square().sum()
    });
    let listing = objective.unwrap().loss_program().unwrap().to_string();
    assert!(!listing.contains("StopGradient"), "{listing}");
}

#[test]
fn a_loss_that_is_stopped_altogether_is_refused() {
    let error = trace_error(Objective::capture(&two(), x(), |m, x: Tensor<2>| {
        x.matmul(m.w.val()).detach().sum()
    }));
    assert_eq!(error, CaptureError::IndependentLoss);
}

/// Burn has no `to_device` for what is on a tape over the recording device.
#[test]
fn a_closure_that_cannot_be_searched_is_refused() {
    type Loss = fn(&Weights<2>, Tensor<2>) -> Tensor<1>;
    let cases: [Loss; 2] = [
        |m, x| {
            let f = x.clone().matmul(m.w.val()).to_device(&x.device());
            (f.clone() - f.detach()).powf_scalar(2.0).sum()
        },
        |m, x| {
            let f = x.matmul(m.w.val());
            let one = Tensor::<2>::ones([1, 1], &f.device()).to_device(&f.device());
            let f = f * one;
            (f.clone() - f.detach()).powf_scalar(2.0).sum()
        },
    ];
    for loss in cases {
        let error = trace_error(Objective::capture(&two(), x(), loss));
        assert!(matches!(error, CaptureError::NotSearched { .. }), "{error}");
        assert!(error.to_string().contains("to_device"), "{error}");
        CaptureConfig::new().unchecked().init(&two(), x(), loss).unwrap();
    }
}

/// Constants may be moved to the batch, to the parameters and to what is computed from the batch.
#[test]
fn stops_are_found_beside_constants_that_are_moved() {
    let x = Tensor::<2>::from_data([[1.0, 2.0]], &device());
    let one = Tensor::<2>::ones([1, 1], &device());
    for to_the_model in [false, true] {
        let one = one.clone().without_autodiff();
        let objective = Objective::capture(&two(), x.clone(), move |m, x: Tensor<2>| {
            let device = if to_the_model { m.w.val().device() } else { x.device() };
            let f = x.matmul(m.w.val()) * one.clone().to_device(&device);
            (f.clone() - f.detach()).powf_scalar(2.0).sum()
        });
        close(&hessian(&objective.unwrap()), &[2.0, 4.0, 4.0, 8.0]);
    }
}
