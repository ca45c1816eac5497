//! The largest numbers that a field holds, scores beyond the range of a file's numbers, and results that were changed in a
//! file or by hand.

use std::ops::Range;

use burn::{module::Param, prelude::*};
use burn_curvature::{
    DirectConfig, Error, Loss, Objective, Precision,
    errors::{InfluenceError, StoreError, TruthError},
    influence::{
        Estimator, InfluenceConfig, Query, Scores,
        store::{StoreConfig, StoredScores},
        truth::{DatamodelConfig, Detection, Retraining},
    },
};

use super::{TEST, TRAINING, World, reports::Line};
use crate::failure::failure;

/// The largest numbers that a field holds.
#[test]
fn the_largest_counts_are_all_there_are() {
    let world = World::new(71);
    let config = InfluenceConfig::new(Estimator::Dense(DirectConfig::new())).with_damping(0.2);
    let expected = config.init(&world.training).unwrap().scores(&world.queries).unwrap();
    let all = config.clone().with_at_once(usize::MAX).init(&world.training).unwrap();
    assert_eq!(all.scores(&world.queries).unwrap().values(), expected.values());
    let mut rows = Vec::new();
    let report = all.visit_scores(&world.queries, Some(2..TEST), |block| {
        rows.push((block.first, block.rows));
        Ok(())
    });
    assert_eq!(report.unwrap().queries, TEST - 2);
    assert_eq!((rows.len(), rows[0].0, rows[0].1.len()), (1, 2, TEST - 2));
    for (row, expected) in rows[0].1.iter().zip(expected.rows().skip(2)) {
        assert!(crate::relative_error(row, expected) < 1e-12);
    }
    assert_eq!(all.self_influence().unwrap().scores.len(), TRAINING);
    for count in [TRAINING, usize::MAX / 2 + 1, usize::MAX] {
        let top = all.top(&world.queries, count).unwrap();
        assert_eq!((top.largest[0].len(), top.smallest[0].len()), (TRAINING, TRAINING));
        assert_eq!(expected.largest(0, count).len(), TRAINING);
    }
    for query in [TEST, usize::MAX / TRAINING, usize::MAX] {
        assert_eq!(expected.row(query), None);
        assert!(expected.largest(query, 3).is_empty());
    }
    for range in [0..usize::MAX, usize::MAX..usize::MAX, Range { start: 4, end: 2 }] {
        let found = all.visit_scores(&world.queries, Some(range), |_| Ok(()));
        assert!(matches!(failure(&found), Some(InfluenceError::QueryRange { .. })), "{found:?}");
    }
}

