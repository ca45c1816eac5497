//! States in files of Burn's format: resumed runs, and files that are refused.

use std::path::{Path, PathBuf};

use burn::{module::Module, tensor::Device};
use burn_curvature::{
    CaptureConfig, Objective, Precision, Reduction,
    errors::{OptimizerError, SavedStateError},
    kfac::{EkfacState, KfacState},
    optim::KfacOptimizerState,
};
use burn_pack::{Bytes, DType, Reader, Scalar, Tensor, Writer};

use super::{TARGET, optimizer, parameters, problem, resumed::configurations};
use crate::{B, Classifier, cross_entropy, samples};

/// A folder of a test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kfac-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Model and optimizer are saved to files; another objective, recorded from another model, continues from them.
#[test]
fn a_run_resumed_from_files_equals_an_uninterrupted_one() {
    let device = Device::flex().autodiff();
    let folder = Folder::new("resumed");
    for precision in [Precision::F32, Precision::F64] {
        for config in configurations() {
            let (mut model, batch, objective) = problem::<B>(1, &device);
            let objective = objective.in_precision(precision).unwrap();
            let mut whole = optimizer(&config, &objective);
            for _ in 0..5 {
                (model, _) = whole.step(&model, batch.clone()).unwrap();
            }
            whole.state().unwrap().save(folder.file("optimizer")).unwrap();
            let record = model.clone().into_record();
            record.save(folder.file("model")).unwrap();

            let record = burn::store::ModuleRecord::load(folder.file("model")).unwrap();
            let mut other = Classifier::new(9, &device).load_record(record);
            let capture = CaptureConfig::new();
            let first = samples(12, 5, &device);
            let objective = Objective::<B>::capture_with(&capture, &other, first, cross_entropy);
            let objective = objective.unwrap().in_precision(precision).unwrap();
            let objective = objective.reduced_by(Reduction::Mean).unwrap();
            let state = KfacOptimizerState::load(folder.file("optimizer.bpk")).unwrap();
            assert_eq!(state, whole.state().unwrap());
            let mut resumed = config.resume(&objective, TARGET, &state).unwrap();
            for _ in 0..8 {
                let (one, two);
                (model, one) = whole.step(&model, batch.clone()).unwrap();
                (other, two) = resumed.step(&other, batch.clone()).unwrap();
                assert_eq!(one, two);
                assert_eq!(parameters(&model), parameters(&other));
            }
        }
    }
}

/// A state and its file in memory.
fn saved() -> (KfacOptimizerState, Bytes) {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(1, &device);
    let mut whole = optimizer(&configurations()[0], &objective);
    whole.step(&model, batch).unwrap();
    let state = whole.state().unwrap();
    let bytes = state.to_bytes().unwrap();
    (state, bytes)
}

/// The file with its tensors, texts and version changed.
fn changed(
    bytes: &Bytes,
    change: impl Fn(&mut Vec<Tensor>, &mut Vec<(String, String)>, &mut Scalar),
) -> Bytes {
    let reader = Reader::from_bytes(bytes.clone()).unwrap();
    let mut texts: Vec<_> = reader.metadata().clone().into_iter().collect();
    let (key, mut version) = reader.scalars().clone().into_iter().next().unwrap();
    let mut tensors = reader.into_tensors().unwrap();
    change(&mut tensors, &mut texts, &mut version);
    let writer = Writer::new(tensors).with_scalar(&key, version);
    let writer = texts.iter().fold(writer, |writer, (key, text)| writer.with_metadata(key, text));
    writer.into_bytes().unwrap()
}

fn refusal(bytes: Bytes) -> SavedStateError {
    let error = KfacOptimizerState::from_bytes(bytes).unwrap_err();
    error.downcast_ref::<SavedStateError>().unwrap_or_else(|| panic!("{error}")).clone()
}

