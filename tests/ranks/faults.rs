//! Ranks that fail or part ways: an error on all ranks, never a wrong number and never a hang.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use burn::prelude::*;
use burn_curvature::{
    ConjugateGradientConfig, Error, GaussNewton, Hessian, LinearOperator, Objective, Reduction,
    communicator::{Communicator, CommunicatorError, Threads},
    errors::{ImplicitError, ObjectiveError, SharedError, VectorError},
    implicit::ImamlConfig,
};

use crate::{
    applied, device,
    failure::failure,
    run,
    shares::{self, Network},
};

fn risk(ranks: Arc<Threads>) -> Result<Objective, Error> {
    shares::risk(&Network::new(4, &device()), Some(ranks), &device())
}

#[test]
fn a_loss_that_is_not_finite_on_one_rank() {
    let found = run(3, |ranks| {
        let rank = ranks.rank();
        let device = device();
        let mine = shares::batches(rank..rank + 1, &device);
        let captured = shares::captured(&Network::new(4, &device), &device)?;
        let broken = Arc::new(AtomicBool::new(false));
        let breaks = Arc::clone(&broken);
        let risk = captured.shared(ranks)?.over_stream(Reduction::Mean, move |visit| {
            let factor = if breaks.load(Relaxed) { f32::NAN } else { 1.0 };
            mine.iter().cloned().try_for_each(|(x, y)| visit((x.mul_scalar(factor), y)))
        })?;
        let before = risk.value()?;
        broken.store(rank == 1, Relaxed);
        let v = risk.parameters().space().normal(1);
        let product = risk.at(&v)?.hessian_vector_product(&v).map(drop);
        let failed = [risk.value().map(drop), risk.gradient().map(drop)];
        broken.store(false, Relaxed);
        assert_eq!(risk.value()?, before);
        Ok((product, failed))
    });
    for (rank, outcome) in found.into_iter().enumerate() {
        let (product, failed) = outcome.unwrap();
        assert!(matches!(failure(&product), Some(VectorError::NonFinite { .. })), "{product:?}");
        for outcome in failed {
            match failure(&outcome) {
                Some(ObjectiveError::NotFiniteLoss { value, .. }) => {
                    assert_eq!(value.contains("on rank 1"), rank != 1, "{value}");
                }
                _ => panic!("{outcome:?}"),
            }
        }
    }
}

/// A rank whose vector is refused: its own error there, the rank's number and message elsewhere. A second product right
/// afterwards is that of an undisturbed objective.
#[test]
fn an_error_on_one_rank_is_an_error_on_all_and_work_goes_on() {
    let found = run(3, |ranks| {
        let rank = ranks.rank();
        let hessian = Hessian::new(&risk(ranks)?)?;
        let v = hessian.domain().normal(1);
        let other = hessian.domain().cast(burn_curvature::Precision::F32)?.zeros();
        let failed = hessian.apply(if rank == 2 { &other } else { &v });
        Ok((failed.map(drop), hessian.apply(&v)?.to_vec()?))
    });
    let alone = shares::risk::<Threads>(&Network::new(4, &device()), None, &device()).unwrap();
    let v = alone.parameters().space().normal(1);
    let truth = alone.hessian_vector_product(&v).unwrap().to_vec().unwrap();
    for (rank, outcome) in found.into_iter().enumerate() {
        let (failed, product) = outcome.unwrap();
        assert!(crate::compare::relative_error(&product, &truth) < 1e-12);
        if rank == 2 {
            let own = failure::<_, VectorError>(&failed);
            assert!(matches!(own, Some(VectorError::PrecisionMismatch { .. })), "{failed:?}");
        } else {
            match failure(&failed) {
                Some(SharedError::OtherRank { rank: 2, message }) => {
                    assert!(message.contains("f32"), "{message}");
                }
                _ => panic!("{failed:?}"),
            }
        }
    }
}

#[test]
fn other_vectors_and_other_parameters() {
    let found = run(3, |ranks| {
        let rank = ranks.rank() as u64;
        let risk = risk(ranks)?;
        let operator = GaussNewton::new(&risk)?;
        // The last bit of one element.
        let mut values = operator.domain().normal(1).to_vec()?;
        if rank == 1 {
            values[17] = f64::from_bits(values[17].to_bits() ^ 1);
        }
        let vector = operator.apply(&operator.domain().vector(&values)?).map(drop);
        let moved = risk.at(&operator.domain().normal(rank / 2))?.value().map(drop);
        let together = risk.at(&operator.domain().normal(8))?.value()?;
        Ok((vector, moved, together))
    });
    for outcome in found {
        let (vector, moved, together) = outcome.unwrap();
        assert!(together.is_finite());
        for (outcome, what, rank) in [(vector, "a vector", 1), (moved, "θ", 2)] {
            match failure(&outcome) {
                Some(SharedError::Differs { what: found, ranks, .. }) => {
                    assert!(found.starts_with(what), "{found}");
                    assert_eq!(ranks, &[rank]);
                }
                _ => panic!("{outcome:?}"),
            }
        }
    }
}

