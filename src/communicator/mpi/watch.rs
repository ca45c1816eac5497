//! The messages between ranks besides sums: that they have returned, and what they are waiting for. A rank that learns
//! that its sum can never be completed ends the job.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use mpi::{
    topology::{Rank, SimpleCommunicator},
    traits::{Communicator, Destination, Source},
};

use super::agreement::Question;

/// Marks the messages between sums.
const TAG: i32 = 0x4243;

/// Returned, after the given number of sums.
const LEFT: u64 = 1;
/// Waits in a sum.
const WAITS: u64 = 2;
/// Is about to sum, and asks whether the others are.
pub(super) const ASKS: u64 = 3;
/// Has learned that some rank is about to sum something else.
pub(super) const DIFFERS: u64 = 4;

/// How long a rank waits before it says for what.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a rank sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Call {
    pub elements: usize,
    /// The element type.
    pub kind: &'static str,
}

impl Call {
    pub fn bits(self) -> u64 {
        if self.kind == "f32" { 32 } else { 64 }
    }

    fn of(elements: u64, bits: u64) -> Self {
        Self { elements: elements as usize, kind: if bits == 32 { "f32" } else { "f64" } }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers in {}", self.elements, self.kind)
    }
}

/// What a rank knows of the others.
pub(super) struct Watch {
    pub rank: usize,
    /// Sums begun, and agreements on them.
    pub sums: u64,
    /// What all ranks have summed last.
    pub agreed: Option<Call>,
    /// What others have said of the sums that they are about to make.
    pub questions: Vec<Question>,
    /// After how many sums each rank has returned.
    left: Vec<Option<u64>>,
    /// Tests of the sum at hand.
    tests: u32,
    begun: Instant,
    said: bool,
}

impl Watch {
    pub fn new(rank: usize, size: usize) -> Self {
        let begun = Instant::now();
        let left = vec![None; size];
        Self {
            rank,
            sums: 0,
            agreed: None,
            questions: Vec::new(),
            left,
            tests: 0,
            begun,
            said: false,
        }
    }

    pub fn size(&self) -> usize {
        self.left.len()
    }

    /// Whether this rank has returned.
    pub fn has_left(&self) -> bool {
        self.left.get(self.rank).is_some_and(Option::is_some)
    }

    /// A sum begins.
    pub fn begin(&mut self) {
        self.sums += 1;
        (self.tests, self.begun, self.said) = (0, Instant::now(), false);
    }

    /// Called between two tests of a sum that is not complete. An error says why it cannot be completed.
    pub fn wait(&mut self, world: &SimpleCommunicator, call: Call) -> Result<(), String> {
        self.tests = self.tests.wrapping_add(1);
        if self.tests.is_multiple_of(32) {
            thread::yield_now(); // to a rank on the same core
        }
        if !self.tests.is_multiple_of(2048) {
            return Ok(());
        }
        self.hear(world, Some(call))?;
        if !self.said && self.begun.elapsed() > PATIENCE {
            self.said = true;
            let message = [WAITS, self.sums, call.elements as u64, call.bits()];
            self.tell_all(world, message);
        }
        Ok(())
    }

    /// Notifies the others that this rank has returned, and waits until all have.
    pub fn leave(&mut self, world: &SimpleCommunicator) {
        if let Some(own) = self.left.get_mut(self.rank) {
            *own = Some(self.sums);
        }
        self.tell_all(world, [LEFT, self.sums, 0, 0]);
        while self.left.iter().any(Option::is_none) {
            // A rank that waits for a sum of this one ends the job.
            let _ = self.hear(world, None);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Notifies all others.
    pub fn tell_all(&self, world: &SimpleCommunicator, message: [u64; 4]) {
        self.tell((0..self.size()).filter(|&other| other != self.rank), world, message);
    }

    /// Notifies some ranks.
    pub fn tell(
        &self,
        others: impl IntoIterator<Item = usize>,
        world: &SimpleCommunicator,
        message: [u64; 4],
    ) {
        for other in others {
            world.process_at_rank(other as Rank).send_with_tag(&message, TAG);
        }
    }

    /// Receives the messages of other ranks. An error says why the sum that this rank waits for cannot be completed.
    pub fn hear(&mut self, world: &SimpleCommunicator, call: Option<Call>) -> Result<(), String> {
        while let Some(status) = world.any_process().immediate_probe_with_tag(TAG) {
            let from = status.source_rank();
            let mut message = [0_u64; 4];
            world.process_at_rank(from).receive_into_with_tag(&mut message, TAG);
            match (message, call) {
                ([LEFT, sums, ..], _) => {
                    if let Some(left) = self.left.get_mut(from as usize) {
                        *left = Some(sums);
                    }
                }
                ([kind @ (ASKS | DIFFERS), sums, elements, bits], _) => {
                    let (other, differs) = (Call::of(elements, bits), kind == DIFFERS);
                    // One that has agreed waits for its sum already.
                    if let (Some(call), true) = (call, self.agreed.is_some() && sums == self.sums) {
                        return Err(otherwise(call, from, other));
                    }
                    let from = from as usize;
                    self.questions.push(Question { from, sums, call: other, differs });
                }
                ([WAITS, sums, elements, bits], Some(call)) => {
                    let other = Call::of(elements, bits);
                    if sums == self.sums && other != call {
                        return Err(otherwise(call, from, other));
                    }
                }
                _ => {}
            }
        }
        let mut gone = self.left.iter().enumerate();
        match gone.find(|(_, left)| left.is_some_and(|sums| sums < self.sums)) {
            Some((rank, _)) if call.is_some() => Err(format!(
                "waits for a sum in which rank {rank} takes no part, because it has returned: all ranks make the same \
                 calls in the same order"
            )),
            _ => Ok(()),
        }
    }
}

fn otherwise(own: Call, rank: Rank, other: Call) -> String {
    format!(
        "sums {own} where rank {rank} sums {other}: all ranks make the same calls in the same order, with vectors of the same \
         layout and precision"
    )
}
