//! What a loss is a sum of: the values below its reductions, each with its factor. Read off the recorded program, for all
//! parameters and data at once.
//!
//! A loss is followed back through everything linear: sums, means, scaling by constants, reshaping. What is left are
//! terms Σᵢ cᵢ·Σ(elements of xᵢ), computed from the batch or not. Two recordings of one closure for different numbers of
//! samples then show what it does with them: the c of a sum stay, those of a mean are divided by the number.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    ops::Range,
};

use crate::graph::{Binary, Graph, Kind, Node, Op, Reduction, Unary, ValueId};

/// A loss as a sum of terms.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Computed from the batch, by content.
    of_batch: Vec<Term>,
    /// All others, such as a weight decay.
    others: Vec<Term>,
    /// Literals that are added to values, before or after they are reduced.
    literals: Vec<Term>,
}

/// c·Σ(elements of x)
#[derive(Clone, Debug)]
struct Term {
    /// c
    scale: f64,
    /// Identifies what computes x, whatever its sizes.
    content: u64,
    elements: usize,
    /// The operation that computes x.
    operation: String,
    /// Whether that divides by a value which the batch decides.
    divides: bool,
}

/// What a loss does with the samples of a batch, seen from fewer samples to more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Growth {
    /// The terms stay, and there are more of them.
    Sum,
    /// The terms are divided by the number of samples.
    Mean,
    /// The factor of a term changes in another way.
    Neither {
        /// By how much.
        ratio: f64,
    },
    /// A term without samples, such as a weight decay, in what is otherwise a sum.
    SumAndOthers,
    /// An operation that is not linear acts on what was reduced over the samples.
    Reduced {
        /// Its name.
        operation: String,
        /// Whether it divides by a value which the batch decides.
        divides: bool,
    },
    /// The recordings differ in more than sizes.
    Unknown,
}

impl Terms {
    /// The terms of a loss program, of which some inputs are the batch.
    pub fn of(loss: &Graph, batch: Range<usize>) -> Self {
        Walk::new(loss, batch).terms(loss.outputs()[0])
    }

    /// What happens to the terms of `fewer` samples when there are `more`, of which `self` are the terms.
    pub fn grown_from(&self, small: &Self, (fewer, more): (usize, usize)) -> Growth {
        if let Some(term) = self.of_batch.iter().find(|term| term.divides && term.elements == 1)
            && more > 1
        {
            return term.reduced();
        }
        if !self.has_contents_of(small) {
            return Growth::Unknown;
        }
        let pairs = || self.of_batch.iter().zip(&small.of_batch);
        if let Some((term, _)) = pairs().find(|(a, b)| a.elements * fewer != b.elements * more) {
            return term.reduced();
        }
        let growth = more as f64 / fewer as f64;
        let changed = |by: f64| pairs().find(|(a, b)| !close(a.scale, b.scale * by));
        match (changed(1.0), changed(growth.recip())) {
            (_, None) if self.has_totals_of(small, 1.0) => Growth::Mean,
            (None, _) if self.has_totals_of(small, growth) => Growth::Sum,
            (Some((a, b)), _) => Growth::Neither { ratio: a.scale / b.scale },
            (None, _) => Growth::SumAndOthers,
        }
    }

    /// The common factor of all terms of `self` in units of those of `other`; `None` if the recordings differ in more.
    pub fn ratio_to(&self, other: &Self) -> Option<f64> {
        if !self.has_contents_of(other) {
            return None;
        }
        let mut pairs = self.of_batch.iter().zip(&other.of_batch);
        let mut nonzero = pairs.clone().filter(|(_, b)| b.scale != 0.0);
        let ratio = nonzero.next().map_or(1.0, |(a, b)| a.scale / b.scale);
        let more = self.elements_for(other).filter(|_| close(ratio, 1.0));
        let holds = pairs.all(|(a, b)| close(a.scale, ratio * b.scale))
            && (self.has_totals_of(other, 1.0)
                || more.is_some_and(|more| self.has_totals_of(other, more)));
        holds.then_some(ratio)
    }

