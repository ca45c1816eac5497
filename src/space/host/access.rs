//! The numbers of a tensor as a slice, for the backends that show them. Knows Flex, also behind `Dispatch`.

#[cfg(feature = "flex")]
pub(super) use flex::{Shown, dtype, numbers, numbers_mut};
#[cfg(not(feature = "flex"))]
pub(super) use nowhere::{Shown, dtype, numbers, numbers_mut};

#[cfg(feature = "flex")]
mod flex {
    use std::any::Any;

    use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind};
    use burn_backend::{Backend, DType, Element, tensor::FloatTensor};
    use burn_flex::FlexTensor;

    /// Element type of a tensor whose numbers can be shown.
    pub fn dtype<B: Backend>(tensor: &FloatTensor<B>) -> Option<DType> {
        Some(shared::<B>(tensor)?.dtype())
    }

    /// All numbers, if they lie in order. The element type must be the tensor's.
    pub fn numbers<B: Backend, E: Shown>(tensor: &FloatTensor<B>) -> Option<&[E]> {
        let tensor = shared::<B>(tensor).filter(|tensor| tensor.dtype() == E::dtype())?;
        let (start, end) = tensor.layout().contiguous_offsets()?;
        E::numbers(tensor).get(start..end)
    }

    /// All numbers, if they lie in order and nobody else holds them. The element type must be the tensor's.
    pub fn numbers_mut<B: Backend, E: Shown>(tensor: &mut FloatTensor<B>) -> Option<&mut [E]> {
        let tensor = exclusive::<B>(tensor).filter(|tensor| tensor.dtype() == E::dtype())?;
        let (start, end) = tensor.layout().contiguous_offsets()?;
        E::numbers_mut(tensor)?.get_mut(start..end)
    }

    fn shared<B: Backend>(tensor: &FloatTensor<B>) -> Option<&FlexTensor> {
        let tensor = tensor as &dyn Any;
        match tensor.downcast_ref::<DispatchTensor>() {
            Some(tensor) => match &tensor.kind {
                DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => Some(tensor),
                _ => None,
            },
            None => tensor.downcast_ref(),
        }
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

    /// Numbers that a tensor can show.
    pub trait Shown: Element {
        fn numbers(tensor: &FlexTensor) -> &[Self];
        fn numbers_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]>;
    }

    impl Shown for f32 {
        fn numbers(tensor: &FlexTensor) -> &[Self] {
            tensor.storage()
        }

        fn numbers_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]> {
            tensor.try_storage_mut()
        }
    }

    impl Shown for f64 {
        fn numbers(tensor: &FlexTensor) -> &[Self] {
            tensor.storage()
        }

        fn numbers_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]> {
            tensor.try_storage_mut()
        }
    }
}

#[cfg(not(feature = "flex"))]
mod nowhere {
    use burn_backend::{Backend, DType, tensor::FloatTensor};

    pub fn dtype<B: Backend>(_: &FloatTensor<B>) -> Option<DType> {
        None
    }

    pub fn numbers<B: Backend, E: Shown>(_: &FloatTensor<B>) -> Option<&[E]> {
        None
    }

    pub fn numbers_mut<B: Backend, E: Shown>(_: &mut FloatTensor<B>) -> Option<&mut [E]> {
        None
    }

    pub trait Shown {}
    impl Shown for f32 {}
    impl Shown for f64 {}
}
