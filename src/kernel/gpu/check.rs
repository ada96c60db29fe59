//! What a device must know the answer of before it gets a packet: checksums, and each kernel beside its reference.
//!
//! A driver that compiles a shader wrongly gives wrong answers without a word; newer software adapters have been seen to.

use std::time::Duration;

use wgpu::BufferUsages as Usage;
use wgpu::util::DeviceExt as _;

use super::card::{Card, guarded};
use super::{Gpu, GpuError};
use crate::base::{KernelId, Nanos};
use crate::kernel::accel::{Accelerator as _, Ended, Staged};
use crate::kernel::crc32c::checksum;
use crate::kernel::mlp::{Mlp, NUMBER_LEN, Precision, Spec};
use crate::kernel::simd::Level;
use crate::kernel::{Batch, Kernel as _, Row, RowStatus};

/// Rows whose answers are computed by the reference; longer batches repeat them.
const ROWS: usize = 40;
/// Work of the reference, in operations: wide networks are held to fewer rows.
const FLOPS_MAX: usize = 100_000_000;
/// How long a device may take for a test: the first run of a shader includes its compilation.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same in pieces.
const PIECE: Nanos = Nanos::from_millis(10);
const PIECES: u32 = 1_000;
/// Floats may differ by this share of the row's largest answer: sums are in another order.
const TOLERANCE: f32 = 1e-3;

/// Checksums of a few texts.
pub(super) fn crc32c(card: &Card) -> Result<(), GpuError> {
    let texts: Vec<Vec<u8>> = [0_u8, 1, 3, 4, 7, 64, 100]
        .iter()
        .map(|len| (0..*len).map(|i| i.wrapping_mul(89)).collect())
        .chain([b"123456789".to_vec()])
        .collect();
    let mut words: Vec<u32> = Vec::new();
    let mut rows: Vec<[u32; 2]> = Vec::new();
    for text in &texts {
        let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        rows.push([size(words.len()), size(text.len())]);
        let word = |c: &[u8]| c.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        words.extend(text.chunks(4).map(word));
    }
    let sums = checksums(card, &rows, &words)?;
    let wanted: Vec<u32> = texts.iter().map(|text| checksum(text)).collect();
    if sums == wanted {
        return Ok(());
    }
    let why = format!("it gives {sums:08x?}, not {wanted:08x?}");
    Err(GpuError::SelfTest { what: "crc32c".to_owned(), why })
}

fn checksums(card: &Card, rows: &[[u32; 2]], words: &[u32]) -> Result<Vec<u32>, GpuError> {
    let size = (rows.len() * size_of::<u32>()) as u64;
    let (readback, index) = card.make("a checksum", || {
        let made = |contents: &[u8]| {
            card.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents,
                usage: Usage::STORAGE,
            })
        };
        let (rows, words) = (made(bytemuck::cast_slice(rows)), made(bytemuck::cast_slice(words)));
        let sums = card.buffer(size, Usage::STORAGE | Usage::COPY_SRC);
        let readback = card.buffer(size, Usage::MAP_READ | Usage::COPY_DST);
        let pipeline = card.pipeline(&card.shaders.crc32c, &[]);
        let bound = [&rows, &words, &sums].map(wgpu::Buffer::as_entire_binding);
        let group = card.group(&pipeline, &bound);
        let mut encoder =
            card.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        encoder.copy_buffer_to_buffer(&sums, 0, &readback, 0, size);
        // Whether it could be mapped is seen when it is read.
        encoder.map_buffer_on_submit(&readback, wgpu::MapMode::Read, .., |_| {});
        let index = card.queue.submit([encoder.finish()]);
        (readback, index)
    })?;
    card.wait(&index, PATIENCE);
    let view = guarded(|| readback.get_mapped_range(..).ok()).flatten();
    let why = || card.trouble().unwrap_or("it does not come back").to_owned();
    let view = view.ok_or_else(|| GpuError::SelfTest { what: "crc32c".to_owned(), why: why() })?;
    Ok(bytemuck::cast_slice(&view).to_vec())
}

/// A perceptron at every size that is a power of two, and at the largest: the answers are those of the reference. Each pipeline
/// has been run at each size when this is through, so that no packet waits for a compiler.
pub(super) fn mlp(gpu: &mut Gpu, kernel: KernelId, spec: &Spec) -> Result<(), GpuError> {
    let rows = (FLOPS_MAX / spec.model.flops().max(1)).clamp(1, ROWS);
    let payloads: Vec<Vec<u8>> = (0..rows).map(|row| payload(spec, row)).collect();
    let wanted = reference(spec, &payloads);
    let most = gpu.rows_max();
    let mut sizes: Vec<usize> =
        std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|n| *n < most).collect();
    // Every slot has memory of its own to be touched.
    sizes.extend(std::iter::repeat_n(most, gpu.in_flight_max()));
    for size in sizes {
        let answers = run(gpu, kernel, spec, &payloads, size).map_err(|why| wrong(spec, &why))?;
        for (r, answer) in answers.iter().enumerate() {
            compare(spec, answer.as_deref(), wanted[r % rows].as_deref())
                .map_err(|why| wrong(spec, &format!("row {r} of {size}: {why}")))?;
        }
    }
    Ok(())
}

