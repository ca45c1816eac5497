//! Runs a chain: block after block goes through all of its instructions while it is in the cache, on all threads if there
//! is enough to do.

use burn_backend::DType;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{
    chain::{Chain, Function, Instruction, Source},
    elements::{Elements, rows},
    number::{Number, fill},
};

/// Bytes of one register in one block: a chain's registers together fit into the caches of a core.
const BLOCK: usize = 1 << 12;

/// Additions from which on work is shared among threads.
const SHARED: usize = 1 << 17;

/// Runs a chain. `inputs` are the tensors it reads, `results` memory for its results, one tensor of its length each, which
/// nothing else uses. Returns whether the tensors are such.
pub(super) fn run(chain: &Chain, inputs: &[&FlexTensor], results: &mut [FlexTensor]) -> bool {
    let fits = |tensor: &FlexTensor| tensor.dtype() == chain.dtype;
    if !inputs.iter().copied().all(fits) || !results.iter().all(fits) {
        return false;
    }
    match chain.dtype {
        DType::F32 => run_in::<f32>(chain, inputs, results),
        _ => run_in::<f64>(chain, inputs, results),
    }
}

fn run_in<N: Number>(chain: &Chain, inputs: &[&FlexTensor], results: &mut [FlexTensor]) -> bool {
    if chain.len == 0 {
        return true;
    }
    let shapes = chain.inputs.iter().map(|input| &input.shape);
    let copies: Vec<Option<FlexTensor>> =
        inputs.iter().zip(shapes.clone()).map(|(tensor, shape)| rows(tensor, shape)).collect();
    let tensors = inputs.iter().zip(&copies).map(|(&own, copy)| copy.as_ref().unwrap_or(own));
    let elements = tensors.zip(shapes).map(|(tensor, shape)| Elements::<N>::new(tensor, shape));
    let Some(elements) = elements.collect::<Option<Vec<Elements<'_, N>>>>() else { return false };
    let results = results.iter_mut().map(N::memory_mut).collect::<Option<Vec<&mut [N]>>>();
    let Some(results) = results.filter(|all| all.iter().all(|one| one.len() == chain.len)) else {
        return false;
    };
    let block = BLOCK / size_of::<N>();
    let shared = chain.len.saturating_mul(cost(&chain.code)) >= SHARED && chain.len > block;
    if !shared {
        Task { start: 0, results }.run(chain, &elements);
        return true;
    }
    let blocks = chain.len.div_ceil(block).div_ceil(2 * rayon::current_num_threads());
    let tasks = split(results, chain.len, blocks * block);
    tasks.into_par_iter().for_each(|task| task.run(chain, &elements));
    true
}

/// Time of a chain per element, in additions.
fn cost(code: &[Instruction]) -> usize {
    let one = |instruction: &Instruction| match instruction.function {
        Function::Add | Function::Sub | Function::Mul | Function::Neg | Function::Abs => 1,
        Function::Div | Function::Recip | Function::Sqrt => 4,
        _ => 32,
    };
    code.iter().map(one).sum()
}

/// A part of the results.
struct Task<'a, N> {
    start: usize,
    results: Vec<&'a mut [N]>,
}

/// Parts of equal lengths.
fn split<N>(results: Vec<&mut [N]>, len: usize, part: usize) -> Vec<Task<'_, N>> {
    let starts = (0..len).step_by(part);
    let mut tasks: Vec<Task<'_, N>> =
        starts.map(|start| Task { start, results: Vec::with_capacity(results.len()) }).collect();
    for result in results {
        for (task, part) in tasks.iter_mut().zip(result.chunks_mut(part)) {
            task.results.push(part);
        }
    }
    tasks
}

impl<N: Number> Task<'_, N> {
    fn run(mut self, chain: &Chain, inputs: &[Elements<'_, N>]) {
        let len = self.results.first().map_or(0, |result| result.len());
        let width = len.min(BLOCK / size_of::<N>());
        if width == 0 {
            return;
        }
        let scratch = chain.registers - chain.results;
        let dense = |input: &Elements<'_, N>| matches!(input, Elements::Dense(_));
        let loaded = inputs.iter().filter(|input| !dense(input)).count();
        let mut memory = vec![N::default(); width * (scratch + loaded + chain.constants.len())];
        let mut parts = memory.chunks_exact_mut(width);
        let mut scratch: Vec<&mut [N]> = parts.by_ref().take(scratch).collect();
        let mut constants: Vec<&mut [N]> = parts.by_ref().take(chain.constants.len()).collect();
        for (to, &number) in constants.iter_mut().zip(&chain.constants) {
            fill(to, N::of(number));
        }
        let own = inputs.iter().map(|input| if dense(input) { None } else { parts.next() });
        let mut own: Vec<Option<&mut [N]>> = own.collect();
        for (to, input) in own.iter_mut().zip(inputs) {
            if let (Some(to), Elements::Uniform(number)) = (to, input) {
                fill(to, *number);
            }
        }
        for at in (0..len).step_by(width) {
            let (end, start) = (len.min(at + width), self.start + at);
            for (to, input) in own.iter_mut().zip(inputs) {
                if let (Some(to), Elements::Strided(walk)) = (to, input) {
                    walk.load(start, &mut to[..end - at]);
                }
            }
            let results = self.results.iter_mut().map(|result| &mut result[at..end]);
            let scratch = scratch.iter_mut().map(|scratch| &mut scratch[..end - at]);
            let registers = results.chain(scratch).collect();
            let block = Block { start, inputs, own: &own, constants: &constants };
            block.run(&chain.code, registers);
        }
    }
}

/// What the instructions read beside registers, in one block.
struct Block<'a, N> {
    start: usize,
    inputs: &'a [Elements<'a, N>],
    own: &'a [Option<&'a mut [N]>],
    constants: &'a [&'a mut [N]],
}

impl<N: Number> Block<'_, N> {
    fn run(&self, code: &[Instruction], mut registers: Vec<&mut [N]>) {
        for &Instruction { function, first, second, to } in code {
            let own = Source::Register(to);
            let y = std::mem::take(&mut registers[to]);
            let len = y.len();
            let read = |source| self.read(source, &registers, len);
            match second {
                Some(second) if first == own => N::combine(function, y, read(second)),
                Some(second) if second == own => N::combine_reversed(function, y, read(first)),
                Some(second) => {
                    y.copy_from_slice(read(first));
                    N::combine(function, y, read(second));
                }
                None => {
                    if first != own {
                        y.copy_from_slice(read(first));
                    }
                    N::map(function, y);
                }
            }
            registers[to] = y;
        }
    }

    fn read<'b>(&'b self, source: Source, registers: &'b [&mut [N]], len: usize) -> &'b [N] {
        match source {
            Source::Register(register) => &registers[register][..],
            Source::Constant(constant) => &self.constants[constant][..len],
            Source::Input(input) => match (&self.inputs[input], &self.own[input]) {
                (Elements::Dense(elements), _) => &elements[self.start..self.start + len],
                (_, Some(own)) => &own[..len],
                (_, None) => &[],
            },
        }
    }
}
