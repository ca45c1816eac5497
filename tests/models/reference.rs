//! The material of other tests and of the benchmarks: the digits and the reference models. Does not use the library.

use burn::module::Module;
use burn::tensor::Device;

use crate::digits::{CLASSES, Digits, PIXELS};
use crate::models::{Case, cnn, mlp, tiny, transformer};
use crate::plain::{distance, loss_and_gradient, ndarray};

/// Relative difference of gradients in single precision.
const SINGLE: f64 = 1e-5;
/// The same where ndarray differentiates the tanh approximation of GELU.
const GELU: f64 = 2e-4;

#[test]
fn digits_are_complete() {
    let digits = Digits::load().expect("the file is well formed");
    assert_eq!(digits.len(), 1797);
    assert_eq!(digits.pixels.len(), 1797 * PIXELS);
    assert!(digits.pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
    let mut count = [0; CLASSES];
    for &label in &digits.labels {
        count[usize::try_from(label).expect("a class")] += 1;
    }
    assert_eq!(count, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    // The first row: its third pixel is 5 of 16, its class 0.
    assert_eq!((digits.pixels[2], digits.labels[0]), (0.3125, 0));
}

#[test]
fn digits_split_keeps_every_image_once_and_follows_the_seed() {
    let digits = Digits::load().expect("the file is well formed");
    let (train, test) = digits.split(1500, 3);
    assert_eq!((train.len(), test.len()), (1500, 297));
    assert_eq!(digits.split(1500, 3), (train.clone(), test.clone()));
    assert_ne!(digits.split(1500, 4).0, train);

    let rows = |part: &Digits| -> Vec<Vec<u32>> {
        let row = |(pixels, label): (&[f32], &i64)| {
            let bits = pixels.iter().map(|pixel| pixel.to_bits());
            bits.chain([*label as u32]).collect()
        };
        part.pixels.chunks_exact(PIXELS).zip(&part.labels).map(row).collect()
    };
    let mut shuffled = [rows(&train), rows(&test)].concat();
    let mut all = rows(&digits);
    shuffled.sort();
    all.sort();
    assert_eq!(shuffled, all);
}

#[test]
fn digits_become_tensors() {
    let digits = Digits::load().expect("the file is well formed").select(&[1, 0]);
    let device = Device::flex();
    assert_eq!(digits.images(&device).dims(), [2, PIXELS]);
    assert_eq!(digits.classes(&device).into_data().try_to_vec::<i32>().ok(), Some(vec![1, 0]));
}

#[test]
fn mlp_gradient_is_the_same_on_both_backends() {
    compare(mlp::case, 784 * 512 + 512 * 512 + 5120 + 1034, SINGLE);
}

#[test]
fn cnn_gradient_is_the_same_on_both_backends() {
    compare(cnn::case, 160 + 4640 + 8010, SINGLE);
}

#[test]
fn transformer_gradient_is_the_same_on_both_backends() {
    // Embeddings, projection, and per layer attention, feed-forward and two norms.
    let layer = 4 * (64 * 64 + 64) + (64 * 256 + 256) + (256 * 64 + 64) + 4 * 64;
    let parameters = 64 * 64 + 32 * 64 + (64 * 64 + 64) + 2 * layer;
    compare(transformer::case, parameters, GELU);
}

#[test]
fn tiny_gradient_is_the_same_on_both_backends() {
    compare(tiny::case, 26, SINGLE);
}

/// Loss and gradient on Flex and ndarray agree to `tolerance`, and the model has
/// `parameters` parameters.
fn compare<M: Module, B: Clone>(
    case: fn(&Device) -> Case<M, B>,
    parameters: usize,
    tolerance: f64,
) {
    let (flex_loss, flex) = loss_and_gradient(&case(&Device::flex().autodiff()));
    let (ndarray_loss, ndarray) = loss_and_gradient(&case(&ndarray().autodiff()));
    assert_eq!(flex.len(), parameters);
    assert_eq!(ndarray.len(), parameters);
    assert!((flex_loss - ndarray_loss).abs() <= 1e-5 * flex_loss.abs());

    let (difference, norm) = (distance(&flex, &ndarray), distance(&flex, &vec![0.0; parameters]));
    assert!(norm > 1e-3, "gradient of norm {norm} is too small to compare");
    assert!(difference <= tolerance * norm, "{difference} of {norm}");
}
