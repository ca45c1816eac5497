//! Sums of all elements of a tensor, with the same bits in every run.

use burn_backend::{AutodiffBackend, TensorMetadata, ops::FloatTensorOps};

use super::{Inner, InnerFloat, is_processor};

/// Elements that one thread adds up, about.
const ROUND: usize = 256;

/// The sum of all elements, of shape `[1]`.
///
/// A GPU's own sum of all elements adds atomically, in the order in which its threads arrive: other last bits in every run,
/// so that solvers on equal ranks part ways. A processor's own sum has a fixed order, and is used.
pub(crate) fn sum<B: AutodiffBackend>(tensor: InnerFloat<B>) -> InnerFloat<B> {
    if is_processor::<Inner<B>>(&tensor.device()) {
        return Inner::<B>::float_sum(tensor);
    }
    by_rounds::<B>(tensor)
}

/// Sums along one axis have a fixed order. Each round views what is left as a matrix and adds up its rows; ⌈log₂₅₆ n⌉ rounds
/// leave one element.
fn by_rounds<B: AutodiffBackend>(tensor: InnerFloat<B>) -> InnerFloat<B> {
    let mut rest = tensor;
    loop {
        let len = rest.shape().num_elements();
        let rows = rows(len);
        let missing = len.next_multiple_of(rows.max(1)) - len;
        if missing > 0 {
            rest = padded::<B>(rest, len, missing);
        }
        let columns = (len + missing) / rows.max(1);
        let matrix = Inner::<B>::float_reshape(rest, [rows, columns].into());
        rest = Inner::<B>::float_sum_dim(matrix, 0);
        if columns <= 1 {
            return Inner::<B>::float_reshape(rest, [1].into());
        }
    }
}

/// The height of a matrix of `len` elements in one of equally high rounds; one that divides `len` if there is one near.
fn rows(len: usize) -> usize {
    if len <= ROUND {
        return len;
    }
    let rounds = (len as f64).log(ROUND as f64).ceil();
    let least = (len as f64).powf(1.0 / rounds).ceil() as usize;
    (least..2 * least).find(|rows| len.is_multiple_of(*rows)).unwrap_or(least)
}

/// A list with zeros behind it.
fn padded<B: AutodiffBackend>(tensor: InnerFloat<B>, len: usize, zeros: usize) -> InnerFloat<B> {
    let (device, dtype) = (tensor.device(), tensor.dtype().into());
    let list = Inner::<B>::float_reshape(tensor, [len].into());
    let zeros = Inner::<B>::float_zeros([zeros].into(), &device, dtype);
    Inner::<B>::float_cat(vec![list, zeros], 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::{Autodiff, Flex};

    use super::*;
    use crate::space::{ParamSpace, read_tensor};

    #[test]
    fn sums_are_complete_on_flex() {
        sums_are_complete::<Autodiff<Flex>>();
    }

    #[cfg(feature = "ndarray")]
    #[test]
    #[allow(deprecated)]
    fn sums_are_complete_on_ndarray() {
        sums_are_complete::<Autodiff<burn::backend::NdArray>>();
    }

    /// Small integers, whose sum is exact in f64: also for prime n, and where a round has to be padded.
    fn sums_are_complete<B: AutodiffBackend>() {
        for n in (1..300).chain([1009, 16_384, 16_385, 65_537, 3 * 5 * 7 * 11 * 13 * 17, 1_000_003])
        {
            let values: Vec<f64> = (0..n).map(|at| (at % 1000) as f64).collect();
            let vector = ParamSpace::<B>::flat(n).unwrap().vector(&values).unwrap();
            let found = read_tensor::<B>(by_rounds::<B>(vector.flat_tensor())).unwrap();
            assert_eq!(found, [values.iter().sum::<f64>()], "{n}");
        }
    }

    #[test]
    fn rounds_are_short() {
        for n in [1, 128, 129, 1 << 20, 8_000_009, 1_000_000_007] {
            let (mut len, mut rounds) = (n, 0);
            while len > 1 {
                assert!(rows(len) <= 2 * ROUND, "{len}");
                len = len.div_ceil(rows(len));
                rounds += 1;
            }
            assert!(rounds <= (n as f64).log(256.0).ceil() as usize, "{n}: {rounds}");
        }
    }
}
