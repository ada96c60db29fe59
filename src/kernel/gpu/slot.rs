//! The memory of one batch in flight on a device, made once: where rows are written to, worked on, and read from.
//!
//! Knows no order: `mod.rs` says which batch is in which slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use wgpu::BufferUsages as Usage;

use super::GpuError;
use super::card::{Card, guarded};
use super::net::{Bound, Net, VECTOR};
use super::timer::{STAMPS, Timer};
use crate::base::Nanos;
use crate::kernel::accel::Staged;
use crate::kernel::{Row, RowStatus};

/// Before the rows: how many there are, in a part of its own so that it may be bound by itself on every adapter.
const HEAD: usize = 256;
/// Bytes of it that are bound.
const HEAD_BOUND: u64 = 16;

/// How wide the rows of the kernels are, in vectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub(super) rows: usize,
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) widest: usize,
    /// 0 where no kernel runs in bytes.
    pub(super) bytes: usize,
}

const PENDING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

/// Whether the slot's two ends are in our hands.
#[derive(Debug, Default)]
struct Maps {
    upload: AtomicU8,
    readback: AtomicU8,
}

/// One batch's memory.
#[derive(Debug)]
pub(super) struct Slot {
    upload: wgpu::Buffer,
    x: wgpu::Buffer,
    readback: wgpu::Buffer,
    /// By kernel: its steps, joined to this memory.
    programs: Vec<Program>,
    maps: Arc<Maps>,
    /// Which rows of the batch went in, in order.
    taken: Vec<usize>,
    row: Vec<f32>,
    timer: Option<Timer>,
}

#[derive(Debug)]
struct Program {
    groups: Vec<wgpu::BindGroup>,
    /// Where the last step leaves the answers.
    result: wgpu::Buffer,
}

impl Slot {
    pub(super) fn new(
        card: &Card,
        nets: &[&Net],
        widths: Widths,
        timed: bool,
    ) -> Result<Self, GpuError> {
        card.make("a batch's memory", || Self::build(card, nets, widths, timed))
    }

