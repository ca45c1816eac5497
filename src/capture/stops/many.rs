//! Which of many ways on from a value were stopped, read off the terms of the sum that Burn made of the others.
//!
//! A sum of ways decides about each of them as long as their terms can be distinguished. Trying all choices would take
//! two to the power of their number.

use std::collections::{HashMap, HashSet};

use super::{
    numbering::{Number, Numbering},
    search::Operand,
};

/// Most terms of a sum that are counted one by one.
const MOST_TERMS: usize = 1 << 18;

/// Most sums that are tried for one value.
const MOST_SUMS: usize = 32;

/// How often each term occurs.
type Terms = HashMap<Number, usize>;

/// What a sum says about the ways to it.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// It is no sum of some of them.
    Impossible,
    /// It is the sum of several choices.
    Ambiguous,
    /// The ways that it is the sum of, in order.
    Ways(Vec<(Operand, Number)>),
}

/// Decides about ways one after another.
struct Deciding<'a> {
    ways: &'a [(Operand, Number)],
    terms: Vec<Terms>,
    /// What the ways that are not yet chosen have to add up to.
    wanted: Terms,
    /// The terms of the ways that are not yet decided.
    available: Terms,
    chosen: Vec<Option<bool>>,
}

/// The ways whose sum is `wanted`. `interchangeable` says whether it does not matter which of some equal ways are chosen.
pub(super) fn decide(
    numbering: &Numbering,
    ways: &[(Operand, Number)],
    wanted: Number,
    interchangeable: impl Fn(&[Operand]) -> bool,
) -> Decision {
    let terms = ways.iter().map(|&(_, number)| numbering.terms(number, MOST_TERMS));
    let (Some(terms), Some(wanted)) =
        (terms.collect::<Option<Vec<Terms>>>(), numbering.terms(wanted, MOST_TERMS))
    else {
        return Decision::Ambiguous;
    };
    let mut available = Terms::new();
    for (&term, count) in terms.iter().flatten() {
        *available.entry(term).or_default() += count;
    }
    let chosen = vec![None; ways.len()];
    Deciding { ways, terms, wanted, available, chosen }.run(interchangeable)
}

impl Deciding<'_> {
    fn run(mut self, interchangeable: impl Fn(&[Operand]) -> bool) -> Decision {
        loop {
            while self.step() {}
            if self.wanted.iter().any(|(term, count)| self.available(*term) < *count) {
                return Decision::Impossible;
            }
            let Some(first) = self.chosen.iter().position(Option::is_none) else { break };
            let number = self.ways[first].1;
            let equal = |at: &usize| self.chosen[*at].is_none() && self.ways[*at].1 == number;
            let equal: Vec<usize> = (first..self.ways.len()).filter(equal).collect();
            let operands: Vec<_> = equal.iter().map(|&at| self.ways[at].0).collect();
            if !self.terms[first].contains_key(&number) || !interchangeable(&operands) {
                return Decision::Ambiguous;
            }
            let count = self.wanted(number);
            equal.into_iter().enumerate().for_each(|(rank, at)| self.set(at, rank < count));
        }
        let chosen = self.ways.iter().zip(&self.chosen);
        Decision::Ways(
            chosen.filter(|(_, chosen)| **chosen == Some(true)).map(|(way, _)| *way).collect(),
        )
    }

    /// Decides about the ways with a term that is not wanted as often, or that is wanted as often as there is any.
    fn step(&mut self) -> bool {
        let mut decided = false;
        for at in 0..self.ways.len() {
            if self.chosen[at].is_some() {
                continue;
            }
            let own = || self.terms[at].iter();
            let is_out = own().any(|(term, count)| self.wanted(*term) < *count);
            let is_in = own().any(|(term, _)| self.wanted(*term) == self.available(*term));
            if is_out || is_in {
                self.set(at, !is_out);
                decided = true;
            }
        }
        decided
    }

    fn set(&mut self, at: usize, chosen: bool) {
        self.chosen[at] = Some(chosen);
        for (term, count) in &self.terms[at] {
            let less = |terms: &mut Terms| {
                if let Some(left) = terms.get_mut(term) {
                    *left = left.saturating_sub(*count);
                }
            };
            less(&mut self.available);
            if chosen {
                less(&mut self.wanted);
            }
        }
    }

    fn wanted(&self, term: Number) -> usize {
        self.wanted.get(&term).copied().unwrap_or(0)
    }

    fn available(&self, term: Number) -> usize {
        self.available.get(&term).copied().unwrap_or(0)
    }
}

