//! A backend that counts what it is handed, and computes on Flex. Its vectors are those of a device: they are reached by
//! operations alone.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, AtomicU64, Ordering::Relaxed},
    },
};

use burn::backend::Flex;
use burn_backend::{
    DType, DTypeUsageSet, DeviceId, DeviceOps, DeviceSettings, ExecutionError, Shape, TensorData,
    backend,
};
use burn_flex::FlexDevice;
use burn_ir::{
    BackendIr, BaseOperationIr, GraphBindings, GraphId, OperationIr, TensorId, TensorIr,
};
use burn_router::{
    BackendRouter, MultiBackendBridge, RouterChannel, RouterClient, RouterTensor,
    TensorInterpreter, get_client,
};

/// The backend.
pub type Counting = BackendRouter<Channel>;

/// What a device was handed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that compute or copy.
    pub operations: usize,
    /// Slices, reshapes and other views, which need no kernel if their memory is aligned.
    pub views: usize,
    /// Tensors brought from the host.
    pub uploads: usize,
    /// Times that the host waited for a result; values read together count once.
    pub waits: usize,
}

impl std::ops::Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            operations: self.operations - other.operations,
            views: self.views - other.views,
            uploads: self.uploads - other.uploads,
            waits: self.waits - other.waits,
        }
    }
}

/// One device with counts of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountingDevice(u16);

impl CountingDevice {
    /// A device that nobody else uses.
    pub fn fresh() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// What it was handed so far.
    pub fn counts(&self) -> Counts {
        get_client::<Channel>(self).state().counts
    }
}

impl backend::Device for CountingDevice {
    fn from_id(id: DeviceId) -> Self {
        Self(id.index_id)
    }

    fn to_id(&self) -> DeviceId {
        DeviceId::new(99, self.0)
    }
}

impl DeviceOps for CountingDevice {
    fn defaults(&self) -> DeviceSettings {
        FlexDevice.defaults()
    }
}

#[derive(Clone)]
pub struct Channel;

impl RouterChannel for Channel {
    type Device = CountingDevice;
    type Bridge = Bridge;
    type Client = Client;

    fn name(_: &CountingDevice) -> String {
        "counting".into()
    }

    fn init_client(device: &CountingDevice) -> Client {
        let interpreter = TensorInterpreter::new(FlexDevice);
        let state = State { interpreter, counts: Counts::default(), waiting: false };
        Client { device: device.clone(), state: Arc::new(Mutex::new(state)) }
    }

    fn get_tensor_handle(tensor: &TensorIr, client: &Client) -> Handle {
        client.state().interpreter.get_tensor_handle(tensor)
    }

    fn register_tensor(
        client: &Client,
        handle: Handle,
        shape: Shape,
        dtype: DType,
    ) -> RouterTensor<Client> {
        client.state().interpreter.register_tensor(handle, shape, dtype, client.clone())
    }
}

/// A tensor of the interpreter.
type Handle = <Flex as BackendIr>::Handle;

/// All devices compute in the same memory.
pub struct Bridge;

impl MultiBackendBridge for Bridge {
    type TensorHandle = Handle;
    type Device = CountingDevice;

    fn change_backend_float(tensor: Handle, _: Shape, _: &CountingDevice) -> Handle {
        tensor
    }

    fn change_backend_int(tensor: Handle, _: Shape, _: &CountingDevice) -> Handle {
        tensor
    }

    fn change_backend_bool(tensor: Handle, _: Shape, _: &CountingDevice) -> Handle {
        tensor
    }
}

pub struct State {
    interpreter: TensorInterpreter<Flex>,
    counts: Counts,
    /// Whether the last thing asked for was a value.
    waiting: bool,
}

#[derive(Clone)]
pub struct Client {
    device: CountingDevice,
    state: Arc<Mutex<State>>,
}

impl Client {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RouterClient for Client {
    type Device = CountingDevice;

    fn register_op(&self, op: OperationIr) {
        use BaseOperationIr::{Expand, Permute, Reshape, Slice, SwapDims};
        let mut state = self.state();
        match &op {
            OperationIr::Drop(_) => {}
            OperationIr::Init(_) => state.counts.uploads += 1,
            OperationIr::BaseFloat(op) | OperationIr::BaseInt(op) | OperationIr::BaseBool(op)
                if matches!(op, Expand(_) | Permute(_) | Reshape(_) | Slice(_) | SwapDims(_)) =>
            {
                state.counts.views += 1;
            }
            _ => state.counts.operations += 1,
        }
        state.waiting &= matches!(op, OperationIr::Drop(_));
        state.interpreter.register_op(op);
    }

    fn read_tensor_async(
        &self,
        tensor: TensorIr,
    ) -> Pin<Box<dyn Future<Output = Result<TensorData, ExecutionError>> + Send>> {
        let mut state = self.state();
        state.counts.waits += usize::from(!state.waiting);
        state.waiting = true;
        state.interpreter.read_tensor_async(tensor)
    }

    fn sync(&self) -> Result<(), ExecutionError> {
        Ok(())
    }

    fn flush(&self) {}

    fn create_empty_handle(&self) -> TensorId {
        // Away from those that the interpreter makes.
        static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
        TensorId::new(NEXT.fetch_add(1, Relaxed))
    }

    fn register_tensor_data(&self, data: TensorData) -> RouterTensor<Self> {
        let (id, shape, dtype) = (self.create_empty_handle(), data.shape().clone(), data.dtype());
        self.state().interpreter.register_tensor_data_id(id, data);
        RouterTensor::new(id, shape, dtype, self.clone())
    }

    fn device(&self) -> CountingDevice {
        self.device.clone()
    }

    fn seed(&self, seed: u64) {
        self.state().interpreter.seed(seed);
    }

    fn dtype_usage(&self, dtype: DType) -> DTypeUsageSet {
        self.state().interpreter.dtype_usage(dtype)
    }

    fn register_and_execute_graph(&self, _: GraphId, _: Vec<OperationIr>, _: GraphBindings) {
        unreachable!("graphs are those of a fused backend")
    }

    fn execute_graph(&self, _: GraphId, _: GraphBindings) {
        unreachable!("graphs are those of a fused backend")
    }

    fn register_alias(&self, new_id: TensorId, src_id: TensorId) {
        self.state().interpreter.register_alias(new_id, src_id);
    }
}