/// Gradients that f32 holds, and not their products: scores of samples are those of coordinates, s²/N for a slope s.
#[test]
fn self_influences_beyond_the_range_of_f32() {
    let device = Device::default().autodiff();
    let (one, two) = (&[0.5_f32][..], &[0.5_f32, 1.5][..]);
    for slope in [1e-25_f32, 1.0, 1e20] {
        for targets in [one, two] {
            let model = Line { w: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
            let y = Tensor::<1>::from_floats(targets, &device);
            let training = Objective::capture(&model, y, move |model, y: Tensor<1>| {
                Loss::mean_of((y + model.w.val()) * slope)
            });
            let training = training.unwrap();
            let influence = InfluenceConfig::new(Estimator::Identity).init(&training).unwrap();
            let expected = f64::from(slope).powi(2) / targets.len() as f64;
            for score in influence.self_influence().unwrap().scores {
                assert!((score / expected - 1.0).abs() < 1e-6, "{slope:e}: {score:e}");
            }
            let step = training.parameters().space().full(f64::from(slope));
            let along = influence.change_along(&step, &step).unwrap()[0];
            assert!((along / f64::from(slope).powi(2) - 1.0).abs() < 1e-6, "{slope:e}: {along:e}");
        }
    }
}

/// Scores beyond the range of the numbers on disk are no infinities there.
#[test]
fn scores_that_do_not_fit_into_the_file_are_refused() {
    let world = World::new(72);
    let config = InfluenceConfig::new(Estimator::Identity);
    let influence = config.init(&world.training).unwrap();
    let huge = vec![world.queries.gradient().unwrap().scale(1e80)];
    let path = std::env::temp_dir().join(format!("overflowing-{}.npy", std::process::id()));
    let narrow = StoreConfig::new().with_precision(Some(Precision::F32));
    let found = narrow.init(&influence, Query::Vectors(&huge)).unwrap().create(&path);
    assert!(matches!(failure(&found), Some(InfluenceError::NotFinite { .. })), "{found:?}");
    let whole = narrow.with_precision(None).init(&influence, Query::Vectors(&huge)).unwrap();
    let found = whole.create(&path);
    assert!(matches!(failure(&found), Some(StoreError::Exists { .. })), "{found:?}");
    for ending in ["npy", "npy.json"] {
        std::fs::remove_file(path.with_extension(ending)).unwrap();
    }
    let mut scores = whole.create(&path).unwrap();
    assert!(scores.row(0).unwrap().iter().any(|score| score.abs() > 1e40));
    // A description of more samples than any file holds.
    let description = path.with_extension("npy.json");
    let text = std::fs::read_to_string(&description).unwrap();
    let vast = text.replace("\"samples\": 30", &format!("\"samples\": {}", 1_u64 << 61));
    assert_ne!(vast, text);
    std::fs::write(&description, vast).unwrap();
    let found = StoredScores::open(&path);
    assert!(matches!(found, Err(StoreError::Damaged { .. })), "{found:?}");
    for ending in ["npy", "npy.json"] {
        std::fs::remove_file(path.with_extension(ending)).unwrap();
    }
}

/// A bit of each byte of a description, one at a time: an error of its own kind, or the scores as they were.
#[test]
fn every_byte_of_a_description_may_be_wrong() {
    let world = World::new(75);
    let config = InfluenceConfig::new(Estimator::Dense(DirectConfig::new())).with_damping(0.5);
    let influence = config.init(&world.training).unwrap();
    let path = std::env::temp_dir().join(format!("described-{}.npy", std::process::id()));
    let plan = StoreConfig::new().init(&influence, &world.queries).unwrap();
    let rows = |scores: &mut StoredScores| scores.row(3).unwrap();
    let expected = rows(&mut plan.create(&path).unwrap());
    let (description, numbers) = (path.with_extension("npy.json"), std::fs::read(&path).unwrap());
    let text = std::fs::read(&description).unwrap();
    let mut refused = 0;
    for at in 0..text.len() {
        let mut damaged = text.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&description, &damaged).unwrap();
        let run =
            || (StoredScores::open(&path).map(|mut found| rows(&mut found)), plan.resume(&path));
        let story = || String::from_utf8_lossy(&damaged[at.saturating_sub(20)..]).into_owned();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        let (opened, resumed) = found.unwrap_or_else(|_| panic!("a panic: {}", story()));
        refused += usize::from(opened.is_err());
        if let Ok(opened) = opened {
            assert!(opened == expected, "{}", story());
        }
        let typed = failure::<_, StoreError>(&resumed).is_some();
        assert!(resumed.is_ok() || typed, "{}: {resumed:?}", story());
        let after = std::fs::read(&path).unwrap();
        if resumed.is_err() {
            assert!(after == numbers, "{}", story());
        } else {
            std::fs::write(&path, &numbers).unwrap();
        }
    }
    assert!(refused > text.len() / 2, "{refused} of {}", text.len());
    for file in [&path, &description] {
        std::fs::remove_file(file).unwrap();
    }
}