    fn build(card: &Card, nets: &[&Net], widths: Widths, timed: bool) -> Self {
        let bytes = |vectors: usize| (widths.rows * vectors.max(1) * VECTOR) as u64;
        let input = HEAD as u64 + bytes(widths.input);
        let x = card.buffer(input, Usage::STORAGE | Usage::COPY_DST);
        let ends =
            [0, 1].map(|_| card.buffer(bytes(widths.widest), Usage::STORAGE | Usage::COPY_SRC));
        let quantised = card.buffer(bytes(widths.bytes), Usage::STORAGE);
        let scales = card.buffer(bytes(1), Usage::STORAGE);
        let part = |offset: u64, size: u64| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &x,
                offset,
                size: std::num::NonZero::new(size),
            })
        };
        let program = |net: &Net| {
            let head = || part(0, HEAD_BOUND);
            let mut from = None;
            let mut next = 0;
            let mut groups = Vec::with_capacity(net.steps.len());
            for step in &net.steps {
                let x = match from {
                    None => part(HEAD as u64, input - HEAD as u64),
                    Some(i) => wgpu::Buffer::as_entire_binding(&ends[i]),
                };
                let y = ends[next].as_entire_binding();
                let (q, s) = (quantised.as_entire_binding(), scales.as_entire_binding());
                let group = match &step.bound {
                    Bound::Float { weights, bias, .. } => {
                        let (w, b) = (weights.as_entire_binding(), bias.as_entire_binding());
                        card.group(&step.pipeline, &[head(), x, w, b, y])
                    }
                    Bound::Quantise => card.group(&step.pipeline, &[head(), x, q, s]),
                    Bound::Bytes { weights, about, .. } => {
                        let (w, a) = (weights.as_entire_binding(), about.as_entire_binding());
                        card.group(&step.pipeline, &[head(), q, s, w, a, y])
                    }
                };
                groups.push(group);
                if !matches!(step.bound, Bound::Quantise) {
                    from = Some(next);
                    next = 1 - next;
                }
            }
            Program { groups, result: ends[from.unwrap_or(0)].clone() }
        };
        let programs = nets.iter().map(|net| program(net)).collect();
        Self {
            upload: card.buffer(input, Usage::MAP_WRITE | Usage::COPY_SRC),
            readback: card.buffer(bytes(widths.output) + STAMPS, Usage::MAP_READ | Usage::COPY_DST),
            programs,
            maps: Arc::new(Maps {
                upload: AtomicU8::new(MAPPED),
                readback: AtomicU8::new(PENDING),
            }),
            taken: Vec::with_capacity(widths.rows),
            row: vec![0.0; widths.input * VECTOR / size_of::<f32>()],
            timer: if timed { Timer::new(card) } else { None },
            x,
        }
    }

    /// Whether a batch may be put in: its upload memory is ours.
    pub(super) fn free(&self) -> bool {
        self.maps.upload.load(Ordering::Acquire) == MAPPED
    }

    /// Whether the batch is back: both ends are ours.
    pub(super) fn back(&self) -> bool {
        let mapped = |of: &AtomicU8| of.load(Ordering::Acquire) == MAPPED;
        mapped(&self.maps.upload) && mapped(&self.maps.readback)
    }

    /// Whether the batch will never be back.
    pub(super) fn failed(&self) -> bool {
        let failed = |of: &AtomicU8| of.load(Ordering::Acquire) == FAILED;
        failed(&self.maps.upload) || failed(&self.maps.readback)
    }

    /// Writes the rows that are right into the upload memory and starts them. None where the device does not take them; the
    /// batch itself is never changed.
    pub(super) fn start(
        &mut self,
        card: &Card,
        (at, net): (usize, &Net),
        staged: &Staged,
    ) -> Option<wgpu::SubmissionIndex> {
        self.write(net, staged)?;
        guarded(|| self.submit(card, at, net))
    }

    fn write(&mut self, net: &Net, staged: &Staged) -> Option<()> {
        let stride = net.input * VECTOR;
        let mut view = self.upload.get_mapped_range_mut(..).ok()?;
        self.taken.clear();
        let row = &mut self.row[..stride / size_of::<f32>()];
        // What lies behind the features is 0: whatever was there before belonged to another kernel.
        row.fill(0.0);
        for (i, of) in staged.rows().iter().enumerate() {
            let room = &mut row[..net.shape.inputs];
            if net.shape.take(staged.bytes_of(i), of.capacity, room) {
                let to = HEAD + self.taken.len() * stride;
                view.slice(to..to + stride).copy_from_slice(bytemuck::cast_slice(row));
                self.taken.push(i);
            }
        }
        let count = u32::try_from(self.taken.len()).ok()?;
        let head: [u32; 4] = [count, 0, 0, 0];
        view.slice(..size_of_val(&head)).copy_from_slice(bytemuck::cast_slice(&head));
        Some(())
    }

    fn submit(&self, card: &Card, at: usize, net: &Net) -> wgpu::SubmissionIndex {
        // A batch of which no row is right still comes back in its turn.
        let rows = self.taken.len().max(1);
        let program = &self.programs[at];
        self.upload.unmap();
        let mut encoder =
            card.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let sent = (HEAD + rows * net.input * VECTOR) as u64;
        encoder.copy_buffer_to_buffer(&self.upload, 0, &self.x, 0, sent);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: self.timer.as_ref().map(Timer::writes),
        });
        for (step, group) in net.steps.iter().zip(&program.groups) {
            pass.set_pipeline(&step.pipeline);
            pass.set_bind_group(0, group, &[]);
            let groups = u32::try_from(step.groups(rows)).unwrap_or(u32::MAX);
            pass.dispatch_workgroups(groups, 1, 1);
        }
        drop(pass);
        let answered = (rows * net.output * VECTOR) as u64;
        encoder.copy_buffer_to_buffer(&program.result, 0, &self.readback, 0, answered);
        let mapped = match &self.timer {
            Some(timer) => timer.resolve(&mut encoder, &self.readback, answered),
            None => answered,
        };
        self.maps.upload.store(PENDING, Ordering::Release);
        self.maps.readback.store(PENDING, Ordering::Release);
        let maps = Arc::clone(&self.maps);
        encoder.map_buffer_on_submit(&self.readback, wgpu::MapMode::Read, ..mapped, move |r| {
            maps.readback.store(outcome(&r), Ordering::Release);
        });
        let maps = Arc::clone(&self.maps);
        encoder.map_buffer_on_submit(&self.upload, wgpu::MapMode::Write, .., move |r| {
            maps.upload.store(outcome(&r), Ordering::Release);
        });
        card.queue.submit([encoder.finish()])
    }

    /// Writes the answers into the batch. None where they cannot be read, and nothing is changed then; else how long the device was
    /// at work, if it was timed.
    pub(super) fn finish(&self, net: &Net, staged: &mut Staged) -> Option<Option<Nanos>> {
        let answered = (self.taken.len().max(1) * net.output * VECTOR) as u64;
        let view = self.readback.get_mapped_range(..answered).ok()?;
        let (bytes, rows) = staged.parts();
        rows.iter_mut().for_each(|row| row.status = RowStatus::Failed);
        let numbers: &[f32] = bytemuck::cast_slice(&view);
        let stride = net.output * VECTOR / size_of::<f32>();
        for (numbers, i) in numbers.chunks_exact(stride).zip(&self.taken) {
            answer(net, &numbers[..net.shape.outputs], bytes, &mut rows[*i]);
        }
        drop(view);
        let time = self.timer.as_ref().and_then(|timer| timer.read(&self.readback, answered));
        self.readback.unmap();
        self.maps.readback.store(PENDING, Ordering::Release);
        Some(time)
    }
}

fn answer(net: &Net, numbers: &[f32], bytes: &mut [u8], row: &mut Row) {
    let memory = &mut bytes[row.start..row.start + row.capacity];
    if let Some(len) = net.shape.give(numbers, memory) {
        row.len = len;
        row.status = RowStatus::Done;
    }
}

const fn outcome(result: &Result<(), wgpu::BufferAsyncError>) -> u8 {
    if result.is_ok() { MAPPED } else { FAILED }
}