    /// How many elements the terms of `self` have for one of `other`, if that is the same for all.
    pub fn elements_for(&self, other: &Self) -> Option<f64> {
        let pairs = self.of_batch.iter().zip(&other.of_batch);
        let mut ratios = pairs.map(|(a, b)| a.elements as f64 / b.elements as f64);
        let first = ratios.next()?;
        ratios.all(|ratio| ratio == first).then_some(first)
    }

    fn has_contents_of(&self, other: &Self) -> bool {
        let contents = |terms: &[Term]| terms.iter().map(|term| term.content).collect::<Vec<_>>();
        contents(&self.of_batch) == contents(&other.of_batch)
            && contents(&self.others) == contents(&other.others)
            && contents(&self.literals) == contents(&other.literals)
    }

    /// Whether all that does not depend on the batch is `times` as large as in `other`.
    fn has_totals_of(&self, other: &Self, times: f64) -> bool {
        let largest = self.of_batch.iter().map(|term| term.total().abs()).fold(0.0, f64::max);
        let ours = self.others.iter().chain(&self.literals);
        let mut pairs = ours.zip(other.others.iter().chain(&other.literals));
        pairs.all(|(a, b)| {
            let (found, expected) = (a.total(), times * b.total());
            close(found, expected) || (found - expected).abs() <= 1e-9 * largest
        })
    }
}

impl Term {
    fn total(&self) -> f64 {
        self.scale * self.elements as f64
    }

    fn reduced(&self) -> Growth {
        Growth::Reduced { operation: self.operation.clone(), divides: self.divides }
    }
}

/// Equal up to the rounding of constants in f32.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}

/// Where the sum of a value's elements goes: c·Σ(elements of a value), with scalars that are no numbers here.
struct Step {
    value: ValueId,
    scale: f64,
    /// Identifies the scalars; 0 for none.
    factor: u64,
}

