//! One run of a program: its values, and what each step does with them.

use burn::backend::Flex;
use burn_backend::{Shape, ops::FloatTensorOps, tensor::IndexingUpdateOp};
use burn_flex::FlexTensor;
use faer::Accum;

use super::{
    HostProgram, access, block,
    chain::Chain,
    convolution::Images,
    indexing,
    kept::Room,
    memory::Memory,
    movement::{duplicated, moved},
    plan::{Step, Work},
    pool::pooled,
    product::{self, Product},
    undefined,
};
use crate::{
    execute::{ExecuteError, dispatch::apply},
    graph::{Graph, Node, Op, ValueId},
};

/// Where a value is kept.
enum Slot<'a> {
    Empty,
    /// A tensor of the run.
    Own(FlexTensor),
    /// A tensor that somebody else keeps.
    Lent(&'a FlexTensor),
}

impl Slot<'_> {
    fn tensor(&self) -> Option<&FlexTensor> {
        match self {
            Slot::Empty => None,
            Slot::Own(tensor) => Some(tensor),
            Slot::Lent(tensor) => Some(tensor),
        }
    }
}

/// A run under way.
pub(super) struct Run<'a> {
    program: &'a HostProgram,
    graph: &'a Graph,
    slots: Vec<Slot<'a>>,
    memory: Memory,
    /// Bytes that may stay unused during the present step.
    unused: usize,
}

impl<'a> Run<'a> {
    /// A run on some values.
    pub fn new(
        program: &'a HostProgram,
        graph: &'a Graph,
        lent: impl Iterator<Item = (ValueId, &'a FlexTensor)>,
        given: impl Iterator<Item = (ValueId, FlexTensor)>,
    ) -> Self {
        let slots = (0..program.used).map(|_| Slot::Empty).collect();
        let mut run = Self { program, graph, slots, memory: Memory::claim(), unused: 0 };
        lent.for_each(|(value, tensor)| *run.slot(value) = Slot::Lent(tensor));
        given.for_each(|(value, tensor)| *run.slot(value) = Slot::Own(tensor));
        run
    }

    /// The outputs, once all steps have been run.
    pub fn finish(mut self) -> Result<Vec<FlexTensor>, ExecuteError> {
        let (graph, program) = (self.graph, self.program);
        let outputs = graph.outputs.iter().zip(&program.last_outputs).map(|(&value, &last)| {
            let found = if last { self.take(value) } else { self.get(value).cloned() };
            found.ok_or_else(|| undefined(value, "the outputs".into()))
        });
        let outputs = outputs.collect();
        self.slots.clear();
        self.memory.leave();
        outputs
    }

    fn slot(&mut self, value: ValueId) -> &mut Slot<'a> {
        &mut self.slots[self.program.slots[value.index()]]
    }

    fn put(&mut self, value: ValueId, tensor: Option<FlexTensor>) {
        *self.slot(value) = tensor.map_or(Slot::Empty, Slot::Own);
    }

    fn get(&self, value: ValueId) -> Option<&FlexTensor> {
        self.slots[self.program.slots[value.index()]].tensor()
    }

    /// Hands a value over, which nothing reads later.
    fn take(&mut self, value: ValueId) -> Option<FlexTensor> {
        match std::mem::replace(self.slot(value), Slot::Empty) {
            Slot::Empty => None,
            Slot::Own(tensor) => Some(tensor),
            Slot::Lent(tensor) => Some(tensor.clone()),
        }
    }

    fn read(&self, value: ValueId, user: impl Fn() -> String) -> Result<FlexTensor, ExecuteError> {
        self.get(value).cloned().ok_or_else(|| undefined(value, user()))
    }

    /// Forgets a value, whose memory serves again.
    fn end(&mut self, value: ValueId) {
        if let Slot::Own(tensor) = std::mem::replace(self.slot(value), Slot::Empty)
            && self.program.serves[value.index()]
        {
            self.memory.take(tensor, self.unused);
        }
    }

    /// Runs a step.
    pub fn step(&mut self, step: &Step) -> Result<(), ExecuteError> {
        let enough = self.program.room.as_ref().map_or(0, Room::bytes);
        self.unused = self.memory.unused(step.alive, self.program.peak, enough);
        match &step.work {
            Work::Operation(handed) => self.operation(step.node, handed)?,
            Work::Chain(chain) => self.chain(chain)?,
            Work::Product(product) => self.product(product)?,
        }
        step.ends.iter().for_each(|&value| self.end(value));
        Ok(())
    }

    fn operation(&mut self, position: usize, handed: &[bool]) -> Result<(), ExecuteError> {
        let node = &self.graph.nodes[position];
        if let Some(result) = self.own(node).or_else(|| self.scattered(node, handed)) {
            self.conclude(node, handed, [result]);
            return Ok(());
        }
        if let Some(results) = self.pooled(position) {
            self.conclude(node, handed, results);
            return Ok(());
        }
        let mut inputs = Vec::with_capacity(handed.len());
        for (&value, &handed) in node.inputs.iter().zip(handed) {
            let tensor = if handed {
                self.take(value).ok_or_else(|| undefined(value, node.op.name()))?
            } else {
                self.read(value, || node.op.name())?
            };
            inputs.push(access::of_flex(tensor, self.program.kinds[value.index()]));
        }
        let types = &self.program.results[position];
        let results = apply::<Flex>(&node.op, inputs, types, &Default::default())?;
        for (&value, result) in node.outputs.iter().zip(results) {
            self.put(value, access::unwrapped(result));
        }
        Ok(())
    }

