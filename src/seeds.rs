//! Seeds derived from a seed. Depends on nothing.

/// An endless sequence of seeds, a different one for each seed it starts from.
///
/// Random draws with a seed in their configuration derive their seeds here from it. Neighboring seeds give
/// unrelated sequences, and small integers, which callers like to use as seeds, occur in them by chance only.
///
/// Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators, section 4.
#[derive(Debug, Clone)]
pub(crate) struct Seeds {
    state: u64,
}

impl Seeds {
    /// The odd integer closest to 2⁶⁴/φ, so that the states of a sequence are spread evenly.
    const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// The seed at an index of the sequence, without computing those before it.
    pub(crate) fn at(seed: u64, index: u64) -> u64 {
        mix(mix(seed).wrapping_add(index.wrapping_add(1).wrapping_mul(Self::STRIDE)))
    }

    /// The next seed.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(Self::STRIDE);
        mix(self.state)
    }
}

/// A bijection of the 64-bit integers whose output bits depend on all input bits.
fn mix(bits: u64) -> u64 {
    let mixed = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Seeds, mix};

    /// The first outputs of SplitMix64 from state 0, as published with its reference code.
    #[test]
    fn the_generator_is_split_mix() {
        let mut seeds = Seeds { state: 0 };
        assert_eq!(seeds.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(seeds.next(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(mix(0), 0);
    }

    #[test]
    fn a_seed_can_be_had_without_those_before_it() {
        let mut seeds = Seeds::new(7);
        for index in 0..5 {
            assert_eq!(Seeds::at(7, index), seeds.next());
        }
    }

    #[test]
    fn neighboring_seeds_share_no_member() {
        let members = (0..50).flat_map(|seed| (0..50).map(move |index| Seeds::at(seed, index)));
        assert_eq!(members.collect::<BTreeSet<_>>().len(), 2500);
    }
}
