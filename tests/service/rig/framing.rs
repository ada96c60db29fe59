//! The framed header, written by hand from the interface's table so that it checks the program's own.

use std::time::Duration;

pub(crate) const REQUEST: u8 = 0;
pub(crate) const ANSWER: u8 = 1;
pub(crate) const REFUSAL: u8 = 2;
pub(crate) const PING: u8 = 3;
pub(crate) const PONG: u8 = 4;

/// A framed datagram.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) status: u8,
    pub(crate) kernel: u16,
    pub(crate) flow: u32,
    pub(crate) request: u64,
    pub(crate) budget_us: u32,
    pub(crate) stamp: u32,
    pub(crate) payload: Vec<u8>,
}

impl Ask {
    /// A request that leaves everything to the config.
    pub(crate) fn new(payload: &[u8]) -> Self {
        Self {
            kind: REQUEST,
            flags: 0,
            status: 255,
            kernel: 0,
            flow: 0,
            request: 0,
            budget_us: 0,
            stamp: 0,
            payload: payload.to_vec(),
        }
    }

    pub(crate) fn priority(self, wire_id: u8) -> Self {
        Self { status: wire_id, ..self }
    }

    pub(crate) fn budget(self, budget: Duration) -> Self {
        Self { budget_us: u32::try_from(budget.as_micros()).unwrap(), ..self }
    }

    pub(crate) fn wants_refusal(self) -> Self {
        Self { flags: 1, ..self }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![b'P', b'N', b'C', b'T', 1, self.kind, self.flags, self.status];
        bytes.extend(self.kernel.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.flow.to_be_bytes());
        bytes.extend(self.request.to_be_bytes());
        bytes.extend(self.budget_us.to_be_bytes());
        bytes.extend(self.stamp.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}