#[test]
fn files_hold_named_tensors_in_f64() {
    let (state, bytes) = saved();
    let same = changed(&bytes, |_, _, _| ());
    assert_eq!(KfacOptimizerState::from_bytes(same).unwrap(), state);
    let tensors = Reader::from_bytes(bytes).unwrap().into_tensors().unwrap();
    assert!(tensors.iter().all(|tensor| tensor.dtype == DType::F64));
    let shape = |name: &str| {
        let found = tensors.iter().find(|tensor| tensor.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).shape.to_vec()
    };
    assert_eq!(shape("average/hidden.weight/input"), [1, 5, 5]);
    assert_eq!(shape("average/output.weight/output"), [1, 3, 3]);
    assert_eq!(shape("previous"), [43]);
}

#[test]
fn files_of_other_kinds_and_versions_are_refused() {
    let (_, bytes) = saved();
    let error = KfacState::from_bytes(bytes.clone()).unwrap_err();
    let expected =
        SavedStateError::Kind { expected: "K-FAC", found: Some("the K-FAC optimizer".into()) };
    assert_eq!(error.downcast_ref(), Some(&expected));
    assert!(EkfacState::from_bytes(bytes.clone()).is_err());
    let newer = changed(&bytes, |_, _, version| *version = Scalar::UInt(2));
    let expected = SavedStateError::Version { supported: 1, found: Some(2) };
    assert_eq!(refusal(newer), expected);
    // A record of Burn is a burnpack file too.
    let (model, ..) = problem::<B>(1, &Device::flex().autodiff());
    let record = model.into_record().into_bytes().unwrap();
    let expected = SavedStateError::Kind { expected: "the K-FAC optimizer", found: None };
    assert_eq!(refusal(record), expected);
}

#[test]
fn damaged_files_are_refused() {
    let (_, bytes) = saved();
    let name = "average/hidden.weight/input";
    let position = |tensors: &[Tensor]| tensors.iter().position(|one| one.name == name).unwrap();
    let missing = changed(&bytes, |tensors, _, _| {
        tensors.remove(position(tensors));
    });
    assert_eq!(refusal(missing), SavedStateError::Missing { name: name.into() });
    let surplus = changed(&bytes, |tensors, _, _| {
        let mut one = tensors[0].clone();
        one.name = "more".into();
        tensors.push(one);
    });
    let expected = SavedStateError::Unknown { name: "more".into() };
    assert_eq!(refusal(surplus), expected);
    let turned = changed(&bytes, |tensors, _, _| {
        let at = position(tensors);
        tensors[at].shape = [5, 5, 1].into();
    });
    assert!(matches!(refusal(turned), SavedStateError::Shape { found, .. } if found == [5, 5, 1]));
    let converted = changed(&bytes, |tensors, _, _| {
        let (at, numbers) = (position(tensors), Bytes::from_bytes_vec(vec![0; 100]));
        tensors[at] = Tensor::new(name.into(), DType::F32, [1, 5, 5], None, numbers);
    });
    assert!(matches!(refusal(converted), SavedStateError::Format { .. }));
    let garbled = changed(&bytes, |_, texts, _| {
        let (_, text) = texts.iter_mut().find(|(key, _)| key.ends_with("description")).unwrap();
        text.truncate(40);
    });
    assert!(matches!(refusal(garbled), SavedStateError::Description { .. }));
    let cut = Bytes::from_bytes_vec(bytes[..bytes.len() - 8].to_vec());
    assert!(matches!(refusal(cut), SavedStateError::File { .. }));
    let error = KfacOptimizerState::load(Path::new("/nowhere/at/all.bpk")).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(SavedStateError::File { .. })), "{error}");
}

/// A whole file for another model: the same error as by any other format.
#[test]
fn files_of_other_models_are_refused() {
    let (_, bytes) = saved();
    let short = changed(&bytes, |tensors, _, _| {
        let at = tensors.iter().position(|one| one.name == "previous").unwrap();
        tensors[at] = Tensor::new(
            "previous".into(),
            DType::F64,
            [2],
            None,
            Bytes::from_bytes_vec(vec![0; 16]),
        );
    });
    let state = KfacOptimizerState::from_bytes(short).unwrap();
    let (_, _, objective) = problem::<B>(1, &Device::flex().autodiff());
    let error = configurations()[0].resume(&objective, TARGET, &state);
    let error = error.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(OptimizerError::State { .. })), "{error}");
}
