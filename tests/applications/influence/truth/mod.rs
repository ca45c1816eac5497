//! Ground truth: retrainings, random subsets, the proximal Bregman response, found labels.

mod bregman;
mod subsets;

use burn_curvature::{
    Error, ParamVector,
    errors::{ConfigError, InfluenceError, TruthError},
    influence::{
        Estimator, InfluenceConfig, Prediction,
        truth::{Agreement, Detection, Retraining, pearson, spearman},
    },
};

use super::retraining::{SAMPLES, rows_of, trained, world};
use crate::random::SplitMix64;

/// The kind of an error.
fn kind<E: std::error::Error + 'static>(error: &Error) -> &E {
    error.downcast_ref().unwrap_or_else(|| panic!("another kind: {error}"))
}

/// What a closure of a user's fails with.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("no more memory on the cluster")]
struct ClusterError;

type Outcome = Result<Vec<f64>, Box<dyn std::error::Error + Send + Sync>>;

#[test]
fn retrained_losses_agree_with_scores() {
    let world = world(3);
    let retrain = |kept: &[usize], _seed: u64| -> Result<ParamVector, Error> {
        Ok(trained(world.training.on(rows_of(&world.train, kept))?).parameters().clone())
    };
    let mut retraining = Retraining::of_parameters(SAMPLES, &world.queries, retrain);
    let left_out: Vec<usize> = (0..SAMPLES).step_by(5).collect();
    let changes = retraining.leave_one_out(&left_out).unwrap();
    assert_eq!((changes.samples, changes.groups[2].as_slice()), (SAMPLES, &[10][..]));

    let scores = world.influence.scores(&world.queries).unwrap();
    let agreements = changes.agreement(&scores).unwrap();
    assert_eq!(agreements.len(), 8);
    for agreement in &agreements {
        assert!(agreement.pearson > 0.98 && agreement.spearman > 0.9, "{agreement}");
        assert!((0.75..1.05).contains(&agreement.slope), "{agreement}");
    }
    let config = InfluenceConfig::new(Estimator::Dense(Default::default()))
        .with_prediction(Prediction::Upweighted);
    let upweighted = config.init(&world.training).unwrap().scores(&world.queries).unwrap();
    for (a, b) in agreements.iter().zip(changes.agreement(&upweighted).unwrap()) {
        assert!((a.pearson - b.pearson).abs() < 1e-10 && (a.slope - b.slope).abs() < 1e-10);
    }

    let group = vec![vec![0, 7, 12]];
    let together = retraining.leave_out(&group).unwrap();
    let kept: Vec<usize> = (0..SAMPLES).filter(|n| !group[0].contains(n)).collect();
    let theta = retrain(&kept, 0).unwrap();
    let after = InfluenceConfig::new(Estimator::Identity)
        .init(&world.queries.at(&theta).unwrap())
        .unwrap()
        .training_losses()
        .unwrap();
    for (query, after) in after.iter().enumerate() {
        assert!((together.row(query).unwrap()[0] - (after - together.before[query])).abs() < 1e-12);
    }
    assert!(together.row(after.len()).is_none());
}

