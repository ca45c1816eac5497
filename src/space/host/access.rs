//! The elements of a tensor as a slice, for backends that give access to them: Flex, also behind `Dispatch`.

#[cfg(feature = "flex")]
pub(in super::super) use flex::holds;
#[cfg(feature = "flex")]
pub(super) use flex::{Contiguous, dtype, elements, elements_mut, tensor, views};
#[cfg(not(feature = "flex"))]
pub(in super::super) use nowhere::holds;
#[cfg(not(feature = "flex"))]
pub(super) use nowhere::{Contiguous, dtype, elements, elements_mut, tensor, views};

use std::any::Any;

use burn::backend::DispatchDevice;
use burn_backend::Backend;

/// Whether a device is this process's processor: that of Flex or ndarray.
pub(crate) fn is_processor<B: Backend>(device: &B::Device) -> bool {
    let device = device as &dyn Any;
    #[cfg(feature = "flex")]
    let typed = device.is::<burn_flex::FlexDevice>();
    #[cfg(not(feature = "flex"))]
    let typed = false;
    #[cfg(feature = "ndarray")]
    #[allow(deprecated)] // ndarray is deprecated in Burn 0.22, not gone.
    let typed = typed || device.is::<burn_ndarray::NdArrayDevice>();
    typed
        || match device.downcast_ref::<DispatchDevice>() {
            #[cfg(feature = "flex")]
            Some(DispatchDevice::Flex(_)) => true,
            #[cfg(feature = "ndarray")]
            Some(DispatchDevice::NdArray(_)) => true,
            _ => false,
        }
}

#[cfg(feature = "flex")]
mod flex {
    use std::{any::Any, ops::Range};

    use burn::backend::{BackendTensor, DispatchDevice, DispatchTensor, DispatchTensorKind};
    use burn_backend::{Backend, Bytes, DType, Element, tensor::FloatTensor};
    use burn_flex::{FlexDevice, FlexTensor, Layout};

    use crate::tensor::{
        Kind,
        flex::{held, wrap},
    };

    /// Whether tensors on a device have elements that can be accessed.
    pub fn holds<B: Backend>(device: &B::Device) -> bool {
        let device = device as &dyn Any;
        match device.downcast_ref::<DispatchDevice>() {
            Some(device) => matches!(device, DispatchDevice::Flex(_)),
            None => device.is::<FlexDevice>(),
        }
    }

    /// Element type of a tensor whose elements can be accessed.
    pub fn dtype<B: Backend>(tensor: &FloatTensor<B>) -> Option<DType> {
        Some(held(tensor)?.dtype())
    }

    /// All elements, if they are contiguous. The element type must be the tensor's.
    pub fn elements<B: Backend, E: Contiguous>(tensor: &FloatTensor<B>) -> Option<&[E]> {
        let tensor = held(tensor).filter(|tensor| tensor.dtype() == E::dtype())?;
        let (start, end) = tensor.layout().contiguous_offsets()?;
        E::elements(tensor).get(start..end)
    }

    /// All elements, if they are contiguous and no clone of the tensor is alive. The element type must be the tensor's.
    pub fn elements_mut<B: Backend, E: Contiguous>(
        tensor: &mut FloatTensor<B>,
    ) -> Option<&mut [E]> {
        let tensor = exclusive::<B>(tensor).filter(|tensor| tensor.dtype() == E::dtype())?;
        let (start, end) = tensor.layout().contiguous_offsets()?;
        E::elements_mut(tensor)?.get_mut(start..end)
    }

    /// A tensor of some elements, as many as the shape has.
    pub fn tensor<B: Backend, E: Contiguous>(
        elements: Vec<E>,
        shape: &[usize],
    ) -> Option<FloatTensor<B>> {
        let (strides, size) = strides(shape);
        let fits = size == elements.len();
        let layout = Layout::new(shape.iter().copied().into(), strides, 0);
        let bytes = Bytes::from_elems(elements);
        fits.then(|| wrap(FlexTensor::new(bytes, layout, E::dtype()), Kind::Float))?
    }

    /// Those of a tensor in order, and how many elements it has.
    fn strides(shape: &[usize]) -> (Vec<isize>, usize) {
        let (mut strides, mut size) = (vec![0; shape.len()], 1);
        for (stride, &of) in strides.iter_mut().zip(shape).rev() {
            *stride = size as isize;
            size *= of;
        }
        (strides, size)
    }

    /// Parts of the elements, each in a shape of as many, if all are contiguous.
    pub fn views<'a, B: Backend>(
        tensor: &FloatTensor<B>,
        parts: impl ExactSizeIterator<Item = (Range<usize>, &'a [usize])>,
    ) -> Option<Vec<FloatTensor<B>>> {
        let tensor = held(tensor)?;
        let (start, end) = tensor.layout().contiguous_offsets()?;
        let mut views = Vec::with_capacity(parts.len());
        for (part, shape) in parts {
            if start + part.end > end {
                return None;
            }
            let (strides, size) = strides(shape);
            if size != part.len() {
                return None;
            }
            let layout = Layout::new(shape.iter().copied().into(), strides, start + part.start);
            let view = FlexTensor::from_arc(tensor.data_arc(), layout, tensor.dtype());
            views.push(wrap(view, Kind::Float)?);
        }
        Some(views)
    }

    fn exclusive<B: Backend>(tensor: &mut FloatTensor<B>) -> Option<&mut FlexTensor> {
        let tensor = tensor as &mut dyn Any;
        if tensor.is::<FlexTensor>() {
            return tensor.downcast_mut();
        }
        match &mut tensor.downcast_mut::<DispatchTensor>()?.kind {
            DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// An element type whose storage can be accessed.
    pub trait Contiguous: Element {
        fn elements(tensor: &FlexTensor) -> &[Self];
        fn elements_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]>;
    }

    impl Contiguous for f32 {
        fn elements(tensor: &FlexTensor) -> &[Self] {
            tensor.storage()
        }

        fn elements_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]> {
            tensor.try_storage_mut()
        }
    }

    impl Contiguous for f64 {
        fn elements(tensor: &FlexTensor) -> &[Self] {
            tensor.storage()
        }

        fn elements_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]> {
            tensor.try_storage_mut()
        }
    }
}

#[cfg(not(feature = "flex"))]
mod nowhere {
    use std::ops::Range;

    use burn_backend::{Backend, DType, tensor::FloatTensor};

    pub fn holds<B: Backend>(_: &B::Device) -> bool {
        false
    }

    pub fn dtype<B: Backend>(_: &FloatTensor<B>) -> Option<DType> {
        None
    }

    pub fn elements<B: Backend, E: Contiguous>(_: &FloatTensor<B>) -> Option<&[E]> {
        None
    }

    pub fn elements_mut<B: Backend, E: Contiguous>(_: &mut FloatTensor<B>) -> Option<&mut [E]> {
        None
    }

    pub fn tensor<B: Backend, E: Contiguous>(_: Vec<E>, _: &[usize]) -> Option<FloatTensor<B>> {
        None
    }

    pub fn views<'a, B: Backend>(
        _: &FloatTensor<B>,
        _: impl ExactSizeIterator<Item = (Range<usize>, &'a [usize])>,
    ) -> Option<Vec<FloatTensor<B>>> {
        None
    }

    pub trait Contiguous: Copy + Default {}
    impl Contiguous for f32 {}
    impl Contiguous for f64 {}
}