    /// Keeps the results of an operation that the backend has not run, and ends the operands that were handed over.
    fn conclude<const COUNT: usize>(
        &mut self,
        node: &Node,
        handed: &[bool],
        results: [FlexTensor; COUNT],
    ) {
        for (&value, result) in node.outputs.iter().zip(results) {
            self.put(value, Some(result));
        }
        for (&value, _) in node.inputs.iter().zip(handed).filter(|(_, handed)| **handed) {
            self.end(value);
        }
    }

    /// The result of an operation that is not left to the backend.
    fn own(&mut self, node: &Node) -> Option<FlexTensor> {
        let &[output] = &node.outputs[..] else { return None };
        let result = self.graph.value(output);
        let memory = (&mut self.memory, self.unused);
        let slot = |value: &ValueId| self.slots[self.program.slots[value.index()]].tensor();
        match (&node.op, &node.inputs[..]) {
            (Op::Zeros, []) => return indexing::zeros(&result.shape, result.dtype, memory),
            (op, [x]) => return moved(op, slot(x)?, &result.shape, memory),
            (Op::Gather(dim), [x, places]) => {
                let operands = (slot(x)?, slot(places)?);
                return indexing::gathered(operands, *dim, &result.shape, memory);
            }
            _ => {}
        }
        if !matches!(node.op, Op::Conv { .. } | Op::ConvBackward(..)) {
            return None;
        }
        let shapes: Vec<&Shape> =
            node.inputs.iter().map(|&value| &self.graph.value(value).shape).collect();
        let images = Images::new(&node.op, &shapes, result)?;
        let operands = [slot(&node.inputs[images.source()])?, slot(&node.inputs[1])?];
        images.run(operands, &result.shape, memory)
    }

    /// The largest elements of windows and their places.
    fn pooled(&mut self, position: usize) -> Option<[FlexTensor; 2]> {
        let node = &self.graph.nodes[position];
        let (&[x], [values, places]) = (&node.inputs[..], &self.program.results[position][..])
        else {
            return None;
        };
        let x = self.slots[self.program.slots[x.index()]].tensor()?;
        pooled(&node.op, x, [values, places], (&mut self.memory, self.unused))
    }

    /// The result of an addition by places, into the tensor itself if it is handed over.
    fn scattered(&mut self, node: &Node, handed: &[bool]) -> Option<FlexTensor> {
        let (&Op::Scatter(dim, IndexingUpdateOp::Add), &[x, places, value], [last, ..]) =
            (&node.op, &node.inputs[..], handed)
        else {
            return None;
        };
        let mut target = if *last {
            self.take(x)?
        } else {
            let x = self.slots[self.program.slots[x.index()]].tensor()?;
            duplicated(x, (&mut self.memory, self.unused))?
        };
        let operands = self.get(places).zip(self.get(value));
        if operands.and_then(|operands| indexing::added(&mut target, dim, operands)).is_none() {
            if *last {
                self.put(x, Some(target));
            }
            return None;
        }
        Some(target)
    }

    fn chain(&mut self, chain: &Chain) -> Result<(), ExecuteError> {
        let mut results: Vec<FlexTensor> = Vec::with_capacity(chain.results);
        for register in 0..chain.results {
            let first = chain.outputs.iter().find(|output| output.register == register);
            let result = match first {
                Some(output) => self.memory.tensor(&output.shape, chain.dtype, self.unused),
                None => self.memory.tensor(&[chain.len].into(), chain.dtype, self.unused),
            };
            results.push(result);
        }
        let inputs = chain.inputs.iter().map(|input| {
            self.get(input.value).ok_or_else(|| undefined(input.value, "a chain".into()))
        });
        let inputs = inputs.collect::<Result<Vec<&FlexTensor>, _>>()?;
        if !block::run(chain, &inputs, &mut results) {
            return Err(ExecuteError::Backend {
                operation: "element by element".into(),
                message: "an operand is not of the recorded type".into(),
            });
        }
        // A result has the shape of the first output that it is.
        for output in chain.outputs.iter().rev() {
            let is_first =
                chain.outputs.iter().find(|one| one.register == output.register) == Some(output);
            let result = match results.get(output.register) {
                Some(_) if is_first && output.register + 1 == results.len() => results.pop(),
                Some(result) if is_first => Some(result.clone()),
                result => result.map(|result| result.reshape(output.shape.clone())),
            };
            self.put(output.value, result);
        }
        Ok(())
    }

    fn product(&mut self, product: &Product) -> Result<(), ExecuteError> {
        let (mut result, accum) = match product.onto {
            Some(value) => {
                let own = self.take(value);
                (own.ok_or_else(|| undefined(value, "a sum of products".into()))?, Accum::Add)
            }
            None => {
                (self.memory.tensor(&product.shape, product.dtype, self.unused), Accum::Replace)
            }
        };
        let read = |value| self.get(value).ok_or_else(|| undefined(value, "Matmul".into()));
        let operands = [read(product.first)?, read(product.second)?];
        if !product::run(product, operands, (&mut result, accum)) {
            let [first, second] = operands.map(FlexTensor::clone);
            let product_of = Flex::float_matmul(first, second);
            let own = if product.summed { Flex::float_sum_dim(product_of, 0) } else { product_of };
            result = match accum {
                Accum::Add => Flex::float_add(result, own),
                Accum::Replace => own,
            };
        }
        self.put(product.result, Some(result));
        Ok(())
    }
}
