//! How the worker's figures come to be seen: all at once, when somebody asks and before it sleeps.

use super::super::options::SocketRole;
use super::EventLoop;
use crate::base::{Clock, Instant, SocketId};
use crate::io::Driver;
use crate::stats::{Field, WorkerField};

impl<C: Clock, D: Driver> EventLoop<'_, C, D> {
    pub(super) fn show_if_asked(&mut self, now: Instant) {
        let asked = self.shared.board.asked();
        if asked != self.asked {
            self.asked = asked;
            self.publish(now);
        }
    }

    /// Brings the gauges up to date and shows everything.
    pub(super) fn publish(&mut self, now: Instant) {
        self.count_kernel_drops();
        self.worker.refresh_gauges();
        self.worker.counters_mut().set_worker(WorkerField::PublishedAt, now.as_nanos());
        self.shared.board.publish(self.worker.counters().words());
        self.dirty = false;
    }

    fn count_kernel_drops(&mut self) {
        for place in 0..self.worker.ruled_count() {
            let socket = SocketId(u16::try_from(place).unwrap_or(u16::MAX));
            let (ingress, priority) = match self.worker.role(socket) {
                SocketRole::Listen { ingress, class } => (ingress, class),
                SocketRole::Upstream { .. } | SocketRole::Send => continue,
            };
            let drops = self.driver.kernel_drops(socket);
            let new = self.worker.new_kernel_drops(socket, drops);
            let priority = priority.unwrap_or_else(|| self.worker.default_priority(ingress));
            self.worker.counters_mut().cell(ingress, priority).add(Field::KernelDropped, new);
        }
    }
}
