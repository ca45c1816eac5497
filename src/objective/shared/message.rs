//! One message for all that a pass has found: whether a rank failed, a fingerprint of the call, numbers and tensors.
//!
//! ```text
//! [ failed | fingerprint in 8 pieces | numbers in f64 | elements of tensors ]
//! ```
//!
//! A rank that failed sends zeros and a 1 in front, so that all learn of it from the same sum. Each rank compares the summed
//! fingerprint with p times its own.

use std::array;

use burn_backend::{AutodiffBackend, Element, ElementConversion, TensorData};

use super::{
    Share,
    stamp::{Call, Stamp, print_of, read},
};
use crate::{
    communicator::{CommunicatorError, Ranks},
    error::Error,
    objective::{Objective, ObjectiveError},
    space::{InnerFloat, ParamSpace, ParamVector},
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
pub(super) trait Sum: Element + Default {
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
    pub(crate) fn summed<'v>(
        &self,
        sent: impl FnOnce() -> Sent<'v, B>,
        own: Result<Found<B>, Error>,
    ) -> Result<Found<B>, Error> {
        let Some(share) = self.share() else { return own };
        share.numbering()?;
        match self.precision() {
            Precision::F32 => self.sum_as::<f32>(share, &sent(), own),
            Precision::F64 => self.sum_as::<f64>(share, &sent(), own),
        }
    }

    /// The sums of numbers and of vectors of a space.
    pub(crate) fn summed_vectors(
        &self,
        space: &ParamSpace<B>,
        (call, vectors): (Call, &[ParamVector<B>]),
        (numbers, results): (usize, usize),
        own: Result<(Vec<f64>, Vec<Option<ParamVector<B>>>), Error>,
    ) -> Result<(Vec<f64>, Vec<ParamVector<B>>), Error> {
        let blocks = space.layout().blocks();
        let sent = || {
            let one = blocks.iter().map(|block| Extent::Whole(block.shape().to_vec()));
            let extents = (0..results).flat_map(|_| one.clone()).collect();
            Sent { call, vectors, numbers, extents }
        };
        if !self.is_shared() {
            let (numbers, sums) = own?;
            let sums: Option<Vec<_>> = sums.into_iter().collect();
            return Ok((numbers, sums.ok_or(ObjectiveError::NoBatches)?));
        }
        let found = own.map(|(numbers, sums)| {
            let tensors = sums.into_iter().flat_map(|sum| match sum {
                Some(sum) => sum.into_blocks().into_iter().map(Some).collect(),
                None => vec![None; blocks.len()],
            });
            Found { numbers, tensors: tensors.collect() }
        });
        let found = self.summed(sent, found)?;
        let mut tensors = found.tensors.into_iter().flatten();
        let sums = (0..results).map(|_| {
            let blocks = tensors.by_ref().take(blocks.len()).collect();
            Ok(space.from_blocks(blocks)?)
        });
        Ok((found.numbers, sums.collect::<Result<_, Error>>()?))
    }

    /// The outcome of a check that may fail on some ranks only: an error on all of them then. Collective.
    pub(crate) fn agreed<T>(&self, own: Result<T, Error>) -> Result<T, Error> {
        let Some(share) = self.share() else { return own };
        let sent = Sent { call: Call::Agreement, vectors: &[], numbers: 0, extents: Vec::new() };
        let (own, outcome) = match own {
            Ok(own) => (Some(own), Ok(Found { numbers: Vec::new(), tensors: Vec::new() })),
            Err(error) => (None, Err(error)),
        };
        self.sum_as::<f64>(share, &sent, outcome)?;
        own.ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    pub(super) fn sum_as<N: Sum>(
        &self,
        share: &Share,
        sent: &Sent<'_, B>,
        own: Result<Found<B>, Error>,
    ) -> Result<Found<B>, Error> {
        let ranks = &*share.ranks;
        let stamp = self.stamp(share, sent);
        let length =
            N::width(sent.numbers, ranks) + sent.extents.iter().map(Extent::len).sum::<usize>();
        let own = stamp.clone().and_then(|_| own).and_then(|own| content(&own, sent, ranks));
        let pieces = stamp.as_ref().map_or(0, Stamp::print).to_le_bytes();
        let mut message = vec![N::default(); 1];
        message.extend(pieces.map(element::<N>));
        match &own {
            Ok(content) => message.extend_from_slice(content),
            Err(_) => message[0] = element(1),
        }
        message.resize(HEADER + length, N::default());
        N::sum(ranks, &mut message)?;
        let (header, content) = message.split_at(HEADER);
        if header[0].elem::<f64>() != 0.0 {
            return Err(share.failure(own.err())?);
        }
        let stamp = stamp?;
        let expected: [f64; 8] = array::from_fn(|at| f64::from(pieces[at]) * ranks.size() as f64);
        if header[1..].iter().zip(expected).any(|(sum, piece)| sum.elem::<f64>() != piece) {
            return Err(Stamp::difference(&ranks.gather(&stamp.words())?).into());
        }
        self.taken(content, sent, ranks)
    }

    fn stamp(&self, share: &Share, sent: &Sent<'_, B>) -> Result<Stamp, Error> {
        Ok(Stamp {
            call: sent.call,
            objective: share.number,
            parameters: self.values.print()?,
            vectors: print_of(sent.vectors)?,
        })
    }

    /// The sums in a message.
    fn taken<N: Sum>(
        &self,
        content: &[N],
        sent: &Sent<'_, B>,
        ranks: &Ranks,
    ) -> Result<Found<B>, Error> {
        let (numbers, mut rest) = content.split_at(N::width(sent.numbers, ranks));
        let mut tensors = Vec::with_capacity(sent.extents.len());
        for extent in &sent.extents {
            let (own, others) = rest.split_at(extent.len());
            let data = TensorData::new(extent.unpack(own), extent.shape());
            tensors.push(Some(
                Operand::<B::InnerBackend>::from_data(data, self.values.device())?.into_float()?,
            ));
            rest = others;
        }
        Ok(Found { numbers: N::take(numbers, sent.numbers, ranks), tensors })
    }
}

/// A small integer as an element.
fn element<N: Sum>(byte: u8) -> N {
    byte.elem()
}

/// What one rank puts into a message.
fn content<B: AutodiffBackend, N: Sum>(
    found: &Found<B>,
    sent: &Sent<'_, B>,
    ranks: &Ranks,
) -> Result<Vec<N>, Error> {
    let mut content = Vec::new();
    N::put(&mut content, &found.numbers, ranks);
    for (extent, tensor) in sent.extents.iter().zip(&found.tensors) {
        match tensor {
            Some(tensor) => content.extend(extent.pack(read::<B, N>(tensor.clone())?)),
            None => content.resize(content.len() + extent.len(), N::default()),
        }
    }
    Ok(content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::communicator::Threads;

    #[test]
    fn symmetric_matrices_go_as_triangles() {
        let extent = Extent::Symmetric { groups: 2, size: 3 };
        let of = |group: usize, row: usize, column: usize| {
            (100 * group + 10 * row.min(column) + row.max(column)) as f32
        };
        let elements: Vec<f32> = (0..18).map(|at| of(at / 9, at / 3 % 3, at % 3)).collect();
        let sent = extent.pack(elements.clone());
        assert_eq!((sent.len(), extent.len()), (12, 12));
        assert_eq!(extent.unpack(&sent), elements);
        let whole = Extent::Whole(vec![2, 3]);
        assert_eq!(whole.unpack(&whole.pack(vec![1, 2, 3, 4, 5, 6])), [1, 2, 3, 4, 5, 6]);
    }

    /// 2⁻⁶⁰ is lost beside 1 in f32 and in f64; each rank's number must arrive with all bits.
    #[test]
    fn numbers_in_a_message_of_f32_keep_their_bits() {
        let own = |rank: usize| [std::f64::consts::PI * 1e300, rank as f64 - 0.1, -0.0];
        let found = Threads::run(3, |ranks| {
            let ranks = Ranks::of(ranks);
            let mut message: Vec<f32> = vec![7.0];
            f32::put(&mut message, &own(ranks.rank()), &ranks);
            assert_eq!(message.len(), 1 + f32::width(3, &ranks));
            ranks.sum_f32(&mut message)?;
            Ok::<_, CommunicatorError>(f32::take(&message[1..], 3, &ranks))
        });
        let expected: Vec<f64> = (0..3).map(|at| (0..3).map(|rank| own(rank)[at]).sum()).collect();
        assert!(found.into_iter().all(|sums| sums.unwrap() == expected));
    }
}
