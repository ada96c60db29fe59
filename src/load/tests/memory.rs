//! A driver that lives in memory, on a clock that moves only when it is used.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::base::{Clock, Instant, Nanos, SocketId};
use crate::io::{Driver, ReceiveReport, Received, SendError, SendFailure, Stamp, TxBatch};

/// A clock that several can hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(pub(super) Rc<Cell<Instant>>);

impl Shared {
    pub(super) fn advance(&self, span: Nanos) {
        self.0.set(self.0.get() + span);
    }
}

impl Clock for Shared {
    fn now(&self) -> Instant {
        self.0.get()
    }
}

/// What comes back for the n-th datagram: answers, each with its delay.
pub(super) type Service = Box<dyn FnMut(u64, &[u8]) -> Vec<(Nanos, Vec<u8>)>>;

pub(super) struct Memory {
    pub(super) clock: Shared,
    pub(super) service: Service,
    pub(super) on_the_way: VecDeque<(Instant, SocketId, Vec<u8>)>,
    pub(super) datagrams: u64,
    pub(super) trains: u64,
    /// At this time one send takes 200 ms.
    pub(super) stall_at: Option<Instant>,
    pub(super) fail: Option<SendError>,
}

impl Memory {
    pub(super) fn new(
        service: impl FnMut(u64, &[u8]) -> Vec<(Nanos, Vec<u8>)> + 'static,
    ) -> (Self, Shared) {
        let clock = Shared::default();
        let memory = Self {
            clock: clock.clone(),
            service: Box::new(service),
            on_the_way: VecDeque::new(),
            datagrams: 0,
            trains: 0,
            stall_at: None,
            fail: None,
        };
        (memory, clock)
    }
}

impl Driver for Memory {
    fn receive(
        &mut self,
        now: Instant,
        _room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<ReceiveReport> {
        self.clock.advance(Nanos::from_micros(1));
        let mut report = ReceiveReport::default();
        while let Some((at, ..)) = self.on_the_way.front()
            && *at <= now
        {
            if report.messages == 64 {
                report.more = true;
                break;
            }
            let (at, socket, bytes) = self.on_the_way.pop_front().unwrap();
            report.messages += 1;
            let peer = SocketAddr::from(([127, 0, 0, 1], 9));
            sink(Received {
                socket,
                peer,
                local: None,
                tos: 0,
                stamp: Stamp::Kernel(at),
                segment: 0,
                truncated: false,
                bytes: &bytes,
            });
        }
        Ok(report)
    }

    fn transmit(
        &mut self,
        memory: &[u8],
        batch: &TxBatch,
        failed: &mut Vec<SendFailure>,
    ) -> io::Result<()> {
        if self.stall_at.is_some_and(|at| at <= self.clock.now()) {
            self.stall_at = None;
            self.clock.advance(Nanos::from_millis(200));
        }
        for (i, message) in (0..).zip(&batch.messages) {
            if let Some(error) = self.fail {
                failed.push(SendFailure { message: i, error, departed: 0 });
                continue;
            }
            self.trains += u64::from(message.segment > 0);
            for part in message.parts.clone() {
                let part = batch.parts[part as usize];
                let bytes = &memory[part.start as usize..][..part.len as usize];
                let segment = usize::from(message.segment);
                let size = if segment == 0 { bytes.len().max(1) } else { segment };
                for datagram in bytes.chunks(size) {
                    for (delay, answer) in (self.service)(self.datagrams, datagram) {
                        let at = self.clock.now() + delay;
                        self.on_the_way.push_back((at, message.socket, answer));
                    }
                    self.datagrams += 1;
                }
            }
        }
        self.on_the_way.make_contiguous().sort_by_key(|(at, ..)| *at);
        Ok(())
    }

    fn wait(&mut self, timeout: Nanos) -> io::Result<()> {
        let next = self.on_the_way.front().map_or(Nanos::MAX, |(at, ..)| *at - self.clock.now());
        self.clock.advance(next.min(timeout));
        Ok(())
    }

    fn kernel_drops(&mut self, _: SocketId) -> u64 {
        0
    }
}
