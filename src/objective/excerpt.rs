//! Some elements of each tensor of a batch, by which a later pass over a stream recognizes it.

use burn_backend::{AutodiffBackend, Backend, DType, Shape, TensorData};

use crate::{
    error::Error,
    tensor::{Operand, reshape},
};

/// The most elements of each tensor.
const ELEMENTS: usize = 64;
/// Differences of floats that count as rounding, relative to the number and to the largest of the tensor: a stream may compute
/// them on a device that does not round in the same way every time.
const ROUNDING: f64 = 1e-3;
const CANCELLED: f64 = 1e-6;
/// The fractional parts of its multiples are spread evenly, whatever the sizes of rows (Weyl 1916).
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Elements at fixed places of each tensor.
#[derive(Clone, Debug)]
pub(super) struct Excerpt(Vec<Elements>);

#[derive(Clone, Debug)]
struct Elements {
    values: Box<[f32]>,
    is_float: bool,
}

impl Excerpt {
    /// Reads 64 elements of each tensor.
    #[inline(never)]
    pub fn of<B: AutodiffBackend>(batch: &[Operand<B::InnerBackend>]) -> Result<Self, Error> {
        batch.iter().map(elements).collect::<Result<_, _>>().map(Self)
    }

    /// Whether both are of the same batch.
    pub fn is_like(&self, other: &Self) -> bool {
        let mut pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && pairs.all(|(own, other)| own.is_like(other))
    }
}

impl Elements {
    fn is_like(&self, other: &Self) -> bool {
        let numbers = || self.values.iter().map(|&value| f64::from(value));
        let largest = numbers().map(f64::abs).filter(|value| value.is_finite()).fold(0.0, f64::max);
        let same = |(own, other): (f64, &f32)| {
            let other = f64::from(*other);
            let rounding = ROUNDING * own.abs() + CANCELLED * largest;
            // What is not finite is refused where it is found.
            own == other || (self.is_float && (own - other).abs() <= rounding) || !other.is_finite()
        };
        self.values.len() == other.values.len() && numbers().zip(&other.values).all(same)
    }
}

fn elements<B: Backend>(operand: &Operand<B>) -> Result<Elements, Error> {
    let total = operand.shape().num_elements();
    let is_float = operand.dtype().is_float();
    let chosen = if total > ELEMENTS { selected(operand, total)? } else { operand.clone() };
    let data = chosen.into_data()?;
    Ok(Elements { values: data.iter::<f32>().collect(), is_float })
}

/// Elements of a tensor with more of them.
fn selected<B: Backend>(operand: &Operand<B>, total: usize) -> Result<Operand<B>, Error> {
    let place = |at: usize| (((at + 1) as f64 * GOLDEN).fract() * total as f64) as i64;
    let places = TensorData::from((0..ELEMENTS).map(place).collect::<Vec<_>>().as_slice());
    let device = operand.device();
    let places = Operand::<B>::from_data(places, &device)?;
    let places = places.stored_on(&device, DType::F32.into()).into_int()?;
    let flat = Shape::from([total]);
    Ok(match operand.clone() {
        Operand::Float(tensor) => {
            Operand::Float(B::float_select(reshape::<B>(tensor, &[total]), 0, places))
        }
        Operand::Int(tensor) => {
            Operand::Int(B::int_select(B::int_reshape(tensor, flat), 0, places))
        }
        Operand::Bool(tensor) => {
            Operand::Bool(B::bool_select(B::bool_reshape(tensor, flat), 0, places))
        }
    })
}