/// The values among some that may be a sum of ways, those of most terms first.
pub(super) fn sums(
    numbering: &Numbering,
    ways: &[(Operand, Number)],
    among: &HashSet<Number>,
) -> Option<Vec<Number>> {
    let mut made = HashSet::new();
    for &(_, number) in ways {
        made.extend(numbering.terms(number, MOST_TERMS)?.into_keys());
    }
    // Up from the terms, so that sums elsewhere in a long program take no time.
    let mut left: Vec<Number> = made.iter().copied().collect();
    while let Some(part) = left.pop() {
        for &sum in numbering.added_to(part) {
            let added = numbering.added(sum).iter();
            if !made.contains(&sum) && added.clone().all(|part| made.contains(part)) {
                made.insert(sum);
                left.push(sum);
            }
        }
    }
    let mut sums: Vec<_> = made.into_iter().filter(|number| among.contains(number)).collect();
    sums.sort_unstable_by_key(|&number| (std::cmp::Reverse(numbering.count(number)), number));
    sums.truncate(MOST_SUMS);
    Some(sums)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use burn_backend::{DType, Shape};

    use super::{Decision, Number, Numbering, Operand, decide, sums};
    use crate::graph::ValueType;

    fn ty() -> ValueType {
        ValueType { shape: Shape::from(vec![2]), dtype: DType::F32 }
    }

    /// One way from each of some nodes.
    fn ways(numbers: &[Number]) -> Vec<(Operand, Number)> {
        numbers.iter().enumerate().map(|(node, &number)| ((node, 0), number)).collect()
    }

    fn of(ways: &[(Operand, Number)], chosen: impl Fn(usize) -> bool) -> Vec<(Operand, Number)> {
        ways.iter().filter(|((node, _), _)| chosen(*node)).copied().collect()
    }

    /// Every subset of many ways is read off its sum, in whatever order that is added up.
    #[test]
    fn a_sum_decides_about_every_way() {
        let mut numbering = Numbering::default();
        let single: Vec<_> = (0..200).map(|at| numbering.input(at)).collect();
        // Every tenth way is itself a sum, of terms that occur nowhere else.
        let mut numbers = single.clone();
        for at in (0..200).step_by(10) {
            let own = [single[at], numbering.input(1000 + at)];
            numbers[at] = numbering.sum(&own, &ty());
        }
        let ways = ways(&numbers);
        for every in [1, 2, 3, 50, 199] {
            let chosen = of(&ways, |node| node % every != 1);
            let mut wanted = chosen[chosen.len() - 1].1;
            for (_, number) in chosen.iter().rev().skip(1) {
                wanted = numbering.sum(&[*number, wanted], &ty());
            }
            let at_once: Vec<_> = chosen.iter().map(|(_, number)| *number).collect();
            assert_eq!(numbering.sum(&at_once, &ty()), wanted);
            let found = decide(&numbering, &ways, wanted, |_| false);
            assert_eq!(found, Decision::Ways(chosen), "{every}");
            let among = HashSet::from([wanted, single[1], numbering.input(5000)]);
            let found = sums(&numbering, &ways, &among).expect("the ways are known");
            assert_eq!(found[0], wanted);
        }
        let other = numbering.input(5000);
        let other = numbering.sum(&[other, single[3]], &ty());
        assert_eq!(decide(&numbering, &ways, other, |_| true), Decision::Impossible);
    }

    #[test]
    fn equal_ways_are_told_apart_only_if_it_does_not_matter() {
        let mut numbering = Numbering::default();
        let [a, b, c] = [0, 1, 2].map(|at| numbering.input(at));
        let two = numbering.sum(&[a, b], &ty());
        let equal = ways(&[a, b, a, c, a]);
        let some = numbering.sum(&[a, a, c], &ty());
        assert_eq!(decide(&numbering, &equal, some, |_| false), Decision::Ambiguous);
        let found = decide(&numbering, &equal, some, |operands| operands.len() == 3);
        assert_eq!(found, Decision::Ways(of(&equal, |node| [0, 2, 3].contains(&node))));
        let all = numbering.sum(&[a, a, a, b], &ty());
        let found = decide(&numbering, &equal, all, |_| false);
        assert_eq!(found, Decision::Ways(of(&equal, |node| node != 3)));
        // a + b is one way, or two.
        let overlapping = ways(&[two, a, b, c]);
        assert_eq!(decide(&numbering, &overlapping, two, |_| true), Decision::Ambiguous);
    }

    /// Those of all terms and of sums of them, however they are added up; not those with a term from elsewhere.
    #[test]
    fn sums_are_found_from_their_terms() {
        let mut numbering = Numbering::default();
        let [a, b, c, other] = [0, 1, 2, 3].map(|at| numbering.input(at));
        let two = numbering.sum(&[a, b], &ty());
        let three = numbering.sum(&[two, c], &ty());
        let seven = numbering.sum(&[three, three, a], &ty());
        let elsewhere = numbering.sum(&[c, other], &ty());
        let beyond = numbering.sum(&[seven, elsewhere], &ty());
        let among = HashSet::from([seven, two, elsewhere, three, beyond, other]);
        let found = sums(&numbering, &ways(&[a, b, c]), &among).expect("the ways are known");
        assert_eq!(found, [seven, three, two]);
        // The terms of a way that is a sum count, and so do sums of them.
        let found = sums(&numbering, &ways(&[two, c]), &among).expect("the ways are known");
        assert_eq!(found, [seven, three, two]);
        let found = sums(&numbering, &ways(&[a, c]), &among).expect("the ways are known");
        assert_eq!(found, []);
    }
}