/// The way from a loss back to its terms.
struct Walk<'a> {
    graph: &'a Graph,
    writers: HashMap<ValueId, &'a Node>,
    of_batch: HashSet<ValueId>,
    contents: HashMap<ValueId, u64>,
    literals: Vec<Term>,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph, batch: Range<usize>) -> Self {
        let outputs = |node: &'a Node| node.outputs.iter().map(move |&output| (output, node));
        Self {
            writers: graph.nodes().iter().flat_map(outputs).collect(),
            of_batch: graph.dependents(graph.inputs().get(batch).unwrap_or(&[])),
            contents: contents(graph),
            literals: Vec::new(),
            graph,
        }
    }

    fn terms(mut self, loss: ValueId) -> Terms {
        let mut found: HashMap<ValueId, BTreeMap<u64, f64>> = HashMap::new();
        found.entry(loss).or_default().insert(0, 1.0);
        for node in self.graph.nodes().iter().rev() {
            let [output] = node.outputs[..] else { continue };
            let Some(scales) = found.get(&output).cloned() else { continue };
            let Some(steps) = self.steps(node, output) else { continue };
            found.remove(&output);
            for (factor, scale) in scales {
                for step in &steps {
                    let factors = found.entry(step.value).or_default();
                    *factors.entry(factor.wrapping_add(step.factor)).or_default() +=
                        scale * step.scale;
                }
                self.add_literal(node, output, scale);
            }
        }
        let literals = std::mem::take(&mut self.literals);
        let mut terms = Terms { of_batch: Vec::new(), others: Vec::new(), literals };
        for (value, scales) in found {
            for (factor, scale) in scales {
                let terms = if self.of_batch.contains(&value) {
                    &mut terms.of_batch
                } else {
                    &mut terms.others
                };
                terms.push(self.term(value, factor, scale));
            }
        }
        for terms in [&mut terms.of_batch, &mut terms.others, &mut terms.literals] {
            *terms = merged(std::mem::take(terms));
        }
        terms
    }

    fn term(&self, value: ValueId, factor: u64, scale: f64) -> Term {
        let writer = self.writers.get(&value);
        let content = self.contents.get(&value).copied().unwrap_or_default();
        Term {
            scale,
            content: hash(&(content, factor)),
            elements: self.elements(value),
            operation: writer.map_or_else(|| "Input".into(), |node| node.op.name()),
            divides: writer.is_some_and(|node| {
                node.op == Op::Binary(Binary::Div) && self.of_batch.contains(&node.inputs[1])
            }),
        }
    }

    /// A literal that a node adds to every element of its output.
    fn add_literal(&mut self, node: &Node, output: ValueId, scale: f64) {
        let added = match node.op {
            Op::BinaryScalar(Binary::Add, literal) => literal.as_f64(),
            Op::BinaryScalar(Binary::Sub, literal) => -literal.as_f64(),
            _ => return,
        };
        let term = self.term(output, 0, scale * added);
        self.literals.push(Term { divides: false, ..term });
    }

    /// The sum of a node's output as sums of its inputs; `None` if it is not linear in them.
    fn steps(&self, node: &Node, output: ValueId) -> Option<Vec<Step>> {
        if !self.of_batch.contains(&output) {
            return None;
        }
        let &x = node.inputs.first()?;
        // Every element of an input that is broadcast counts as often as it is read.
        let spread = |value: ValueId| self.elements(output) as f64 / self.elements(value) as f64;
        let step = |value: ValueId, scale: f64| Step { value, scale, factor: 0 };
        match &node.op {
            Op::Reshape | Op::SwapDims(..) | Op::Permute(_) | Op::Flip(_) => {
                Some(vec![step(x, 1.0)])
            }
            Op::Cast if self.graph.value(x).kind() == Kind::Float => Some(vec![step(x, 1.0)]),
            Op::Reduce(Reduction::Sum) | Op::ReduceDim(Reduction::Sum, _) | Op::SumDims(_) => {
                Some(vec![step(x, 1.0)])
            }
            Op::Reduce(Reduction::Mean) | Op::ReduceDim(Reduction::Mean, _) => {
                Some(vec![step(x, spread(x))])
            }
            Op::Expand | Op::RepeatDim { .. } => Some(vec![step(x, spread(x))]),
            Op::Unary(Unary::Neg) => Some(vec![step(x, -1.0)]),
            Op::BinaryScalar(Binary::Add | Binary::Sub, _) => Some(vec![step(x, 1.0)]),
            Op::BinaryScalar(Binary::Mul, literal) => Some(vec![step(x, literal.as_f64())]),
            Op::BinaryScalar(Binary::Div, literal) => Some(vec![step(x, literal.as_f64().recip())]),
            Op::Binary(op @ (Binary::Add | Binary::Sub)) => {
                let &y = node.inputs.get(1)?;
                let sign = if *op == Binary::Add { 1.0 } else { -1.0 };
                Some(vec![step(x, spread(x)), step(y, sign * spread(y))])
            }
            Op::Binary(op @ (Binary::Mul | Binary::Div)) => {
                let &y = node.inputs.get(1)?;
                let swaps = *op == Binary::Mul && !self.of_batch.contains(&x);
                let (x, y) = if swaps { (y, x) } else { (x, y) };
                let (scale, factor) = self.scalar(y, *op == Binary::Div)?;
                Some(vec![Step { value: x, scale: scale * spread(x), factor }])
            }
            _ => None,
        }
    }

    /// A value that multiplies or divides all elements alike: a number, or something that identifies a scalar.
    fn scalar(&self, value: ValueId, divides: bool) -> Option<(f64, u64)> {
        if let Some(number) = self.uniform(value) {
            return Some((if divides { number.recip() } else { number }, 0));
        }
        if self.of_batch.contains(&value) || self.elements(value) != 1 {
            return None;
        }
        Some((1.0, hash(&(self.contents.get(&value), divides))))
    }

    /// The element of a value whose elements are all one number.
    fn uniform(&self, value: ValueId) -> Option<f64> {
        let Some(node) = self.writers.get(&value) else {
            let constant = self.graph.constants.iter().find(|one| one.value == value)?;
            return uniform_data(&constant.data);
        };
        let of_first = || self.uniform(*node.inputs.first()?);
        match &node.op {
            Op::Zeros => Some(0.0),
            Op::Ones => Some(1.0),
            Op::Full(literal) => Some(literal.as_f64()),
            Op::Reshape | Op::Expand | Op::RepeatDim { .. } | Op::Cast => of_first(),
            Op::Reduce(Reduction::Mean) => of_first(),
            Op::Reduce(Reduction::Sum) => {
                Some(of_first()? * self.elements(*node.inputs.first()?) as f64)
            }
            Op::Unary(Unary::Neg) => Some(-of_first()?),
            Op::Unary(Unary::Recip) => Some(of_first()?.recip()),
            Op::Unary(Unary::Sqrt) => Some(of_first()?.sqrt()),
            Op::BinaryScalar(Binary::Mul, literal) => Some(of_first()? * literal.as_f64()),
            Op::BinaryScalar(Binary::Div, literal) => Some(of_first()? / literal.as_f64()),
            _ => None,
        }
    }

    fn elements(&self, value: ValueId) -> usize {
        self.graph.value(value).shape.num_elements()
    }
}