#[test]
fn failures_and_panics_of_a_closure_are_errors() {
    let mut failing = Retraining::new(4, |kept, _| -> Outcome {
        if kept.len() < 4 { Err(ClusterError.into()) } else { Ok(vec![0.0]) }
    });
    let error = failing.leave_one_out(&[1]).unwrap_err();
    assert_eq!(error.downcast_ref::<ClusterError>(), Some(&ClusterError));

    let mut panicking = Retraining::new(4, |kept, _| -> Outcome { panic!("{} left", kept.len()) });
    let error = panicking.leave_one_out(&[1]).unwrap_err();
    let TruthError::Panicked { samples: 4, message, .. } = kind(&error) else { panic!("{error}") };
    assert!(message.contains("4 left"), "{message}");

    for (values, expected) in [
        (vec![], TruthError::Count { what: "the training closure", expected: 1, found: 0 }),
        (vec![1.0, 2.0], TruthError::Count { what: "the training closure", expected: 1, found: 2 }),
    ] {
        let mut wrong = Retraining::new(4, move |kept, _| -> Outcome {
            Ok(if kept.len() == 4 && !values.is_empty() { vec![1.0] } else { values.clone() })
        });
        assert_eq!(*kind::<TruthError>(&wrong.leave_one_out(&[1]).unwrap_err()), expected);
    }
    // A bad result does not decide how many values a good one has.
    for bad in [vec![], vec![f64::NAN]] {
        let mut first = Some(bad);
        let mut recovering = Retraining::new(4, move |kept, _| -> Outcome {
            Ok(first.take().unwrap_or_else(|| vec![1.0, kept.len() as f64]))
        });
        recovering.leave_one_out(&[1]).unwrap_err();
        assert_eq!(recovering.leave_one_out(&[1]).unwrap().before, [1.0, 4.0]);
    }
    let mut diverging = Retraining::new(4, |_, _| -> Outcome { Ok(vec![f64::NAN]) });
    let error = diverging.leave_one_out(&[1]).unwrap_err();
    assert!(matches!(kind(&error), TruthError::NotFinite { index: 0, .. }));
}

#[test]
fn groups_and_repeats_are_checked() {
    let fine = |kept: &[usize], seed: u64| -> Outcome { Ok(vec![kept.len() as f64 + seed as f64]) };
    let mut retraining = Retraining::new(3, fine);
    let error = |groups: &[Vec<usize>], retraining: &mut Retraining<'_>| {
        kind::<InfluenceError>(&retraining.leave_out(groups).unwrap_err()).clone()
    };
    let found = error(&[vec![3]], &mut retraining);
    assert_eq!(found, InfluenceError::NoSuchSample { group: 0, sample: 3, samples: 3 });
    let found = error(&[vec![0], vec![]], &mut retraining);
    assert_eq!(found, InfluenceError::EmptyGroup { group: 1 });
    let found = error(&[vec![1, 1]], &mut retraining);
    assert_eq!(found, InfluenceError::Repeated { group: 0, sample: 1 });
    let found = error(&[vec![0, 1, 2]], &mut retraining);
    assert_eq!(found, InfluenceError::NothingLeft { group: 0, samples: 3 });
    let none = Retraining::new(3, fine).with_repeats(0).leave_one_out(&[0]).unwrap_err();
    assert_eq!(kind::<ConfigError>(&none).field, "repeats");
    // No group: the truth of nothing, with f itself.
    let mut calls = Vec::new();
    let mut counted = Retraining::new(3, |kept, seed| -> Outcome {
        calls.push((kept.to_vec(), seed));
        Ok(vec![1.0])
    })
    .with_seed(5)
    .with_repeats(2);
    assert_eq!(counted.leave_out(&[]).unwrap().row(0), Some(&[][..]));
    counted.leave_one_out(&[1]).unwrap();
    drop(counted);
    assert_eq!(calls.len(), 6);
    assert_eq!(calls[4].0, [0, 2]);
    assert_eq!((calls[2].1, calls[3].1), (calls[4].1, calls[5].1)); // the same seeds for all sets
    assert_ne!(calls[2].1, calls[3].1);
}

#[test]
fn correlations_refuse_what_has_none() {
    for correlation in [pearson, spearman] {
        let constant = correlation(&[1.0, 2.0], &[3.0, 3.0]).unwrap_err();
        assert!(matches!(constant, TruthError::Constant { what: "the second list", count: 2, .. }));
        assert_eq!(correlation(&[1.0], &[2.0]), Err(TruthError::TooFew { found: 1 }));
        assert!(matches!(
            correlation(&[1.0, 2.0], &[1.0]),
            Err(TruthError::Count { expected: 2, found: 1, .. })
        ));
        let infinite = correlation(&[1.0, f64::INFINITY], &[1.0, 2.0]);
        assert!(matches!(infinite, Err(TruthError::NotFinite { index: 1, .. })));
    }
}

