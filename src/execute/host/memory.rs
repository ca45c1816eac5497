//! Memory of results, used again.
//!
//! Fresh memory is cleared before it is returned and costs a page fault for every page that is touched first, which for
//! most operations is more than their arithmetic. So what a program no longer needs serves its next results of the same
//! size, and the next run's. The memory held stays within what a run allows beside what is alive.

use burn_backend::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};

use super::kept::{KEPT, Store};
use crate::tensor::spare::{self, in_shape};

/// Bytes that may always stay unused: little compared with any program, and all that a small one needs.
const SLACK: usize = 1 << 16;

/// Smaller tensors are left to the allocator, which is as fast for them.
const SMALL: usize = 1 << 5;

/// Memory that no tensor uses at present.
#[derive(Default)]
pub(super) struct Memory {
    /// By age, the oldest first.
    free: Vec<Free>,
    pub bytes: usize,
    /// Bytes that an earlier run has left.
    pub left: usize,
    /// Bytes that may be kept after the run.
    pub room: usize,
}

/// A tensor that nothing uses.
struct Free {
    /// Of its memory.
    bytes: usize,
    tensor: FlexTensor,
}

impl Memory {
    /// What an earlier run has left.
    pub fn claim() -> Self {
        Store::locked().claim()
    }

    /// Bytes that may stay unused in a run of which so many are alive, and at most `peak`. `enough` is for a large program.
    ///
    /// More than the peak is held, since the rest has sizes that are not wanted at the time: twice the peak of a small program,
    /// and what is enough for a large one. Without it every run would give memory back where most is alive and ask for it
    /// again, which takes a large part of a program's time where the allocator hands it on to the system. What an earlier run
    /// has left stays within what is kept, so that a small run does not take it from the next large one.
    pub fn unused(&self, alive: usize, peak: usize, enough: usize) -> usize {
        let held = peak.max(peak.saturating_mul(2).min(KEPT)).max(enough);
        let left = self.left.min(self.room.saturating_sub(alive));
        held.saturating_sub(alive).max(left).max(SLACK)
    }

    /// Leaves the memory to a later run.
    pub fn leave(self) {
        Store::locked().keep(self);
    }

    /// A tensor of any elements. `allowed` bytes may stay unused next to it.
    pub fn tensor(&mut self, shape: &Shape, dtype: DType, allowed: usize) -> FlexTensor {
        let bytes = shape.num_elements() * dtype.size();
        let same = |free: &Free| free.bytes == bytes;
        if bytes >= SMALL
            && let Some(found) = self.free.iter().rposition(same)
        {
            self.bytes -= bytes;
            let free = self.free.remove(found).tensor;
            let again = in_shape(free, shape, dtype);
            #[cfg(test)]
            let again = soiled(again);
            return again;
        }
        self.shrink(allowed);
        let fresh = spare::take(shape, dtype).unwrap_or_else(|| fresh(shape.clone(), dtype));
        #[cfg(test)]
        let fresh = soiled(fresh);
        fresh
    }

    /// Takes the memory of a tensor that is no longer needed, unless something else uses it. `allowed` bytes may stay unused.
    pub fn take(&mut self, tensor: FlexTensor, allowed: usize) {
        let bytes = tensor.bytes().len();
        if bytes >= SMALL && tensor.is_unique() && bytes <= allowed {
            self.bytes += bytes;
            self.free.push(Free { bytes, tensor });
            self.shrink(allowed);
        }
    }

    /// Gives the oldest memory back to the system until no more than this is unused.
    pub fn shrink(&mut self, allowed: usize) {
        let mut given = 0;
        while self.bytes > allowed
            && let Some(oldest) = self.free.get(given)
        {
            self.bytes -= oldest.bytes;
            given += 1;
        }
        self.free.drain(..given);
    }
}

/// New memory. `FlexTensor::empty` makes a list of bytes and copies it, to align it.
fn fresh(shape: Shape, dtype: DType) -> FlexTensor {
    let count = shape.num_elements();
    let bytes = match dtype {
        DType::F32 => Bytes::from_elems(vec![0.0_f32; count]),
        DType::F64 => Bytes::from_elems(vec![0.0_f64; count]),
        DType::I32 => Bytes::from_elems(vec![0_i32; count]),
        DType::I64 => Bytes::from_elems(vec![0_i64; count]),
        _ => return FlexTensor::empty(shape, dtype),
    };
    FlexTensor::new(bytes, Layout::contiguous(shape), dtype)
}

/// With NaN everywhere, so that a test sees what is not written.
#[cfg(test)]
fn soiled(mut tensor: FlexTensor) -> FlexTensor {
    match tensor.dtype() {
        DType::F32 => tensor.storage_mut::<f32>().fill(f32::NAN),
        DType::F64 => tensor.storage_mut::<f64>().fill(f64::NAN),
        _ => {}
    }
    tensor
}

#[cfg(test)]
mod tests {
    use burn_backend::{DType, Shape};

    use super::{KEPT, Memory, SLACK};

    fn shape(count: usize) -> Shape {
        Shape::from(vec![count])
    }

    /// A small run keeps what a large one has left; a large one holds no more than is kept between runs.
    #[test]
    fn what_an_earlier_run_has_left_stays_within_what_is_kept() {
        let mut memory = Memory { left: KEPT / 2, room: KEPT, ..Memory::default() };
        assert_eq!(memory.unused(100, 200, 0), KEPT / 2);
        assert_eq!(memory.unused(KEPT / 4 * 3, KEPT, 0), KEPT / 4);
        assert_eq!(memory.unused(KEPT, 2 * KEPT, 0), KEPT);
        memory.left = 0;
        assert_eq!(memory.unused(100, 200, 0), SLACK);
        assert_eq!(memory.unused(KEPT / 8, KEPT / 4, 0), KEPT / 2 - KEPT / 8);
    }

    #[test]
    fn memory_serves_again_within_what_is_allowed() {
        let mut memory = Memory::default();
        let tensor = memory.tensor(&shape(1024), DType::F32, 0);
        let place = tensor.bytes().as_ptr();
        let other = tensor.clone();
        memory.take(tensor, 1 << 20);
        assert_eq!(memory.bytes, 0); // its elements are still read
        memory.take(other, 1 << 20);
        assert_eq!(memory.bytes, 4096);
        let again = memory.tensor(&Shape::from(vec![2, 256]), DType::F64, 0);
        assert_eq!((again.bytes().as_ptr(), memory.bytes), (place, 0));
        assert!(again.is_unique());
        memory.take(again, 4096);
        let larger = memory.tensor(&shape(2048), DType::F32, 4096);
        assert_eq!(memory.bytes, 4096);
        memory.take(larger, 8192 + 4095);
        assert_eq!(memory.bytes, 8192); // the older one had to go
    }
}
