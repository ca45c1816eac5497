//! What ranks must agree on when they sum: the call, the objective, θ and the vectors, each as 64 bits.

use std::hash::{DefaultHasher, Hash, Hasher};

use burn_backend::AutodiffBackend;

use super::SharedError;
use crate::{
    error::Error,
    space::{InnerFloat, ParamVector},
    tensor::Operand,
};

/// A call in which ranks sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Agreement,
    Value,
    Gradient,
    Product,
    Term,
    Moments,
    Squares,
    Rows,
}

const NAMES: [&str; 8] = [
    "a check",
    "the loss",
    "the gradient",
    "a product",
    "the product of one batch",
    "factors of K-FAC, or corrected diagonals",
    "estimated diagonals",
    "results by row",
];

impl Call {
    fn code(self) -> u64 {
        match self {
            Call::Agreement => 0,
            Call::Value => 1,
            Call::Gradient => 2,
            Call::Product => 3,
            Call::Term => 4,
            Call::Moments => 5,
            Call::Squares => 6,
            Call::Rows => 7,
        }
    }
}

/// What one rank is about to sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub call: Call,
    pub objective: u64,
    pub parameters: u64,
    pub vectors: u64,
}

impl Stamp {
    pub const WORDS: usize = 4;

    pub fn words(&self) -> [u64; Self::WORDS] {
        [self.call.code(), self.objective, self.parameters, self.vectors]
    }

    /// All of it in 64 bits.
    pub fn print(&self) -> u64 {
        printed(&self.words())
    }

    /// The first difference between the stamps of all ranks, by their words.
    pub fn difference(all: &[Vec<u64>]) -> SharedError {
        let word = |stamp: &Vec<u64>, at: usize| stamp.get(at).copied().unwrap_or_default();
        let first = all.first().cloned().unwrap_or_default();
        let differing = |at: usize| -> Vec<usize> {
            let ranks = all.iter().enumerate();
            ranks.filter(|(_, it)| word(it, at) != word(&first, at)).map(|(rank, _)| rank).collect()
        };
        if let Some(&rank) = differing(0).first() {
            let name = |code: u64| NAMES.get(code as usize).copied().unwrap_or("something else");
            let found = all.get(rank).map_or(0, |it| word(it, 0));
            return SharedError::OtherCall {
                rank,
                expected: name(word(&first, 0)),
                found: name(found),
            };
        }
        for (at, what, advice) in [
            (1, "the objective", "use the same objectives in the same order on all ranks"),
            (2, "θ", "move all ranks by the same steps"),
            (
                3,
                "a vector, in its bits,",
                "use the same seeds on all ranks; devices of different kinds compute different last bits, and so do equal GPUs \
                 with Burn's feature `autotune`, which chooses kernels by time",
            ),
        ] {
            let ranks = differing(at);
            if !ranks.is_empty() {
                return SharedError::Differs { what, ranks, advice };
            }
        }
        SharedError::Differs {
            what: "a message",
            ranks: Vec::new(),
            advice: "the communicator did not deliver the same sums to all ranks",
        }
    }
}

/// 64 bits of anything, the same in every process of one program.
pub(super) fn printed(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// 64 bits of the elements of vectors.
pub(in crate::objective) fn print_of<B: AutodiffBackend>(
    vectors: &[ParamVector<B>],
) -> Result<u64, Error> {
    let mut print = vectors.len() as u64;
    for block in vectors.iter().flat_map(|vector| vector.blocks()) {
        print = print_tensor::<B>(Operand::Float(block.clone()), print)?;
    }
    Ok(print)
}

/// 64 bits of the elements of a tensor, and of what came before.
pub(in crate::objective) fn print_tensor<B: AutodiffBackend>(
    tensor: Operand<B::InnerBackend>,
    before: u64,
) -> Result<u64, Error> {
    Ok(print_bytes(tensor.into_data()?.as_bytes(), before))
}

/// An odd integer close to 2⁶⁴/φ.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Polynomials of the words in eight lanes, so that a processor can multiply several at once.
fn print_bytes(bytes: &[u8], before: u64) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut lanes = [before; 8];
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = lane.wrapping_add(u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        }
    }
    let mut padded = [0; 64];
    for (to, from) in padded.iter_mut().zip(rest) {
        *to = *from;
    }
    let (words, _) = padded.as_chunks::<8>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane = lane.wrapping_add(u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
    }
    printed(&(lanes, bytes.len()))
}

/// The tensor's elements in host memory.
pub(super) fn read<B: AutodiffBackend, N: burn_backend::Element>(
    tensor: InnerFloat<B>,
) -> Result<Vec<N>, Error> {
    let data = Operand::<B::InnerBackend>::Float(tensor).into_data()?;
    Ok(match data.as_slice::<N>() {
        Ok(elements) => elements.to_vec(),
        Err(_) => data.iter::<N>().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_print_shows_every_bit_and_the_order() {
        let bytes: Vec<u8> = (0..200).map(|i| (i * 7) as u8).collect();
        let own = print_bytes(&bytes, 1);
        assert_eq!(own, print_bytes(&bytes, 1));
        assert_ne!(own, print_bytes(&bytes, 2));
        for at in [0, 7, 63, 64, 127, 199] {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert_ne!(own, print_bytes(&changed, 1), "bit {bit} of byte {at}");
            }
        }
        let mut moved = bytes.clone();
        moved.swap(3, 67);
        assert_ne!(own, print_bytes(&moved, 1));
        assert_ne!(print_bytes(&bytes[..64], 1), print_bytes(&bytes[..65], 1));
    }

    #[test]
    fn the_first_difference_is_named_with_its_ranks() {
        let stamp = Stamp { call: Call::Value, objective: 1, parameters: 2, vectors: 3 };
        let words = |stamp: Stamp| stamp.words().to_vec();
        let all = |other: Stamp| [words(stamp), words(other), words(stamp), words(other)];
        let found = Stamp::difference(&all(Stamp { call: Call::Product, ..stamp }));
        let expected = SharedError::OtherCall { rank: 1, expected: "the loss", found: "a product" };
        assert_eq!(found, expected);
        for (other, what) in [
            (Stamp { objective: 9, ..stamp }, "the objective"),
            (Stamp { parameters: 9, ..stamp }, "θ"),
            (Stamp { vectors: 9, ..stamp }, "a vector"),
        ] {
            let found = Stamp::difference(&all(other)).to_string();
            assert!(found.starts_with(what) && found.contains("of rank 1, 3 is"), "{found}");
        }
    }
}