fn wrong(spec: &Spec, why: &str) -> GpuError {
    let what = format!("mlp {} with {}", spec.precision.word(), spec.weights);
    GpuError::SelfTest { what, why: why.to_owned() }
}

/// A row's answer; none if the row failed.
type Answer = Option<Vec<u8>>;

/// Runs `size` payloads, in as many slots as there are, one after the other.
fn run(
    gpu: &mut Gpu,
    kernel: KernelId,
    spec: &Spec,
    payloads: &[Vec<u8>],
    size: usize,
) -> Result<Vec<Answer>, String> {
    let room = spec.payload_len().max(spec.answer_len());
    let mut staged = Box::new(Staged::new(size, size * room));
    for r in 0..size {
        staged.push(&payloads[r % payloads.len()], room);
    }
    gpu.start(kernel, staged).map_err(|_refused| "it takes no batch".to_owned())?;
    let mut answers = Vec::with_capacity(size);
    let mut ended = None;
    for _ in 0..PIECES {
        gpu.wait(PIECE, &mut |staged, how| {
            ended = Some(how);
            let done = |i: usize| staged.rows()[i].status == RowStatus::Done;
            answers.extend((0..size).map(|i| done(i).then(|| staged.bytes_of(i).to_vec())));
        });
        let trouble = gpu.open.as_ref().and_then(|open| open.card.trouble());
        match (ended, trouble) {
            (Some(Ended::Run), _) => return Ok(answers),
            (Some(Ended::Lost), _) => break,
            (None, Some(why)) => return Err(why.to_owned()),
            (None, None) => {}
        }
    }
    Err("it does not come back".to_owned())
}

/// The answers of the reference.
fn reference(spec: &Spec, payloads: &[Vec<u8>]) -> Vec<Answer> {
    let room = spec.payload_len().max(spec.answer_len());
    let mut bytes = vec![0; room * payloads.len()];
    let mut rows: Vec<Row> = Vec::new();
    for (i, payload) in payloads.iter().enumerate() {
        bytes[i * room..][..payload.len()].copy_from_slice(payload);
        let (len, status) = (payload.len(), RowStatus::Failed);
        rows.push(Row { start: i * room, len, capacity: room, status });
    }
    Mlp::new(spec, Level::Scalar).run(&mut Batch::new(&mut bytes, &mut rows));
    let answer = |row: &Row| {
        (row.status == RowStatus::Done).then(|| bytes[row.start..row.start + row.len].to_vec())
    };
    rows.iter().map(answer).collect()
}

/// Numbers from -2 to 2, the same in every run.
fn payload(spec: &Spec, row: usize) -> Vec<u8> {
    let mut bytes = vec![0; spec.payload_len()];
    let mut drawn = row as u64 + 1;
    for to in bytes[spec.tag..].chunks_exact_mut(NUMBER_LEN) {
        drawn =
            drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [high, low, ..] = drawn.to_be_bytes();
        let number = f32::from(u16::from_be_bytes([high, low])) / 16_384.0 - 2.0;
        to.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// Whether the device's answer is the reference's: to the bit for bytes, nearly for floats.
fn compare(spec: &Spec, ours: Option<&[u8]>, wanted: Option<&[u8]>) -> Result<(), String> {
    let (Some(ours), Some(wanted)) = (ours, wanted) else {
        let said = |a: Option<&[u8]>| if a.is_some() { "an answer" } else { "none" };
        let (ours, wanted) = (said(ours), said(wanted));
        return if ours == wanted { Ok(()) } else { Err(format!("{ours} where {wanted} was due")) };
    };
    if ours == wanted {
        return Ok(());
    }
    let numbers = |bytes: &[u8]| -> Vec<f32> {
        let (words, _) = bytes.get(spec.tag..).unwrap_or_default().as_chunks::<NUMBER_LEN>();
        words.iter().map(|w| f32::from_le_bytes(*w)).collect()
    };
    let (a, b) = (numbers(ours), numbers(wanted));
    let largest = b.iter().fold(0.1_f32, |m, x| m.max(x.abs()));
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * largest;
    if spec.precision == Precision::F32 && a.len() == b.len() && a.iter().zip(&b).all(near) {
        return Ok(());
    }
    Err(format!("{a:?}, not {b:?}"))
}
