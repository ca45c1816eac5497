//! The element types that messages between ranks are sent in.

use burn_backend::Element;

use crate::communicator::{CommunicatorError, Ranks};

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::communicator::Threads;

    /// 2⁻⁶⁰ is lost next to 1 in f32 and in f64; each rank's number must arrive with all bits.
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
