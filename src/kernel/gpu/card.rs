//! An open device: its queue, its shaders, and what became of it.
//!
//! Knows no batch. Every fault of a device is a value here: wgpu panics on some, for which `guarded` is there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::GpuError;
use super::adapter::{self, Found, ready};

/// The shaders, by what they do.
#[derive(Debug)]
pub(super) struct Shaders {
    pub(super) float: wgpu::ShaderModule,
    pub(super) quantise: wgpu::ShaderModule,
    pub(super) bytes: wgpu::ShaderModule,
    pub(super) crc32c: wgpu::ShaderModule,
}

/// A device that was opened.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) found: Found,
    pub(super) shaders: Shaders,
    /// Why it is good for nothing any more.
    trouble: Arc<OnceLock<String>>,
}

impl Card {
    /// Opens the best adapter.
    pub(super) fn open(allow_software: bool) -> Result<Self, GpuError> {
        let (adapter, found) = adapter::choose(allow_software)?;
        let refused = |why: String| GpuError::Device { adapter: found.to_string(), why };
        let (device, queue) = ready(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("punctual"),
            required_features: wgpu::Features::TIMESTAMP_QUERY & adapter.features(),
            ..Default::default()
        }))
        .ok_or_else(|| refused("it does not answer".to_owned()))?
        .map_err(|e| refused(e.to_string()))?;
        let trouble = Arc::new(OnceLock::new());
        let note = |trouble: &Arc<OnceLock<String>>| {
            let trouble = Arc::clone(trouble);
            // Only the first one is worth a word: what follows follows from it.
            move |why: String| drop(trouble.set(why))
        };
        let lost = note(&trouble);
        device.set_device_lost_callback(move |reason, text| {
            lost(format!("the device is lost ({reason:?}): {text}"));
        });
        // Without a handler of ours, wgpu's panics.
        let wrong = note(&trouble);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| wrong(error.to_string())));
        let shaders = scoped(&device, "the shaders", || Shaders {
            float: module(&device, "float", include_str!("float.wgsl")),
            quantise: module(&device, "quantise", include_str!("quantise.wgsl")),
            bytes: module(&device, "bytes", include_str!("bytes.wgsl")),
            crc32c: module(&device, "crc32c", include_str!("crc32c.wgsl")),
        })?;
        Ok(Self { device, queue, found, shaders, trouble })
    }

    /// Makes something of the device's, and says what was wrong with it.
    pub(super) fn make<T>(&self, what: &str, make: impl FnOnce() -> T) -> Result<T, GpuError> {
        scoped(&self.device, what, make)
    }

    /// A pipeline of `module` with these constants.
    pub(super) fn pipeline(
        &self,
        module: &wgpu::ShaderModule,
        constants: &[(&str, f64)],
    ) -> wgpu::ComputePipeline {
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                ..Default::default()
            },
            cache: None,
        })
    }

    /// Whole buffers in the order of their bindings.
    pub(super) fn group(
        &self,
        pipeline: &wgpu::ComputePipeline,
        buffers: &[wgpu::BindingResource<'_>],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource: resource.clone() })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    /// A buffer of `size` bytes.
    pub(super) fn buffer(&self, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let mapped_at_creation = usage.contains(wgpu::BufferUsages::MAP_WRITE);
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation,
        })
    }

    /// Why it is good for nothing, if so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// Says that it is good for nothing.
    pub(super) fn fail(&self, why: &str) {
        drop(self.trouble.set(why.to_owned()));
    }

    /// Runs the callbacks of what is done, without waiting.
    pub(super) fn look(&self) {
        self.poll(wgpu::PollType::Poll);
    }

    /// Waits for a submission, at most that long.
    pub(super) fn wait(&self, index: &wgpu::SubmissionIndex, timeout: Duration) {
        let submission_index = Some(index.clone());
        self.poll(wgpu::PollType::Wait { submission_index, timeout: Some(timeout) });
    }

    fn poll(&self, how: wgpu::PollType) {
        match guarded(|| self.device.poll(how)) {
            Some(Ok(_) | Err(wgpu::PollError::Timeout)) => {}
            Some(Err(error)) => self.fail(&error.to_string()),
            None => self.fail("the driver reports an error in the midst of a wait"),
        }
    }

    /// Whether nothing is left that it works on, so that closing it does not wait. Never so where it does not answer.
    pub(super) fn idle(&self) -> bool {
        let status = guarded(|| self.device.poll(wgpu::PollType::Poll));
        matches!(status, Some(Ok(wgpu::PollStatus::QueueEmpty)))
    }
}

/// Runs what may panic within wgpu, which has no other word for a device that the driver lost. None if it did.
pub(super) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

fn module(device: &wgpu::Device, name: &str, text: &str) -> wgpu::ShaderModule {
    device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    })
}

fn scoped<T>(device: &wgpu::Device, what: &str, make: impl FnOnce() -> T) -> Result<T, GpuError> {
    let filters = [
        wgpu::ErrorFilter::Internal,
        wgpu::ErrorFilter::OutOfMemory,
        wgpu::ErrorFilter::Validation,
    ];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let made = guarded(make);
    let mut wrong = None;
    for scope in scopes.into_iter().rev() {
        wrong = ready(scope.pop()).flatten().or(wrong);
    }
    let failed = |why: String| GpuError::Build { what: what.to_owned(), why };
    match (made, wrong) {
        (_, Some(error)) => Err(failed(error.to_string())),
        (None, None) => Err(failed("the driver gave up".to_owned())),
        (Some(made), None) => Ok(made),
    }
}
