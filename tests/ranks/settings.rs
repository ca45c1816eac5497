//! What ranks must agree on when they share an objective, and what a shared objective refuses.

use burn::{module::Param, nn, prelude::*, tensor::activation::log_softmax};
use burn_curvature::{
    Error, Fisher, Jacobian, Likelihood, LinearOperator, Loss, Objective, Reduction,
    communicator::{Communicator, CommunicatorError, Counted, Threads},
    errors::{ObjectiveError, SharedError},
};

use crate::{
    compare::relative_error,
    device,
    failure::failure,
    run,
    shares::{self, Network},
};

/// The error of all of two ranks.
fn refused(
    work: impl Fn(std::sync::Arc<Threads>) -> Result<Objective, Error> + Send + Sync + 'static,
) -> SharedError {
    let found = run(2, work);
    let errors: Vec<_> = found.iter().map(|it| failure::<_, SharedError>(it).cloned()).collect();
    assert_eq!(errors[0], errors[1], "{found:?}");
    errors[0].clone().expect("an error")
}

fn differs(error: &SharedError, expected: &str) {
    match error {
        SharedError::Differs { what, ranks, .. } => {
            assert!(what.starts_with(expected), "{error}");
            assert_eq!(ranks, &[1], "{error}");
        }
        _ => panic!("{error}"),
    }
}

#[test]
fn the_ranks_agree_on_all_that_makes_an_objective() {
    let of = |seed: u64| shares::captured(&Network::new(seed, &device()), &device());
    differs(&refused(move |ranks| of(ranks.rank() as u64)?.shared(ranks)), "θ");
    differs(
        &refused(move |ranks| {
            let captured = of(4)?;
            if ranks.rank() == 1 {
                return captured.in_precision(burn_curvature::Precision::F32)?.shared(ranks);
            }
            captured.shared(ranks)
        }),
        "the precision",
    );
    differs(
        &refused(move |ranks| {
            let captured = of(4)?;
            if ranks.rank() == 1 {
                return captured.reduced_by(Reduction::Mean)?.shared(ranks);
            }
            captured.shared(ranks)
        }),
        "the reduction",
    );
    differs(
        &refused(|ranks| {
            let width = 3 + ranks.rank();
            let model = nn::LinearConfig::new(4, width).init(&device());
            let x = Tensor::<2>::ones([2, 4], &device());
            let loss = |model: &nn::Linear, x| model.forward(x).sum();
            Objective::capture(&model, x, loss)?.shared(ranks)
        }),
        "the layout",
    );
    // Stated afterwards, and not so on one rank.
    let found = run(2, move |ranks| {
        let reduction = if ranks.rank() == 0 { Reduction::Mean } else { Reduction::Sum };
        of(4)?.shared(ranks)?.over(shares::batches(0..1, &device()), reduction)
    });
    assert!(matches!(failure(&found[0]), Some(SharedError::OtherRank { rank: 1, .. })));
    assert!(matches!(failure(&found[1]), Some(ObjectiveError::NotReducedSo { .. })));
}

#[derive(Module, Debug)]
struct Frozen {
    weight: Param<Tensor<1>>,
    factor: Param<Tensor<1>>,
}

#[test]
fn frozen_weights_are_compared() {
    let found = refused(|ranks| {
        let factor = Tensor::from_floats([1.0 + ranks.rank() as f32], &device());
        let model = Frozen {
            weight: Param::from_tensor(Tensor::ones([1], &device())),
            factor: Param::from_tensor(factor).no_grad(),
        };
        let x = Tensor::<1>::ones([1], &device());
        let loss =
            |model: &Frozen, x: Tensor<1>| (model.weight.val() * model.factor.val() * x).sum();
        Objective::capture(&model, x, loss)?.shared(ranks)
    });
    differs(&found, "the tensors of the model");
}

#[test]
fn the_order_of_sharing_and_of_batches_does_not_matter() {
    let found = run(2, |ranks| {
        let device = device();
        let mine = || shares::batches(shares::share(ranks.rank(), 2), &device);
        let captured = shares::captured(&Network::new(4, &device), &device)?;
        let before = captured.shared(ranks.clone())?.over(mine(), Reduction::Mean)?;
        let after = captured.over(mine(), Reduction::Mean)?.shared(ranks.clone())?;
        let stream = mine();
        let shared = captured.shared(ranks.clone())?;
        let streamed = shared.over_stream(Reduction::Mean, move |visit| {
            stream.iter().cloned().try_for_each(visit)
        })?;
        let v = before.parameters().space().normal(1);
        let mut products = Vec::new();
        for risk in [&before, &after, &streamed] {
            products.push(risk.hessian_vector_product(&v)?.to_vec()?);
        }
        let again = after.shared(ranks.clone()).map(drop);
        Ok((products, again))
    });
    for outcome in found {
        let (products, again) = outcome.unwrap();
        assert_eq!((&products[0], &products[0]), (&products[1], &products[2]));
        assert_eq!(failure(&again), Some(&SharedError::Again));
    }
}

