//! Memory of large vectors that are gone, for the next ones.
//!
//! Fresh memory has to be cleared before it is handed out, and costs a page fault for every page that is touched first. A
//! solver gives one vector away for every product that it asks for: the results of the product are written there.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use burn_backend::{DType, Shape};
use burn_flex::{FlexTensor, Layout};

use super::flex::{held, owned};

/// Bytes below which memory is left to the allocator.
const SMALL: usize = 1 << 16;

/// Bytes kept, at most.
const KEPT: usize = 1 << 26;

static SPARE: Mutex<Spare> = Mutex::new(Spare { tensors: VecDeque::new(), bytes: 0 });

/// Tensors that nothing else uses, the oldest first.
struct Spare {
    tensors: VecDeque<FlexTensor>,
    bytes: usize,
}

impl Spare {
    /// Keeps the memory of a tensor; of what is kept, the oldest goes if it is too much.
    fn keep(&mut self, tensor: FlexTensor) {
        self.bytes += tensor.bytes().len();
        self.tensors.push_back(tensor);
        while self.bytes > KEPT
            && let Some(oldest) = self.tensors.pop_front()
        {
            self.bytes -= oldest.bytes().len();
        }
    }

    fn take(&mut self, bytes: usize, dtype: DType) -> Option<FlexTensor> {
        let fits = |kept: &FlexTensor| kept.bytes().len() == bytes && kept.dtype() == dtype;
        let found = self.tensors.iter().rposition(fits)?;
        self.bytes -= bytes;
        self.tensors.remove(found)
    }
}

fn spare() -> MutexGuard<'static, Spare> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a tensor of a backend that is no longer needed. Its memory is kept if it is a large one of Flex that nothing else
/// uses.
pub(crate) fn leave<T: 'static>(tensor: T) {
    let large = |tensor: &FlexTensor| tensor.is_unique() && tensor.bytes().len() >= SMALL;
    if held(&tensor).is_some_and(large)
        && let Some(tensor) = owned(tensor)
    {
        spare().keep(tensor);
    }
}

/// A tensor of any elements in memory that was left, if there is such.
pub(crate) fn take(shape: &Shape, dtype: DType) -> Option<FlexTensor> {
    let bytes = shape.num_elements() * dtype.size();
    let found = (bytes >= SMALL).then(|| spare().take(bytes, dtype))??;
    Some(in_shape(found, shape.clone(), dtype))
}

/// The memory of a tensor as a whole, in a shape of as many bytes.
pub(crate) fn in_shape(tensor: FlexTensor, shape: Shape, dtype: DType) -> FlexTensor {
    let layout = tensor.layout();
    let is_same = tensor.dtype() == dtype && *layout.shape() == shape;
    if is_same && layout.start_offset() == 0 && tensor.is_contiguous() {
        return tensor;
    }
    let data = tensor.data_arc();
    drop(tensor);
    FlexTensor::from_arc(data, Layout::contiguous(shape), dtype)
}

#[cfg(test)]
mod tests {
    use burn_backend::{DType, Shape, TensorData};
    use burn_flex::FlexTensor;

    use super::{KEPT, SMALL, Spare, leave, take};

    fn tensor(shape: &[usize]) -> FlexTensor {
        let count = shape.iter().product();
        FlexTensor::from_data(TensorData::new(vec![1.0_f32; count], shape.to_vec()))
    }

    /// A size of this test alone, since tests share what is left.
    #[test]
    fn memory_that_was_left_serves_again() {
        let shape = [SMALL / 4 + 1, 3];
        let wanted = Shape::from(shape.to_vec());
        assert!(take(&wanted, DType::F32).is_none());
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
        leave(tensor(&[SMALL / 8]));
        assert!(take(&Shape::from(vec![SMALL / 8]), DType::F32).is_none());
        let mut spare = Spare { tensors: Default::default(), bytes: 0 };
        let part = KEPT / 4 / 3;
        for count in [part, part, part + 1, part + 2] {
            spare.keep(tensor(&[count]));
        }
        assert!(spare.bytes <= KEPT);
        assert_eq!(spare.tensors.len(), 2); // the older ones had to go
        assert!(spare.take(4 * part, DType::F32).is_none());
        assert!(spare.take(4 * part + 4, DType::F32).is_some());
        assert_eq!(spare.bytes, 4 * part + 8);
    }
}