/// Terms in the order of their contents, those with the same one added.
fn merged(terms: Vec<Term>) -> Vec<Term> {
    let mut merged: BTreeMap<(u64, usize), Term> = BTreeMap::new();
    for term in terms {
        let key = (term.content, term.elements);
        merged.entry(key).and_modify(|sum| sum.scale += term.scale).or_insert(term);
    }
    merged.into_values().collect()
}

fn uniform_data(data: &burn_backend::TensorData) -> Option<f64> {
    let mut elements = data.iter::<f64>();
    let first = elements.next()?;
    elements.all(|element| element == first).then_some(first)
}

/// Identifies what computes each value, whatever the sizes.
fn contents(graph: &Graph) -> HashMap<ValueId, u64> {
    let mut contents: HashMap<ValueId, u64> = HashMap::new();
    for (position, &input) in graph.inputs().iter().enumerate() {
        contents.insert(input, hash(&("input", position)));
    }
    for constant in &graph.constants {
        let content = match uniform_data(&constant.data) {
            Some(number) => hash(&("uniform", number.to_bits())),
            None => hash(&(constant.data.as_bytes(), constant.data.shape().to_vec())),
        };
        contents.insert(constant.value, content);
    }
    for node in graph.nodes() {
        let of = |value: &ValueId| contents.get(value).copied().unwrap_or_default();
        let inputs: Vec<u64> = node.inputs.iter().map(of).collect();
        for (position, &output) in node.outputs.iter().enumerate() {
            let content = match &node.op {
                // Where sizes are one, Burn leaves these out.
                Op::Reshape | Op::Expand | Op::RepeatDim { .. } => inputs.first().copied(),
                Op::Full(literal) => Some(hash(&("uniform", literal.as_f64().to_bits()))),
                Op::Ones => Some(hash(&("uniform", 1.0_f64.to_bits()))),
                Op::Zeros => Some(hash(&("uniform", 0.0_f64.to_bits()))),
                Op::Slice(_) | Op::SliceAssign(_) | Op::Pad { .. } | Op::Unfold { .. } => {
                    Some(hash(&(node.op.name(), &inputs)))
                }
                op => Some(hash(&(format!("{op:?}"), &inputs, position))),
            };
            contents.insert(output, content.unwrap_or_default());
        }
    }
    contents
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