/// A rank with a number that none of two has.
#[derive(Debug)]
struct Misnumbered(usize);

impl Communicator for Misnumbered {
    fn rank(&self) -> usize {
        self.0
    }

    fn size(&self) -> usize {
        2
    }

    fn sum_f32(&self, _: &mut [f32]) -> Result<(), CommunicatorError> {
        Ok(())
    }

    fn sum_f64(&self, _: &mut [f64]) -> Result<(), CommunicatorError> {
        Ok(())
    }
}

#[test]
fn ranks_are_numbered_from_zero() {
    let captured = shares::captured(&Network::new(4, &device()), &device()).unwrap();
    for rank in [2, 3] {
        let found = captured.shared(std::sync::Arc::new(Misnumbered(rank))).map(drop);
        assert_eq!(failure(&found), Some(&SharedError::NoSuchRank { rank, size: 2 }));
    }
}

/// The captured batches of all ranks are the data if no others are given.
#[test]
fn the_captured_batches_count_if_there_are_no_others() {
    let found = run(2, |ranks| {
        let device = device();
        let model = Network::new(4, &device);
        let own = shares::batch(3 + ranks.rank(), &device); // eight samples and five
        let captured = Objective::capture(&model, own, shares::cross_entropy)?.in_f64()?;
        let unknown = captured.shared(ranks.clone())?;
        let refused = unknown.value().map(drop);
        let stated = unknown.reduced_by(Reduction::Mean)?.value()?;
        let before = captured.reduced_by(Reduction::Mean)?.shared(ranks.clone())?.value()?;
        let on = captured.reduced_by(Reduction::Mean)?.shared(ranks.clone())?;
        let on = on.on(shares::batch(3 + ranks.rank(), &device))?.value()?;
        Ok((refused, [stated, before, on]))
    });
    let captured = shares::captured(&Network::new(4, &device()), &device()).unwrap();
    let truth = captured.over(shares::batches(3..5, &device()), Reduction::Mean).unwrap();
    let truth = truth.value().unwrap();
    for outcome in found {
        let (refused, values) = outcome.unwrap();
        assert_eq!(failure(&refused), Some(&ObjectiveError::NoReduction));
        for value in values {
            assert!((value / truth - 1.0).abs() < 1e-13, "{value} {truth}");
        }
    }
}

/// Whether a rank keeps its objectives or drops them is its own affair.
#[test]
fn objectives_may_live_longer_on_one_rank() {
    let found = run(2, |ranks| {
        let mut kept = Vec::new();
        let mut values = Vec::new();
        for _ in 0..3 {
            let risk = shares::risk(&Network::new(4, &device()), Some(ranks.clone()), &device())?;
            values.push(risk.value()?);
            if ranks.rank() == 0 {
                kept.push(risk);
            }
        }
        Ok(values)
    });
    for values in found {
        let values = values.unwrap();
        assert!(values.iter().all(|value| *value == values[0]));
    }
}

/// First batches of eight samples and of five: the sum over samples has the same factor.
#[test]
fn sums_over_batches_of_unequal_sizes() {
    let captured = || {
        let sum = |model: &Network, (x, y): shares::Samples| {
            let z = model.forward(x);
            let chosen = log_softmax(z.clone(), 1).gather(1, y.unsqueeze_dim(1));
            (z, -chosen.sum())
        };
        Objective::capture(&Network::new(4, &device()), shares::batch(0, &device()), sum)?.in_f64()
    };
    let found = run(2, move |ranks| {
        let range = if ranks.rank() == 0 { 0..4 } else { 4..5 };
        let mine = || shares::batches(range.clone(), &device());
        let before = captured()?.shared(ranks.clone())?.over(mine(), Reduction::Sum)?;
        let after = captured()?.over(mine(), Reduction::Sum)?.shared(ranks)?;
        Ok([before.value()?, after.value()?])
    });
    let all = shares::batches(0..5, &device());
    let truth = captured().unwrap().over(all, Reduction::Sum).unwrap().value().unwrap();
    for values in found {
        for value in values.unwrap() {
            assert!((value / truth - 1.0).abs() < 1e-13, "{value} {truth}");
        }
    }
}

