//! One run of a program: its values, and what each step does with them.

use burn::backend::Flex;
use burn_backend::{Shape, ops::FloatTensorOps};
use burn_flex::FlexTensor;
use faer::Accum;

use super::{
    HostProgram, access, block,
    chain::Chain,
    convolution::Images,
    memory::Memory,
    movement::moved,
    plan::{Step, Work},
    product::{self, Product},
    undefined,
};
use crate::{
    execute::{ExecuteError, dispatch::apply},
    graph::{Graph, Node, Op, ValueId},
};

/// A run under way.
pub(super) struct Run<'a> {
    program: &'a HostProgram,
    graph: &'a Graph,
    slots: Vec<Option<FlexTensor>>,
    memory: Memory,
    /// Bytes that may stay unused during the present step.
    unused: usize,
}

impl<'a> Run<'a> {
    /// A run on some values.
    pub fn new(
        program: &'a HostProgram,
        graph: &'a Graph,
        given: impl Iterator<Item = (ValueId, FlexTensor)>,
    ) -> Self {
        let slots = vec![None; program.used];
        let mut run = Self { program, graph, slots, memory: Memory::claim(), unused: 0 };
        for (value, tensor) in given {
            *run.slot(value) = Some(tensor);
        }
        run
    }

    /// The outputs, once all steps have been run.
    pub fn finish(mut self) -> Result<Vec<FlexTensor>, ExecuteError> {
        let outputs = self.graph.outputs.iter();
        let outputs = outputs.map(|&value| self.read(value, || "the outputs".into())).collect();
        self.slots.clear();
        self.memory.leave();
        outputs
    }

    fn slot(&mut self, value: ValueId) -> &mut Option<FlexTensor> {
        &mut self.slots[self.program.slots[value.index()]]
    }

    fn get(&self, value: ValueId) -> Option<&FlexTensor> {
        self.slots[self.program.slots[value.index()]].as_ref()
    }

    fn read(&self, value: ValueId, user: impl Fn() -> String) -> Result<FlexTensor, ExecuteError> {
        self.get(value).cloned().ok_or_else(|| undefined(value, user()))
    }

    /// Forgets a value, whose memory serves again.
    fn end(&mut self, value: ValueId) {
        if let Some(tensor) = self.slot(value).take()
            && self.program.wanted.contains(&tensor.bytes().len())
        {
            self.memory.take(tensor, self.unused);
        }
    }

    /// Runs a step.
    pub fn step(&mut self, step: &Step) -> Result<(), ExecuteError> {
        self.unused = self.program.peak.saturating_sub(step.alive);
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
        if let Some(result) = self.own(node) {
            *self.slot(node.outputs[0]) = Some(result);
            for (&value, _) in node.inputs.iter().zip(handed).filter(|(_, handed)| **handed) {
                self.end(value);
            }
            return Ok(());
        }
        let mut inputs = Vec::with_capacity(handed.len());
        for (&value, &handed) in node.inputs.iter().zip(handed) {
            let tensor = if handed {
                let taken = self.slot(value).take();
                taken.ok_or_else(|| undefined(value, node.op.name()))?
            } else {
                self.read(value, || node.op.name())?
            };
            inputs.push(access::of_flex(tensor, self.program.kinds[value.index()]));
        }
        let types = &self.program.results[position];
        let results = apply::<Flex>(&node.op, inputs, types, &Default::default())?;
        for (&value, result) in node.outputs.iter().zip(results) {
            *self.slot(value) = access::unwrapped(result);
        }
        Ok(())
    }

    /// The result of an operation that is not left to the backend.
    fn own(&mut self, node: &Node) -> Option<FlexTensor> {
        let &[output] = &node.outputs[..] else { return None };
        let result = self.graph.value(output);
        let memory = (&mut self.memory, self.unused);
        let slot = |value: &ValueId| self.slots[self.program.slots[value.index()]].as_ref();
        if let [x] = &node.inputs[..] {
            return moved(&node.op, slot(x)?, &result.shape, memory);
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

    fn chain(&mut self, chain: &Chain) -> Result<(), ExecuteError> {
        let mut results: Vec<FlexTensor> = Vec::with_capacity(chain.results);
        for register in 0..chain.results {
            let first = chain.outputs.iter().find(|output| output.register == register);
            let shape = first.map_or_else(|| Shape::from(vec![chain.len]), |one| one.shape.clone());
            results.push(self.memory.tensor(shape, chain.dtype, self.unused));
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
            *self.slot(output.value) = match results.get(output.register) {
                Some(_) if is_first && output.register + 1 == results.len() => results.pop(),
                Some(result) if is_first => Some(result.clone()),
                result => result.map(|result| result.reshape(output.shape.clone())),
            };
        }
        Ok(())
    }

    fn product(&mut self, product: &Product) -> Result<(), ExecuteError> {
        let (mut result, accum) = match product.onto {
            Some(value) => {
                let own = self.slot(value).take();
                (own.ok_or_else(|| undefined(value, "a sum of products".into()))?, Accum::Add)
            }
            None => {
                let shape = product.shape.clone();
                (self.memory.tensor(shape, product.dtype, self.unused), Accum::Replace)
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
        *self.slot(product.result) = Some(result);
        Ok(())
    }
}
