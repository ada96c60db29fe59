//! The adapter without our kernels: what a dispatch costs that does nothing, and what bytes cost on their way there and back.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use punctual::kernel::gpu::adapter::Found;

use crate::Pace;
use crate::times::{Times, time};

struct Raw {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a native future is ready when it is made"),
    }
}

fn open(found: &Found) -> Raw {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = ready(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let adapter = adapters.into_iter().find(|a| a.get_info().name == found.name).unwrap();
    let (device, queue) =
        ready(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    Raw { device, queue }
}

impl Raw {
    fn buffer(&self, size: usize, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: size as u64,
            usage,
            mapped_at_creation: false,
        })
    }

    fn wait(&self) {
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    }

    fn map(&self, buffer: &wgpu::Buffer, mode: wgpu::MapMode) {
        buffer.map_async(mode, .., |r| r.unwrap());
        self.wait();
    }

    fn copy(&self, from: &wgpu::Buffer, to: &wgpu::Buffer) {
        let mut encoder =
            self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
        self.queue.submit([encoder.finish()]);
    }
}

/// Prints the costs.
pub(crate) fn report(found: &Found, pace: Pace) {
    let raw = open(found);
    dispatches(&raw, pace);
    transfers(&raw, pace);
}

fn dispatches(raw: &Raw, pace: Pace) {
    let text = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
        @compute @workgroup_size(1) fn main() { y[0] += 1u; }";
    let module = raw.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = raw.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let y = raw.buffer(256, wgpu::BufferUsages::STORAGE);
    let group = raw.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: y.as_entire_binding() }],
    });
    let submit = || {
        let mut encoder =
            raw.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        raw.queue.submit([encoder.finish()])
    };
    println!("\na dispatch of one thread, us:              p50       p99     p99.9");
    println!(
        "  first one, with its compilation {:>13.1}",
        time(|| {
            submit();
            raw.wait();
        })
    );
    let n = pace.trips;
    println!("  encode and submit, not waited for {}", {
        let times = (0..n)
            .map(|_| {
                let t = time(|| {
                    submit();
                });
                raw.wait();
                t
            })
            .collect();
        Times::from(times).said()
    });
    println!(
        "  there and back, blocking          {}",
        Times::of(n, || {
            submit();
            raw.wait();
        })
        .said()
    );
    println!(
        "  there and back, looking           {}",
        Times::of(n, || {
            submit();
            while !raw.device.poll(wgpu::PollType::Poll).unwrap().is_queue_empty() {}
        })
        .said()
    );
    let pipelined = Times::of(n.div_ceil(64), || {
        for _ in 0..64 {
            submit();
        }
        raw.wait();
    });
    println!("  64 in a row, each                 {:>9.1}", pipelined.median() / 64.0);
}

fn transfers(raw: &Raw, pace: Pace) {
    println!("\ntransfers, us (GB/s):           upload              readback");
    let sizes = [4 << 10, 64 << 10, 1 << 20, 16 << 20].into_iter();
    for size in sizes.filter(|s| *s <= pace.transfer_max) {
        use wgpu::BufferUsages as Usage;
        let upload = raw.buffer(size, Usage::MAP_WRITE | Usage::COPY_SRC);
        let there = raw.buffer(size, Usage::COPY_DST | Usage::COPY_SRC);
        let readback = raw.buffer(size, Usage::MAP_READ | Usage::COPY_DST);
        let bytes = vec![7_u8; size];
        raw.map(&upload, wgpu::MapMode::Write);
        let up = Times::of(pace.runs, || {
            upload.get_mapped_range_mut(..).unwrap().copy_from_slice(&bytes);
            upload.unmap();
            raw.copy(&upload, &there);
            raw.map(&upload, wgpu::MapMode::Write);
        });
        let mut room = vec![0_u8; size];
        let down = Times::of(pace.runs, || {
            raw.copy(&there, &readback);
            raw.map(&readback, wgpu::MapMode::Read);
            room.copy_from_slice(&readback.get_mapped_range(..).unwrap());
            readback.unmap();
        });
        assert_eq!(room, bytes, "what went there came back");
        let said =
            |t: &Times| format!("{:>9.1} ({:>5.1})", t.median(), size as f64 / t.median() / 1e3);
        println!("  {:>6} KiB          {}    {}", size >> 10, said(&up), said(&down));
    }
}