/// Results that were changed in a file, or put together by hand.
#[test]
fn damaged_results_are_refused() {
    let world = World::new(73);
    let influence = InfluenceConfig::new(Estimator::Dense(DirectConfig::new()))
        .with_damping(0.5)
        .init(&world.training)
        .unwrap();
    let scores = influence.scores(&world.queries).unwrap();
    let text = serde_json::to_string(&scores).unwrap();
    assert_eq!(serde_json::from_str::<Scores>(&text).unwrap().samples(), TRAINING);
    for other in ["\"queries\":6", "\"queries\":18446744073709551615"] {
        let damaged = text.replacen("\"queries\":5", other, 1);
        assert_ne!(damaged, text);
        let error = serde_json::from_str::<Scores>(&damaged).unwrap_err().to_string();
        assert!(error.contains("150"), "{error}"); // the number of values that are there
    }

    let mut retraining = Retraining::new(TRAINING, |kept, _| {
        Ok::<_, Error>(vec![kept.iter().map(|&n| (n as f64).sin()).sum::<f64>(); TEST])
    });
    let subsets = DatamodelConfig::new().with_subsets(8).sample(&mut retraining).unwrap();
    assert!(subsets.score(&scores).is_ok());
    let mut damaged = subsets.clone();
    damaged.subsets[3][0] = TRAINING;
    let expected = TruthError::NoSuchSample { set: 3, sample: TRAINING, samples: TRAINING };
    assert_eq!(damaged.score(&scores).unwrap_err(), expected);
    let mut damaged = subsets;
    damaged.outputs[5].pop();
    assert!(matches!(damaged.score(&scores), Err(TruthError::Count { .. })));

    let mut changes = retraining.leave_one_out(&[0, 3, 5]).unwrap();
    assert!(changes.agreement(&scores).is_ok());
    changes.groups[1] = vec![usize::MAX];
    let expected = TruthError::NoSuchSample { set: 1, sample: usize::MAX, samples: TRAINING };
    assert_eq!(changes.agreement(&scores).unwrap_err(), expected);
    changes.groups.pop();
    changes.groups[1] = vec![3];
    assert!(matches!(changes.agreement(&scores), Err(TruthError::Count { .. })));

    let detection = Detection::new(&[0.3, 0.2, 0.1], &[true, false, false]).unwrap();
    let text = serde_json::to_string(&detection).unwrap();
    assert_eq!(serde_json::from_str::<Detection>(&text).unwrap(), detection);
    for damaged in [
        r#"{"found":[],"wrong":0}"#,
        r#"{"found":[0.0],"wrong":1}"#,
        r#"{"found":[0.0,1.0],"wrong":1}"#,
    ] {
        assert!(serde_json::from_str::<Detection>(damaged).is_err(), "{damaged}");
    }
    for (fraction, expected) in [(f64::NAN, 0.0), (-1.0, 0.0), (f64::INFINITY, 1.0), (2.0, 1.0)] {
        assert_eq!(detection.found_at(fraction), expected);
    }
}

/// Queries that were captured before the training, or evaluated elsewhere, are those at the training's parameters.
#[test]
fn queries_follow_the_training_to_its_parameters() {
    let world = World::new(74);
    let start = world.training.parameters();
    let trained = start.clone().axpy(0.5, &start.space().normal(1)).unwrap();
    let training = world.training.at(&trained).unwrap();
    let (early, there) = (&world.queries, world.queries.at(&trained).unwrap());
    for estimator in [Estimator::Dense(DirectConfig::new()), Estimator::Identity] {
        let influence = InfluenceConfig::new(estimator).with_damping(0.2).init(&training).unwrap();
        for [early, there] in [
            [Query::Samples(early), Query::Samples(&there)],
            [Query::Value(early), Query::Value(&there)],
        ] {
            let expected = influence.scores(there.clone()).unwrap();
            assert_eq!(influence.scores(early.clone()).unwrap().values(), expected.values());
            let change = |query| influence.change_along(start, query).unwrap();
            assert_eq!(change(early), change(there));
        }
    }
}
