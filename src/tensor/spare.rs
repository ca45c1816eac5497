//! Memory of large vectors that are gone, for the next ones.
//!
//! Fresh memory has to be cleared before it is returned, and costs a page fault for every page that is touched first. A
//! solver gives one vector away for every product that it asks for: the results of the product are written there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn_backend::{DType, Shape};
use burn_flex::{FlexTensor, Layout};

use super::flex::{held, owned};

/// Bytes below which memory is left to the allocator.
const SMALL: usize = 1 << 16;

/// Bytes kept, at most.
const KEPT: usize = 1 << 26;

/// Sizes of which memory is kept, at most.
const SIZES: usize = 1 << 8;

static SPARE: Mutex<Spare> = Mutex::new(Spare { sizes: Vec::new(), bytes: 0 });

/// What is kept. No more of a size than was asked for in vain: other vectors of that size come from elsewhere, and all of them
/// together would only grow.
struct Spare {
    /// The one that was asked for last at the end.
    sizes: Vec<Size>,
    bytes: usize,
}

/// Tensors of one size that nothing else uses.
struct Size {
    bytes: usize,
    dtype: DType,
    tensors: Vec<FlexTensor>,
    /// How many more may be kept.
    wanted: usize,
}

impl Spare {
    fn keep(&mut self, tensor: FlexTensor) {
        let (bytes, dtype) = (tensor.bytes().len(), tensor.dtype());
        let mut sizes = self.sizes.iter_mut();
        let Some(size) = sizes.find(|size| (size.bytes, size.dtype) == (bytes, dtype)) else {
            return;
        };
        if size.wanted > 0 && self.bytes + bytes <= KEPT {
            size.wanted -= 1;
            size.tensors.push(tensor);
            self.bytes += bytes;
        }
    }

    /// What is asked for will be left, and is wanted then.
    fn take(&mut self, bytes: usize, dtype: DType) -> Option<FlexTensor> {
        let found = self.sizes.iter().rposition(|one| (one.bytes, one.dtype) == (bytes, dtype));
        let mut size = match found {
            Some(place) => self.sizes.remove(place),
            None => Size { bytes, dtype, tensors: Vec::new(), wanted: 0 },
        };
        if self.sizes.len() >= SIZES {
            let oldest = self.sizes.remove(0);
            self.bytes -= oldest.bytes * oldest.tensors.len();
        }
        size.wanted += 1;
        let tensor = size.tensors.pop();
        self.sizes.push(size);
        self.bytes -= tensor.as_ref().map_or(0, |_| bytes);
        tensor
    }
}

fn spare() -> MutexGuard<'static, Spare> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a tensor of a backend is a large one of Flex that nothing else uses.
pub(crate) fn serves<T: 'static>(tensor: &T) -> bool {
    held(tensor).is_some_and(|tensor| tensor.is_unique() && tensor.bytes().len() >= SMALL)
}

/// Takes a tensor of a backend that is no longer needed. Its memory is kept if it [`serves`] and is wanted.
pub(crate) fn leave<T: 'static>(tensor: T) {
    if serves(&tensor)
        && let Some(tensor) = owned(tensor)
    {
        spare().keep(tensor);
    }
}

/// A tensor of any elements in memory that was left, if there is such.
pub(crate) fn take(shape: &Shape, dtype: DType) -> Option<FlexTensor> {
    let bytes = shape.num_elements() * dtype.size();
    let found = (bytes >= SMALL).then(|| spare().take(bytes, dtype))??;
    Some(in_shape(found, shape, dtype))
}

/// The memory of a tensor as a whole, in a shape of as many bytes.
pub(crate) fn in_shape(tensor: FlexTensor, shape: &Shape, dtype: DType) -> FlexTensor {
    let layout = tensor.layout();
    let is_same = tensor.dtype() == dtype && layout.shape() == shape;
    if is_same && layout.start_offset() == 0 && tensor.is_contiguous() {
        return tensor;
    }
    let data = tensor.data_arc();
    drop(tensor);
    FlexTensor::from_arc(data, Layout::contiguous(shape.clone()), dtype)
}

#[cfg(test)]
mod tests {
    use burn_backend::{DType, Shape, TensorData};
    use burn_flex::FlexTensor;

    use super::{KEPT, SIZES, SMALL, Spare, leave, take};

    fn tensor(shape: &[usize]) -> FlexTensor {
        let count = shape.iter().product();
        FlexTensor::from_data(TensorData::new(vec![1.0_f32; count], shape.to_vec()))
    }

    /// A size of this test alone, since tests share what is left.
    #[test]
    fn memory_that_was_left_serves_again() {
        let shape = [SMALL / 4 + 1, 3];
        let wanted = Shape::from(shape.to_vec());
        leave(tensor(&shape));
        assert!(take(&wanted, DType::F32).is_none()); // nobody had asked for it
        let kept = tensor(&shape);
        let place = kept.bytes().as_ptr();
        let other = kept.clone();
        leave(kept);
        assert!(take(&wanted, DType::F32).is_none()); // its elements are still read
        let view = other.transpose(0, 1);
        drop(other);
        leave(view);
        assert!(take(&wanted, DType::F64).is_none());
        let again = take(&wanted, DType::F32).expect("what was left");
        assert_eq!(again.bytes().as_ptr(), place);
        assert!(again.is_unique() && again.is_contiguous() && *again.layout().shape() == wanted);
        assert!(take(&wanted, DType::F32).is_none());
    }

    #[test]
    fn little_is_not_kept_and_much_is_bounded() {
        let little = Shape::from(vec![SMALL / 8]);
        assert!(take(&little, DType::F32).is_none());
        leave(tensor(&[SMALL / 8]));
        assert!(take(&little, DType::F32).is_none());
        let mut spare = Spare { sizes: Vec::new(), bytes: 0 };
        let part = KEPT / 4 / 3;
        for _ in 0..5 {
            assert!(spare.take(4 * part, DType::F32).is_none());
        }
        for kept in [1, 2, 3, 3] {
            spare.keep(tensor(&[part]));
            assert_eq!(spare.bytes, kept * 4 * part);
        }
        assert!(spare.take(4 * part, DType::F32).is_some());
        assert_eq!(spare.bytes, 2 * 4 * part);
    }

    /// As many of a size as were asked for in vain at once, and few sizes.
    #[test]
    fn no_more_is_kept_than_was_wanted() {
        let mut spare = Spare { sizes: Vec::new(), bytes: 0 };
        let bytes = 4 * SMALL;
        for _ in 0..2 {
            assert!(spare.take(bytes, DType::F32).is_none());
        }
        for kept in [1, 2, 2, 2] {
            spare.keep(tensor(&[SMALL]));
            assert_eq!(spare.bytes, kept * bytes);
        }
        for _ in 0..3 {
            assert!(spare.take(bytes, DType::F32).is_some());
            spare.keep(tensor(&[SMALL]));
            spare.keep(tensor(&[SMALL]));
            assert_eq!(spare.bytes, 2 * bytes);
        }
        for other in 0..SIZES {
            assert!(spare.take(bytes + 4 + 4 * other, DType::F32).is_none());
        }
        assert_eq!((spare.sizes.len(), spare.bytes), (SIZES, 0)); // the oldest had to go
    }
}
