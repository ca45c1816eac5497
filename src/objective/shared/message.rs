//! One message for all that a pass has found: whether a rank failed, a fingerprint of the call, numbers and tensors.
//!
//! ```text
//! [ failed | fingerprint in 8 pieces | numbers in f64 | elements of tensors ]
//! ```
//!
//! A rank that failed sends zeros and a 1 in front, so that all learn of it from the same sum. Each rank compares the summed
//! fingerprint with p times its own.

use std::array;

use burn_backend::{AutodiffBackend, ElementConversion, TensorData};

use super::{
    Extent, Share,
    element::Sum,
    stamp::{Call, Stamp, print_of, read},
};
use crate::{
    communicator::Ranks,
    error::Error,
    objective::{Objective, ObjectiveError},
    space::{InnerFloat, ParamVector},
    tensor::{Operand, Precision},
};

/// What one rank has found, or the sum over all ranks.
pub(crate) struct Contribution<B: AutodiffBackend> {
    /// Sent in f64, whatever the precision of the objective.
    pub numbers: Vec<f64>,
    /// `None` is zero: that of a rank without batches.
    pub tensors: Vec<Option<InnerFloat<B>>>,
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
        own: Result<Contribution<B>, Error>,
    ) -> Result<Contribution<B>, Error> {
        let Some(share) = self.share() else { return own };
        share.numbering()?;
        match self.precision() {
            Precision::F32 => self.sum_as::<f32>(share, &sent(), own),
            Precision::F64 => self.sum_as::<f64>(share, &sent(), own),
        }
    }

    /// The outcome of a check that may fail on some ranks only: an error on all of them then. Collective.
    pub(crate) fn agreed<T>(&self, own: Result<T, Error>) -> Result<T, Error> {
        let Some(share) = self.share() else { return own };
        let sent = Sent { call: Call::Agreement, vectors: &[], numbers: 0, extents: Vec::new() };
        let (own, outcome) = match own {
            Ok(own) => (Some(own), Ok(Contribution { numbers: Vec::new(), tensors: Vec::new() })),
            Err(error) => (None, Err(error)),
        };
        self.sum_as::<f64>(share, &sent, outcome)?;
        own.ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    pub(super) fn sum_as<N: Sum>(
        &self,
        share: &Share,
        sent: &Sent<'_, B>,
        own: Result<Contribution<B>, Error>,
    ) -> Result<Contribution<B>, Error> {
        let ranks = &*share.ranks;
        let stamp = self.stamp(share, sent);
        let length =
            N::width(sent.numbers, ranks) + sent.extents.iter().map(Extent::len).sum::<usize>();
        let own = stamp.clone().and(own).and_then(|own| content(&own, sent, ranks));
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
    ) -> Result<Contribution<B>, Error> {
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
        Ok(Contribution { numbers: N::take(numbers, sent.numbers, ranks), tensors })
    }
}

/// A small integer as an element.
fn element<N: Sum>(byte: u8) -> N {
    byte.elem()
}

/// What one rank puts into a message.
fn content<B: AutodiffBackend, N: Sum>(
    found: &Contribution<B>,
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
