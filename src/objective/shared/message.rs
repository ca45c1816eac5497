//! One message for all that a pass has found: whether a rank failed, a fingerprint of the call, numbers and tensors.
//!
//! ```text
//! [ failed | fingerprint in 8 pieces | numbers in f64 | elements of tensors ]
//! ```
//!
//! A rank that failed sends zeros and a 1 in front, so that all learn of it from the same sum. Each rank compares the summed
//! fingerprint with p times its own.

use std::array;

use burn_backend::{AutodiffBackend, Element, TensorData};

use super::{
    Share, SharedError,
    stamp::{Call, Stamp, print_of, read},
};
use crate::{
    communicator::{CommunicatorError, Ranks},
    error::Error,
    objective::{Objective, ObjectiveError},
    space::{InnerFloat, ParamVector},
    tensor::{Operand, Precision},
};

/// What one rank has found, or the sum over all ranks.
pub(crate) struct Found<B: AutodiffBackend> {
    /// Sent in f64, whatever the precision of the objective.
    pub numbers: Vec<f64>,
    /// `None` is zero: that of a rank without batches.
    pub tensors: Vec<Option<InnerFloat<B>>>,
}

/// The shape of a tensor that is summed, and what of it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Extent {
    /// All elements.
    Whole(Vec<usize>),
    /// The triangles of symmetric matrices `[groups, size, size]`.
    Symmetric { groups: usize, size: usize },
}

/// What a call sums.
pub(crate) struct Sent<'a, B: AutodiffBackend> {
    pub call: Call,
    /// The vectors that the call depends on.
    pub vectors: &'a [ParamVector<B>],
    /// How many numbers there are.
    pub numbers: usize,
    pub extents: Vec<Extent>,
}

impl Extent {
    fn shape(&self) -> Vec<usize> {
        match self {
            Extent::Whole(shape) => shape.clone(),
            &Extent::Symmetric { groups, size } => vec![groups, size, size],
        }
    }

    /// Elements that are sent.
    pub fn len(&self) -> usize {
        match self {
            Extent::Whole(shape) => shape.iter().product(),
            Extent::Symmetric { groups, size } => groups * size * (size + 1) / 2,
        }
    }

    fn pack<N: Copy>(&self, elements: Vec<N>) -> Vec<N> {
        let &Extent::Symmetric { groups, size } = self else { return elements };
        let at = |group: usize, row: usize| (group * size + row) * size;
        let rows = (0..groups).flat_map(|group| (0..size).map(move |row| (group, row)));
        rows.flat_map(|(group, row)| elements[at(group, row) + row..at(group, row) + size].to_vec())
            .collect()
    }

    fn unpack<N: Copy + Default>(&self, sent: &[N]) -> Vec<N> {
        let &Extent::Symmetric { groups, size } = self else { return sent.to_vec() };
        let mut elements = vec![N::default(); groups * size * size];
        let mut sent = sent.iter();
        for group in 0..groups {
            for row in 0..size {
                for (column, &element) in (row..size).zip(&mut sent) {
                    elements[(group * size + row) * size + column] = element;
                    elements[(group * size + column) * size + row] = element;
                }
            }
        }
        elements
    }
}

/// An element type that messages are sent in.
trait Sum: Element + Default {
    fn sum(ranks: &Ranks, message: &mut [Self]) -> Result<(), CommunicatorError>;

    /// Appends numbers to a message.
    fn put(message: &mut Vec<Self>, numbers: &[f64], ranks: &Ranks);

    /// Elements that `put` appends.
    fn width(numbers: usize, ranks: &Ranks) -> usize;

    /// The sums of the numbers that all ranks have put.
    fn take(message: &[Self], numbers: usize, ranks: &Ranks) -> Vec<f64>;
}

impl Sum for f64 {
    fn sum(ranks: &Ranks, message: &mut [Self]) -> Result<(), CommunicatorError> {
        ranks.sum_f64(message)
    }

    fn put(message: &mut Vec<Self>, numbers: &[f64], _: &Ranks) {
        message.extend_from_slice(numbers);
    }

    fn width(numbers: usize, _: &Ranks) -> usize {
        numbers
    }

    fn take(message: &[Self], _: usize, _: &Ranks) -> Vec<f64> {
        message.to_vec()
    }
}

/// In f32, every rank's number has a place of its own, in bytes, which are exact.
impl Sum for f32 {
    fn sum(ranks: &Ranks, message: &mut [Self]) -> Result<(), CommunicatorError> {
        ranks.sum_f32(message)
    }

    fn put(message: &mut Vec<Self>, numbers: &[f64], ranks: &Ranks) {
        let start = message.len();
        message.resize(start + Self::width(numbers.len(), ranks), 0.0);
        let own = start + 8 * numbers.len() * ranks.rank();
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        for (place, byte) in message[own..].iter_mut().zip(bytes) {
            *place = f32::from(byte);
        }
    }

    fn width(numbers: usize, ranks: &Ranks) -> usize {
        8 * numbers * ranks.size()
    }

    fn take(message: &[Self], numbers: usize, _: &Ranks) -> Vec<f64> {
        let mut sums = vec![0.0; numbers];
        let (places, _) = message.as_chunks::<8>();
        for (at, place) in places.iter().enumerate() {
            sums[at % numbers.max(1)] += f64::from_le_bytes(place.map(|byte| byte as u8));
        }
        sums
    }
}

/// Failed, and the pieces of the fingerprint.
const HEADER: usize = 9;

/// The sum of a piece over all ranks must be exact in f32.
pub(super) const MOST_RANKS: usize = 1 << 16;

impl<B: AutodiffBackend> Objective<B> {
    /// The sum over all ranks of what each has found; what was found if the objective is not shared. Collective.
    ///
    /// # Errors
    /// If a rank failed, or the ranks do not agree: on all ranks, from the same call.
    pub(crate) fn summed(
        &self,
        sent: impl FnOnce() -> Sent<'a_sent, B>,
        own: Result<Found<B>, Error>,
    ) -> Result<Found<B>, Error> {
        let Some(share) = &self.settings.share else { return own };
        share.numbering()?;
        match self.precision() {
            Precision::F32 => self.sum_as::<f32>(share, &sent(), own),
            Precision::F64 => self.sum_as::<f64>(share, &sent(), own),
        }
    }
}