/// A rank whose samples all have weight zero has outputs all the same.
#[test]
fn batches_that_do_not_count_on_one_rank() {
    let captured = || {
        let weighted = |model: &Network, (x, y): shares::Samples| {
            let z = model.forward(x);
            let chosen = log_softmax(z.clone(), 1).gather(1, y.clone().unsqueeze_dim(1));
            let counts = y.equal_scalar(0).float();
            let losses = -chosen.squeeze_dim::<1>(1) * counts.clone();
            (z, Loss::weighted(losses.sum(), counts.sum()))
        };
        let batch = shares::batch(0, &device());
        Objective::capture(&Network::new(4, &device()), batch, weighted)?.in_f64()
    };
    // None of the samples of the second rank are of the class that counts.
    let batches = |rank: Option<usize>| {
        let (x, y) = shares::batch(0, &device());
        let counting = [shares::batch(1, &device())];
        let others = [(x, y.clone().ones_like())];
        let of = |own: usize| rank.is_none_or(|rank| rank == own);
        let own = counting.into_iter().filter(|_| of(0));
        own.chain(others.into_iter().filter(|_| of(1))).collect::<Vec<_>>()
    };
    let figures = |risk: &Objective| -> Result<Vec<Vec<f64>>, Error> {
        let space = risk.parameters().space();
        let jacobian = Jacobian::new(risk)?.apply(&space.normal(1))?;
        let product = risk.hessian_vector_product(&space.normal(2))?;
        // Targets are drawn for samples that do not count as well.
        let fisher = Fisher::exact(&risk.without_loss_check(), Likelihood::Categorical)?;
        let fisher = fisher.apply(&space.normal(2))?;
        let found = [risk.outputs()?, jacobian, risk.gradient()?, product, fisher];
        found.iter().map(|vector| Ok(vector.to_vec()?)).collect()
    };
    let found = run(2, move |ranks| {
        let mine = batches(Some(ranks.rank()));
        let kept = captured()?.shared(ranks.clone())?.over(mine.clone(), Reduction::Mean)?;
        let single = captured()?.shared(ranks.clone())?.on(mine[0].clone())?;
        let streamed = captured()?
            .shared(ranks)?
            .over_stream(Reduction::Mean, move |visit| mine.iter().cloned().try_for_each(visit))?;
        Ok([figures(&kept)?, figures(&single)?, figures(&streamed)?])
    });
    let truth = captured().unwrap().over(batches(None), Reduction::Mean).unwrap();
    let truth = figures(&truth).unwrap();
    for found in found {
        for found in found.unwrap() {
            for (found, truth) in found.iter().zip(&truth) {
                assert!(relative_error(found, truth) < 1e-12);
            }
        }
    }
}

#[test]
fn no_rank_has_a_batch() {
    let found = run(2, |ranks| {
        let shared = shares::captured(&Network::new(4, &device()), &device())?.shared(ranks)?;
        shared.over(Vec::<shares::Samples>::new(), Reduction::Mean)
    });
    for outcome in found {
        assert_eq!(failure(&outcome), Some(&ObjectiveError::NoBatches));
    }
}

/// One message per product, whatever the number of vectors and batches, of n elements each and nine in front.
#[test]
fn a_product_is_one_message() {
    let found = run(3, |ranks| {
        let counted = std::sync::Arc::new(Counted::new(ranks));
        let model = Network::new(4, &device());
        let risk = shares::risk(&model, Some(counted.clone()), &device())?;
        let hessian = burn_curvature::Hessian::new(&risk)?;
        let (n, v) = (risk.parameters().len() as u64, risk.parameters().space().normal(1));
        let mut seen = Vec::new();
        for vectors in [1, 4] {
            let before = counted.traffic();
            LinearOperator::apply_many(&hessian, &vec![v.clone(); vectors])?;
            let traffic = counted.traffic() - before;
            seen.push((traffic.sums, traffic.bytes, 8 * (9 + n * vectors as u64)));
        }
        Ok(seen)
    });
    for outcome in found {
        for (sums, bytes, expected) in outcome.unwrap() {
            assert_eq!((sums, bytes), (1, expected));
        }
    }
}