/// Scale, shift and monotone maps, and the slope.
#[test]
fn correlations_obey_their_laws() {
    for seed in [1, 2, 3] {
        let mut numbers = SplitMix64::new(seed);
        let x = numbers.normals(50);
        let y: Vec<f64> = x.iter().map(|x| 0.5 * x + numbers.normal()).collect();
        let agreement = Agreement::of(&x, &y).unwrap();
        let moved: Vec<f64> = x.iter().map(|x| -3.0 * x + 7.0).collect();
        let other = Agreement::of(&moved, &y).unwrap();
        assert!((agreement.pearson + other.pearson).abs() < 1e-12);
        assert!((agreement.slope * -3.0 - other.slope).abs() < 1e-12);
        let cubed: Vec<f64> = y.iter().map(|y| y.powi(3)).collect();
        assert_eq!(spearman(&x, &cubed).unwrap(), agreement.spearman);
        assert!((Agreement::of(&moved, &moved).unwrap().slope - 1.0).abs() < 1e-12);
    }
}

/// Pearson's correlation knows no units, down to the smallest numbers and up to the largest.
#[test]
fn correlations_do_not_depend_on_magnitudes() {
    for large in [1e-320, 1e-170, 1e-10, 1e200, f64::MAX] {
        let found = |x: &[f64], y: &[f64]| pearson(x, y).unwrap();
        assert!((found(&[0.0, large], &[0.0, 1.0]) - 1.0).abs() < 1e-15, "{large:e}");
        assert!((found(&[-large, large], &[large, -large]) + 1.0).abs() < 1e-15, "{large:e}");
        assert!(found(&[large, large, 0.0], &[0.0, 1.0, 0.5]).abs() < 1e-15, "{large:e}");
    }
    for (x, y) in [(1e200, 1e190), (1e-200, 1e-190), (1e160, 1e-140)] {
        let agreement = Agreement::of(&[0.0, x, 2.0 * x], &[0.0, y, 2.0 * y]).unwrap();
        assert!((agreement.pearson - 1.0).abs() < 1e-15, "{agreement}");
        assert!((agreement.spearman - 1.0).abs() < 1e-15, "{agreement}");
        assert!((agreement.slope * (y / x) - 1.0).abs() < 1e-14, "{agreement}");
    }
}

#[test]
fn wrong_samples_are_found_as_often_as_they_are_ahead() {
    let mut numbers = SplitMix64::new(9);
    let wrong: Vec<bool> = (0..200).map(|_| numbers.below(5) == 0).collect();
    let count = wrong.iter().filter(|wrong| **wrong).count();
    let perfect: Vec<f64> = wrong.iter().map(|&wrong| f64::from(u8::from(wrong))).collect();
    let found = Detection::new(&perfect, &wrong).unwrap();
    assert_eq!((found.wrong(), found.samples()), (count, 200));
    assert_eq!((found.auroc(), found.found_after(count)), (1.0, 1.0));
    let equal = Detection::new(&[4.0; 200], &wrong).unwrap();
    assert!((equal.auroc() - 0.5).abs() < 1e-12 && (equal.found_at(0.3) - 0.3).abs() < 1e-12);
    // Against counting pairs, with many ties.
    let scores: Vec<f64> = (0..200).map(|_| numbers.below(7) as f64).collect();
    let (mut even, mut pairs) = (0.0, 0.0);
    for (a, _) in scores.iter().zip(&wrong).filter(|(_, wrong)| **wrong) {
        for (b, _) in scores.iter().zip(&wrong).filter(|(_, wrong)| !**wrong) {
            even += if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            };
            pairs += 1.0;
        }
    }
    let found = Detection::new(&scores, &wrong).unwrap();
    assert!((found.auroc() - even / pairs).abs() < 1e-12);
    let nothing = Detection::new(&[1.0, 2.0], &[false, false]).unwrap_err();
    assert_eq!(nothing, TruthError::NothingToFind { wrong: 0, samples: 2 });
    assert!(matches!(Detection::new(&[1.0], &[true, false]), Err(TruthError::Count { .. })));
    let nan = Detection::new(&[f64::NAN, 1.0], &[true, false]);
    assert!(matches!(nan, Err(TruthError::NotFinite { index: 0, .. })));
}