#[test]
fn other_calls() {
    let found = run(2, |ranks| {
        let rank = ranks.rank();
        let risk = risk(ranks)?;
        let hessian = Hessian::new(&risk)?;
        let v = hessian.domain().normal(1);
        let lengths = if rank == 0 { risk.value().map(drop) } else { hessian.apply(&v).map(drop) };
        // Equally many numbers.
        let calls = if rank == 0 {
            hessian.apply(&v).map(drop)
        } else {
            burn_curvature::FiniteSum::apply_term(&hessian, 0, &v).map(drop)
        };
        Ok((lengths, calls))
    });
    for outcome in found {
        let (lengths, calls) = outcome.unwrap();
        let lengths = failure::<_, CommunicatorError>(&lengths).cloned();
        assert!(matches!(lengths, Some(CommunicatorError::OtherCall { rank: 1, .. })));
        let calls = failure::<_, SharedError>(&calls).cloned();
        let expected = SharedError::OtherCall {
            rank: 1,
            expected: "a product",
            found: "the product of one batch",
        };
        assert_eq!(calls, Some(expected));
    }
}

/// Two objectives of the same ranks, in another order on one of them: no wrong number.
#[test]
fn other_objectives() {
    let found = run(2, |ranks| {
        let captured = shares::captured(&Network::new(4, &device()), &device())?;
        let over = |at: usize| {
            let shared = captured.shared(ranks.clone())?;
            shared.over(shares::batches(at..at + 1, &device()), Reduction::Mean)
        };
        let (first, second) = (over(0)?, over(1)?);
        let (one, other) = if ranks.rank() == 0 { (&first, &second) } else { (&second, &first) };
        Ok((one.value().map(drop), other.gradient().map(drop), first.value()?))
    });
    for outcome in found {
        let (one, other, _) = outcome.unwrap();
        for outcome in [one, other] {
            let found = failure::<_, SharedError>(&outcome).cloned();
            assert!(
                matches!(found, Some(SharedError::Differs { what: "the objective", .. })),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn fewer_calls_an_early_return_and_a_panic() {
    for fault in 0..3 {
        let found = run(3, move |ranks| {
            let rank = ranks.rank();
            let risk = risk(ranks)?;
            let calls = if rank == 2 { 1 } else { 2 };
            for _ in 0..calls {
                risk.gradient()?;
            }
            match fault {
                1 if rank == 2 => Err(Error::new(std::io::Error::other("no space left"))),
                2 if rank == 2 => panic!("out of range"),
                _ => Ok(()),
            }
        });
        for (rank, outcome) in found.into_iter().enumerate() {
            let between = failure::<_, CommunicatorError>(&outcome);
            if rank < 2 {
                let left = CommunicatorError::Left { rank: 2, panicked: fault == 2 };
                assert_eq!(between, Some(&left));
                continue;
            }
            match fault {
                0 => assert!(outcome.is_ok()),
                1 => assert!(outcome.unwrap_err().to_string().contains("no space left")),
                _ => match between {
                    Some(CommunicatorError::Panicked { rank: 2, message }) => {
                        assert!(message.contains("out of range"), "{message}");
                    }
                    _ => panic!("{outcome:?}"),
                },
            }
        }
    }
}

/// A batch that its closure cannot be recorded for, on one rank only.
#[test]
fn a_batch_that_cannot_be_recorded() {
    let found = run(2, |ranks| {
        let device = device();
        let mut mine = shares::batches(0..2, &device);
        if ranks.rank() == 1 {
            mine[1].0 = Tensor::zeros([8, 7], &device); // not four features
        }
        let captured = shares::captured(&Network::new(4, &device), &device)?;
        let shared = captured.shared(ranks)?;
        let failed = shared.over(mine, Reduction::Mean).map(drop);
        let again = shared.over(shares::batches(0..2, &device), Reduction::Mean)?;
        Ok((failed, again.value()?))
    });
    let mut values = Vec::new();
    for (rank, outcome) in found.into_iter().enumerate() {
        let (failed, value) = outcome.unwrap();
        let other = failure::<_, SharedError>(&failed);
        let of_other = matches!(other, Some(SharedError::OtherRank { rank: 1, .. }));
        assert_eq!(of_other, rank == 0, "{failed:?}");
        values.push(value.to_bits());
    }
    assert_eq!(values[0], values[1]);
}

/// An inner solver that fails on one rank: an error on all, and work goes on.
#[test]
fn an_inner_solver_that_fails_on_one_rank() {
    let found = run(3, |ranks| {
        let rank = ranks.rank();
        let network = Network::new(4, &device());
        let (objective, _) = applied::by_sample(&network, Some(ranks), &device())?;
        let imaml = ImamlConfig::new(2.0).init(&objective)?;
        let solver = ConjugateGradientConfig::new().init()?;
        let task = || [(shares::batch(rank, &device()), shares::batch(rank + 3, &device()))];
        let failed = imaml.meta_gradient_with(task(), &solver, |problem| {
            assert!(rank != 1, "no step here");
            Ok(problem.center().clone())
        });
        let after = imaml.meta_gradient(task(), &solver)?;
        Ok((failed.map(drop), after.gradient.to_vec()?))
    });
    let mut gradients = Vec::new();
    for (rank, outcome) in found.into_iter().enumerate() {
        let (failed, gradient) = outcome.unwrap();
        let own = failure::<_, ImplicitError>(&failed).is_some();
        assert_eq!(own, rank == 1, "{failed:?}");
        assert!(failed.unwrap_err().to_string().contains("no step here"));
        gradients.push(gradient);
    }
    assert!(gradients[0].iter().any(|element| *element != 0.0));
    assert!(gradients.iter().all(|gradient| *gradient == gradients[0]));
}
