//! Several batches in flight: how many, and in which order they come back.

use punctual::base::{KernelId, Nanos};
use punctual::kernel::accel::{Accelerator as _, Ended};
use punctual::kernel::mlp::{Output, Precision};

use crate::rig::{OPTIONS, answers, device, payloads, reference, run, spec, staged};

#[test]
fn batches_come_back_in_their_order_with_their_own_answers() {
    let specs = [
        spec(&[64, 256, 256, 8], Precision::Int8, Output::Linear, 0),
        spec(&[3, 5, 2], Precision::Int8, Output::Sigmoid, 4),
    ];
    let Some(mut gpu) = device("order", &specs, OPTIONS) else { return };
    // Long ones and short ones by turns: a short one behind a long one must wait for it.
    let batch = |tag: u64| {
        let kernel = (tag % 2) as usize;
        let rows = if kernel == 0 { 64 } else { 1 + tag as usize % 5 };
        (kernel, payloads(&specs[kernel], rows, tag))
    };
    let (mut sent, mut next) = (0, 0);
    while next < 60 {
        while sent < 60 {
            let (kernel, payloads) = batch(sent);
            let made = staged(&specs[kernel], &payloads, sent);
            match gpu.submit(KernelId(kernel as u16), made) {
                Ok(()) => sent += 1,
                Err(returned) => {
                    assert_eq!((returned.tag, returned.len()), (sent, payloads.len()));
                    break;
                }
            }
        }
        assert!(sent - next <= 3, "{sent} {next}");
        gpu.poll(Nanos::from_millis(100), &mut |staged, how| {
            assert_eq!((staged.tag, how), (next, Ended::Run));
            let (kernel, payloads) = batch(next);
            assert!(answers(&staged) == reference(&specs[kernel], &payloads), "batch {next}");
            next += 1;
        });
    }
}

#[test]
fn no_more_are_in_flight_than_was_said() {
    let specs = [spec(&[64, 256, 256, 8], Precision::F32, Output::Linear, 0)];
    for in_flight in [1, 2, 4] {
        let options = punctual::kernel::gpu::Options { in_flight, ..OPTIONS };
        let Some(mut gpu) = device("in flight", &specs, options) else { return };
        assert_eq!(gpu.in_flight_max(), in_flight);
        let p = payloads(&specs[0], 64, 1);
        for tag in 0..in_flight as u64 {
            assert!(gpu.submit(KernelId(0), staged(&specs[0], &p, tag)).is_ok());
        }
        let refused = gpu.submit(KernelId(0), staged(&specs[0], &p, 99)).expect_err("it is full");
        assert_eq!(refused.tag, 99);
        let mut back = Vec::new();
        for _ in 0..1_000 {
            gpu.poll(Nanos::from_millis(10), &mut |staged, _| back.push(staged.tag));
        }
        assert_eq!(back, (0..in_flight as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_poll_of_an_idle_device_does_not_wait() {
    let specs = [spec(&[3, 5, 2], Precision::F32, Output::Linear, 0)];
    let Some(mut gpu) = device("idle", &specs, OPTIONS) else { return };
    let start = std::time::Instant::now();
    gpu.poll(Nanos::from_secs(60), &mut |_, _| panic!("nothing was sent"));
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn the_devices_own_time_is_known_where_it_was_asked_for() {
    let specs = [spec(&[64, 256, 256, 8], Precision::Int8, Output::Linear, 0)];
    let options = punctual::kernel::gpu::Options { timed: true, ..OPTIONS };
    let Some(mut gpu) = device("timed", &specs, options) else { return };
    let clock = gpu.found().expect("it is open").features.contains(&"timestamps");
    let start = std::time::Instant::now();
    let p = payloads(&specs[0], 40, 1);
    assert!(run(&mut gpu, 0, &specs[0], &p) == reference(&specs[0], &p));
    let whole = start.elapsed().as_nanos();
    assert_eq!(gpu.kernel_time().is_some(), clock);
    assert!(gpu.kernel_time().is_none_or(|t| t > Nanos::ZERO && u128::from(t.get()) < whole));
    let Some(gpu) = device("untimed", &specs, OPTIONS) else { return };
    assert_eq!(gpu.kernel_time(), None);
}
